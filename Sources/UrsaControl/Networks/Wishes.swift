import UrsaBase
import UrsaFirewall
import UrsaModel
import UrsaNet

/// Which networks the host should have right now: those with a machine that runs or is being started, and those that
/// were asked to be there always. Derived anew each time, so it can't go stale.
enum Wishes {
    /// Everything that the home wants of the host.
    static func host(
        _ records: [NetworkRecord], _ machines: [MachineRecord], live: Set<String>, record: HostRecord? = nil,
        isHealthy: (String) -> Bool = { _ in true }
    ) -> HostWish {
        var networks = networks(records, machines, live: live)
        let forwards = forwards(record, records, machines, live: live)
        for index in networks.indices { networks[index].ports += forwards[networks[index].name] ?? [] }
        return HostWish(
            networks: networks, bridges: bridges(records, machines, live: live),
            uplinks: uplinks(record, isHealthy: isHealthy), firewall: record?.spec.firewall ?? Firewall())
    }

    /// Networks whose machines are on the LAN itself.
    static func bridges(_ records: [NetworkRecord], _ machines: [MachineRecord], live: Set<String>) -> [BridgeWish] {
        records.compactMap { record in
            guard record.model == .bridged, let here = present(record, machines, live) else { return nil }
            return BridgeWish(
                name: record.spec.name, interface: record.spec.interface, bridge: record.spec.bridge,
                mtu: record.spec.mtu,
                members: here.flatMap { members($0, record.spec.name) })
        }
    }

    /// Networks of a subnet of their own, or of addresses of a LAN.
    static func networks(_ records: [NetworkRecord], _ machines: [MachineRecord], live: Set<String>) -> [NetworkWish] {
        let reachable = Set(records.filter(\.isReachable).map(\.spec.name))
        return records.compactMap { record in
            guard let model = record.networkModel, let subnet = record.subnet,
                let here = present(record, machines, live)
            else { return nil }
            var wish = NetworkWish(
                name: record.spec.name, model: model, isOnHost: record.spec.placement == .host,
                publishedOn: model == .lan ? record.spec.interface : record.spec.proxy,
                uplinks: record.spec.uplinks, subnet: subnet, subnet6: record.subnet6,
                mtu: record.spec.mtu ?? 1500, isMTUFixed: record.spec.mtu != nil)
            for machine in here {
                wish.members += members(machine, record.spec.name).filter { $0.address.value != 0 }
                // A machine's ports lead to its first card that has an address and can be reached.
                let first = machine.cards.first { $0.address != nil && reachable.contains($0.network) }
                guard let card = first, card.network == record.spec.name, let address = card.address else { continue }
                for port in machine.spec.publish {
                    wish.ports.append(
                        PublishedPort(
                            machine: machine.name, hostAddress: port.hostAddress, hostPort: port.hostPort,
                            isUDP: port.transport == .udp, guestAddress: address, guestAddress6: card.address6,
                            guestPort: port.guestPort))
                }
            }
            return wish
        }
    }

    /// Machines on a network that run or are being started; nil when the network need not be there.
    private static func present(
        _ record: NetworkRecord, _ machines: [MachineRecord], _ live: Set<String>
    ) -> [MachineRecord]? {
        let here = machines.filter { machine in
            live.contains(machine.name) && machine.cards.contains { $0.network == record.spec.name }
        }
        return record.wanted || !here.isEmpty ? here : nil
    }

    /// A machine's cards on a network.
    private static func members(_ machine: MachineRecord, _ network: String) -> [Member] {
        machine.cards.indices.filter { machine.cards[$0].network == network }.map { position in
            let card = machine.cards[position]
            let nic = position < machine.spec.networks.count ? machine.spec.networks[position] : nil
            return Member(
                machine: machine.name, mac: card.mac, address: card.address ?? IPv4Address(0),
                address6: card.address6, tap: Ursa.tapName(machine, position),
                port: PortOptions(
                    isIsolated: nic?.isIsolated ?? false, isGuarded: nic?.isGuarded ?? false,
                    sendRate: nic?.sendRate?.bytesPerSecond, receiveRate: nic?.receiveRate?.bytesPerSecond))
        }
    }
}

extension NetworkRecord {
    /// The model in the words of the host's networks; nil for those that are none of it.
    fileprivate var networkModel: NetworkModel? {
        switch model {
        case .nat: .nat
        case .isolated: .isolated
        case .routed: .routed
        case .lan: .lan
        case .bridged, .user: nil
        }
    }
}

extension HostWish {
    /// Names of networks whose health is the home's business: bridges of others are theirs.
    var watched: [String] { networks.map(\.name) + bridges.filter { $0.interface != nil }.map(\.name) }
}
