import GRDB
import Glibc
import UrsaBase
import UrsaImages
import UrsaKeeper
import UrsaModel
import UrsaNet

/// How far a machine has come on its way to being reachable; each step has a signal of its own.
enum ReachabilityStep: Int, Sendable, Comparable {
    case firmware, kernel, dhcpRequest, dhcpAnswer, name, port, reachable

    static func < (a: ReachabilityStep, b: ReachabilityStep) -> Bool { a.rawValue < b.rawValue }

    /// What it means that the machine stopped here, and where to look.
    func stalled(_ name: String, _ network: String?, _ port: UInt16?) -> (what: String, remedy: String) {
        switch self {
        case .firmware:
            (
                "its firmware or boot loader printed nothing on the serial console",
                "`ursa console \(name)` shows whether the disk is bootable"
            )
        case .kernel:
            (
                "its kernel started but no network card has sent anything",
                "`ursa logs \(name)` shows how far the guest came"
            )
        case .dhcpRequest:
            (
                "network \(network ?? "?") never saw a DHCP request from it",
                "`ursa logs \(name)`: does the guest configure its network card by DHCP?"
            )
        case .dhcpAnswer:
            (
                "it asked for an address but network \(network ?? "?") did not answer",
                "`ursa settle` mends the network; `ursa doctor` looks for port 67 in other hands"
            )
        case .name: ("its name does not resolve on network \(network ?? "?")", "`ursa settle` mends the network's DNS")
        case .port:
            (
                "nothing accepts connections on its port \(port.map(String.init) ?? "?")",
                "`ursa console \(name)`: is the service running?"
            )
        case .reachable: ("", "")
        }
    }
}

extension Ursa {
    /// Waits until each machine can be reached: it asked for an address and got it, its name resolves, and the port that
    /// tells (its image's or its spec's) accepts connections from the host.
    ///
    /// - Throws: `.timeout` naming for each machine the step at which it stopped; `.io` when a machine ended meanwhile.
    func waitUntilReachable(
        _ names: [String], _ store: Store, begun: Deadline, timeout: Double,
        report: @escaping @Sendable (Report) -> Void
    ) throws(UrsaError) {
        let host = try hostNetworks(store)
        let networks = try store.read { try $0.networks() }
        let deadline = Deadline.after(seconds: timeout)
        var records: [MachineRecord] = []
        for name in names { records.append(try record(name, store)) }
        let errors = try OSThread.concurrently(records) { (record: MachineRecord) throws(UrsaError) -> [UrsaError] in
            waitAndTell(record, networks, host, begun, deadline, timeout, report)
        }
        if let error = UrsaError.all(errors.flatMap { $0 }) { throw error }
    }

    /// Waits for one machine; what went wrong is returned, so that each machine's trouble is told, not only the first.
    private func waitAndTell(
        _ record: MachineRecord, _ networks: [NetworkRecord], _ host: HostNetworks?, _ begun: Deadline,
        _ deadline: Deadline, _ timeout: Double, _ report: @Sendable (Report) -> Void
    ) -> [UrsaError] {
        let way = Way(record, networks)
        do throws(UrsaError) { try waitForOne(record, way, host, deadline, timeout) } catch { return [error] }
        let tenths = Int(Deadline.now.seconds(since: begun) * 10)
        let place =
            if let card = way.card, let address = card.address {
                way.isReachable ? "reachable at \(address)" : "up at \(address) on network \(card.network)"
            } else { record.spec.publish.isEmpty ? "up" : "reachable at its published ports" }
        report(.machine(record.name, "\(place) after \(tenths / 10).\(tenths % 10) s"))
        return []
    }

