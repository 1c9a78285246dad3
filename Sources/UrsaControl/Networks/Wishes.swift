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
        let forwards = forwards(record, machines, live: live)
        for index in networks.indices { networks[index].ports += forwards[networks[index].name] ?? [] }
        return HostWish(
            networks: networks, bridges: bridges(records, machines, live: live),
            uplinks: uplinks(record, isHealthy: isHealthy), firewall: record?.spec.firewall ?? Firewall())
    }

    /// Networks whose machines are on the LAN itself.
    static func bridges(_ records: [NetworkRecord], _ machines: [MachineRecord], live: Set<String>) -> [BridgeWish] {
        []
    }

    /// Networks of a subnet of their own.
    static func networks(_ records: [NetworkRecord], _ machines: [MachineRecord], live: Set<String>) -> [NetworkWish] {
        records.compactMap { record in
            guard record.spec.model == .nat, let subnet = record.subnet else { return nil }
            let here = machines.filter { machine in
                live.contains(machine.name) && machine.cards.contains { $0.network == record.spec.name }
            }
            guard record.wanted || !here.isEmpty else { return nil }
            var wish = NetworkWish(
                name: record.spec.name, uplinks: record.spec.uplinks, subnet: subnet, subnet6: record.subnet6,
                mtu: record.spec.mtu ?? 1500)
            for machine in here {
                for card in machine.cards where card.network == record.spec.name {
                    guard let address = card.address else { continue }
                    wish.members.append(
                        Member(machine: machine.name, mac: card.mac, address: address, address6: card.address6))
                }
                // A machine's ports lead to its first card that has an address.
                guard let card = machine.cards.first(where: { $0.address != nil }), card.network == record.spec.name,
                    let address = card.address
                else { continue }
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
}
