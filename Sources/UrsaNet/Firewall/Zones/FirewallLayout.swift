import UrsaBase
public import UrsaFirewall

/// Where the places that zones speak of are on this host: which links they are behind.
struct FirewallLayout: Sendable {
    let home: HomeMark
    let wish: HostWish
    /// What zones are laid over.
    let topology: Topology

    init(_ home: HomeMark, _ wish: HostWish) {
        self.home = home
        self.wish = wish
        topology = wish.topology
    }

    /// Networks whose packets pass the host, each with its link: the stem, or its bridge on the host.
    var networks: [(wish: NetworkWish, link: String)] {
        wish.networks.filter { $0.isOnHost || $0.model != .isolated }.sorted { $0.name < $1.name }
            .map { ($0, home.stemName($0.name)) }
    }

    /// Uplinks in the order of their numbers, each with its link: the bridge that has the interface as a port, or the
    /// interface.
    var uplinks: [(wish: UplinkWish, link: String)] {
        wish.uplinks.sorted { $0.number < $1.number }.map { uplink in
            let bridge = wish.bridges.first { $0.interface == uplink.interface }.map(link)
            return (uplink, bridge ?? (uplink.found.link.isEmpty ? uplink.interface : uplink.found.link))
        }
    }

    /// The bridge of a bridged network.
    func link(_ bridge: BridgeWish) -> String { bridge.bridge ?? home.stemName(bridge.name) }

    /// Links whose frames may stay on them: bridges of this home in the host's own namespace.
    var ownBridges: [String] {
        wish.bridges.filter { $0.bridge == nil }.map(link)
            + networks.filter(\.wish.isOnHost).map(\.link)
    }
}

extension HostWish {
    /// The networks, uplinks and machines as zones see them.
    public var topology: Topology {
        var result = Topology()
        result.networks = networks.map { network in
            Topology.Network(
                name: network.name, reach: network.reach, sources: network.sources,
                servers: [.v4(network.gateway)] + (network.gateway6.map { [.v6($0)] } ?? []),
                isOnHost: network.isOnHost)
        }
        result.networks += bridges.map {
            Topology.Network(name: $0.name, reach: .segment(interface: $0.interface ?? $0.bridge))
        }
        result.uplinks = uplinks.sorted { $0.number < $1.number }
            .map { Topology.Uplink(name: $0.name, interface: $0.interface) }
        for (network, members) in networks.map({ ($0.name, $0.members) }) + bridges.map({ ($0.name, $0.members) }) {
            result.machines += members.map { member in
                Topology.Machine(name: member.machine, network: network, addresses: member.addresses)
            }
        }
        return result
    }
}

extension Member {
    /// Its addresses, as far as they are known.
    var addresses: [IPAddress] {
        (address.value == 0 ? [] : [.v4(address)]) + (address6.map { [.v6($0)] } ?? [])
    }
}

extension NetworkWish {
    fileprivate var reach: Topology.Network.Reach {
        switch model {
        case .nat: .translated
        case .isolated: .closed
        case .routed, .lan: .open
        }
    }

    /// Addresses that packets from it may have: its subnets; on a LAN only the guests' own, since the rest is others'.
    var sources: [AddressPrefix] {
        if model == .lan { return (members.flatMap(\.addresses) + ownAddresses).map { AddressPrefix($0) } }
        return [AddressPrefix(address: .v4(subnet.address), prefix: subnet.prefix)]
            + (subnet6.map { [AddressPrefix(address: .v6($0.address), prefix: $0.prefix)] } ?? [])
    }

    /// What is only known on this host, and so leaves it by the host's own address.
    var privateSources: [AddressPrefix] {
        switch model {
        case .nat: sources
        case .lan: ownAddresses.map { AddressPrefix($0) }
        case .isolated, .routed: []
        }
    }

    /// The addresses from which its name server asks.
    private var ownAddresses: [IPAddress] { [.v4(gateway)] + (gateway6.map { [.v6($0)] } ?? []) }
}
