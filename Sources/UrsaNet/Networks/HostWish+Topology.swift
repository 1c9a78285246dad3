public import UrsaBase
public import UrsaFirewall

extension HostWish {
    /// What its firewall lies over.
    public var topology: Topology {
        var result = Topology(uplinks: uplinks.map { Topology.Uplink(name: $0.name, interface: $0.interface) })
        for network in networks {
            let reach: Topology.Network.Reach =
                switch network.model {
                case .nat: .translated
                case .isolated: .closed
                case .routed, .lan: .open
                }
            var sources = [AddressPrefix(address: .v4(network.subnet.address), prefix: network.subnet.prefix)]
            if let subnet = network.subnet6 {
                sources.append(AddressPrefix(address: .v6(subnet.address), prefix: subnet.prefix))
            }
            // The subnet is the whole LAN's; of its addresses only the guests' own are behind the host.
            if network.model == .lan { sources = network.members.flatMap { $0.addresses.map { AddressPrefix($0) } } }
            result.networks.append(
                Topology.Network(name: network.name, reach: reach, sources: sources, isOnHost: network.isOnHost))
            result.machines += network.members.map {
                Topology.Machine(name: $0.machine, network: network.name, addresses: $0.addresses)
            }
        }
        for bridge in bridges {
            result.networks.append(
                Topology.Network(
                    name: bridge.name, reach: .segment(interface: bridge.interface ?? bridge.bridge), isOnHost: true))
            result.machines += bridge.members.map {
                Topology.Machine(name: $0.machine, network: bridge.name, addresses: $0.addresses)
            }
        }
        return result
    }
}

extension Member {
    /// Its addresses, IPv4 first.
    public var addresses: [IPAddress] { [.v4(address)] + (address6.map { [.v6($0)] } ?? []) }
}
