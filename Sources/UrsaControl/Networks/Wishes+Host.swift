import UrsaBase
import UrsaModel
import UrsaNet

extension Wishes {
    /// Uplinks of the host; `isHealthy` tells what was found out about one.
    static func uplinks(_ record: HostRecord?, isHealthy: (String) -> Bool) -> [UplinkWish] {
        guard let record else { return [] }
        return record.spec.uplinks.compactMap { uplink in
            guard let number = record.numbers[uplink.name] else { return nil }
            return UplinkWish(
                name: uplink.name, number: number, interface: uplink.interface, gateway: uplink.gateway,
                gateway6: uplink.gateway6, address: uplink.address, weight: uplink.weight,
                isFallback: uplink.isFallback, isHealthy: uplink.check == nil || isHealthy(uplink.name),
                check: uplink.check.map {
                    UplinkCheck(target: $0.target, interval: $0.interval, threshold: $0.threshold)
                })
        }
    }

    /// Ports that the host's forwards give to machines that live, by the network that they lead into.
    static func forwards(
        _ record: HostRecord?, _ records: [NetworkRecord], _ machines: [MachineRecord], live: Set<String>
    ) -> [String: [PublishedPort]] {
        let reachable = Set(records.filter(\.isReachable).map(\.spec.name))
        var result: [String: [PublishedPort]] = [:]
        for forward in record?.spec.forwards ?? [] {
            guard live.contains(forward.machine), let machine = machines.first(where: { $0.name == forward.machine }),
                let card = machine.cards.first(where: { $0.address != nil && reachable.contains($0.network) }),
                let address = card.address
            else { continue }
            for port in forward.ports {
                result[card.network, default: []].append(
                    PublishedPort(
                        machine: machine.name, uplink: forward.uplink, hostAddress: forward.address, hostPort: port,
                        isUDP: forward.transport == .udp, guestAddress: address, guestAddress6: card.address6,
                        guestPort: forward.guestPort(of: port), sources: forward.sources))
            }
        }
        return result
    }
}