    private func waitForOne(
        _ record: MachineRecord, _ way: Way, _ host: HostNetworks?, _ deadline: Deadline, _ timeout: Double
    ) throws(UrsaError) {
        var reached = ReachabilityStep.firmware
        let card = way.card
        let port = record.spec.readyPort ?? record.image.readyPort
        while true {
            let state = home.runState(record.name)
            guard state.isLive else {
                throw UrsaError(
                    .io,
                    "machine \(record.name) ended before it could be reached: \(state.status?.reason ?? "unknown reason")",
                    remedy: "`ursa logs \(record.name)` shows its console")
            }
            reached = max(reached, advance(record, way, port, host, from: reached))
            if reached == .reachable { return }
            if deadline.isPast {
                let (what, remedy) = reached.stalled(record.name, card?.network, port)
                throw UrsaError(
                    .timeout, "machine \(record.name) was not reachable within \(Int(timeout)) s: \(what)",
                    place: "step \(reached.rawValue + 1) of 6", remedy: remedy)
            }
            pause(milliseconds: 25)
        }
    }

    /// Looks at the signals after `step` and returns the furthest that is there.
    private func advance(
        _ record: MachineRecord, _ way: Way, _ port: UInt16?, _ host: HostNetworks?, from step: ReachabilityStep
    ) -> ReachabilityStep {
        var step = step
        let console = home.machineFolder(record.name) + "/console.log"
        if step == .firmware, File.status(console)?.st_size ?? 0 > 0 { step = .kernel }
        if way.isBridged, let host, let address = way.card?.address, let port, step >= .kernel {
            // On the LAN itself the guest's address is its own affair: only the port tells.
            return host.accepts(address: address, port: port, seconds: 0.5) ? .reachable : .port
        }
        guard let host, !way.isBridged, let card = way.card, let address = card.address else {
            // User networking: slirp accepts connections before the guest does, so the guest's own mark decides.
            guard let marker = record.image.readyMarker else { return step >= .kernel ? .reachable : step }
            return Marker.stands(marker, in: console) ? .reachable : step
        }
        if step <= .dhcpRequest {
            let seen = host.dhcpState(network: card.network, mac: card.mac)
            if seen.requestSeen { step = .dhcpAnswer }
            if seen.answerSent { step = .name }
        }
        if step == .dhcpAnswer, host.dhcpState(network: card.network, mac: card.mac).answerSent { step = .name }
        if step == .name, host.resolves(network: card.network, name: record.name, seconds: 0.5) == address {
            step = .port
        }
        if step == .port {
            guard let port, way.isReachable else { return .reachable }
            if host.accepts(address: address, port: port, seconds: 0.5) { step = .reachable }
        }
        return step
    }
}

/// The card by which a machine shows that it is up.
private struct Way {
    /// One that the host can speak to, else one that at least gets its address from here, else any.
    var card: CardView?
    /// Whether the host can speak to it.
    var isReachable = false
    /// Whether it is on a LAN itself, out of sight.
    var isBridged = false

    init(_ record: MachineRecord, _ networks: [NetworkRecord]) {
        func on(_ models: [NetworkSpec.Model]) -> CardView? {
            record.cards.first { card in
                networks.contains { $0.spec.name == card.network && models.contains($0.model) } && card.address != nil
            }
        }
        if let found = on([.nat, .routed, .lan]) {
            (card, isReachable) = (found, true)
        } else if let found = on([.isolated]) {
            card = found
        } else if let found = on([.bridged]) {
            (card, isReachable, isBridged) = (found, true, true)
        }
    }
}

/// Looks for a text on a console log that may be long.
enum Marker {
    static func stands(_ marker: String, in path: String) -> Bool {
        guard let fd = try? File.open(path, O_RDONLY) else { return false }
        let size = lseek(fd.raw, 0, SEEK_END)
        let from = max(0, size - 65536)
        lseek(fd.raw, from, SEEK_SET)
        var buffer = [UInt8](repeating: 0, count: 65536)
        let count = read(fd.raw, &buffer, buffer.count)
        guard count > 0 else { return false }
        return String(decoding: buffer[0..<count], as: UTF8.self).contains(marker)
    }
}
