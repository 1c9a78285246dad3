import UrsaBase
import UrsaFirewall
import UrsaModel

/// What changes of the things said of the host as a whole, as lines of a plan.
enum HostLines {
    static func between(_ old: HostRecord?, _ new: HostRecord?) -> [PlanLine] {
        var lines: [PlanLine] = []
        let (before, after) = (old?.spec.uplinks ?? [], new?.spec.uplinks ?? [])
        for uplink in after where !before.contains(uplink) {
            let isNew = !before.contains { $0.name == uplink.name }
            lines.append(PlanLine(isNew ? "+" : "~", "uplink \(uplink.name): \(words(uplink))"))
        }
        for uplink in before where !after.contains(where: { $0.name == uplink.name }) {
            lines.append(PlanLine("-", "uplink \(uplink.name)"))
        }
        if let line = firewall(old?.spec.firewall ?? Firewall(), new?.spec.firewall ?? Firewall()) {
            lines.append(line)
        }
        let (from, to) = (old?.spec.forwards ?? [], new?.spec.forwards ?? [])
        lines += to.filter { !from.contains($0) }.map { PlanLine("+", "forward \(words($0))") }
        lines += from.filter { !to.contains($0) }.map { PlanLine("-", "forward \(words($0))") }
        return lines
    }

    private static func words(_ uplink: UplinkSpec) -> String {
        var words = uplink.interface
        if let gateway = uplink.gateway { words += " by \(gateway)" }
        words += uplink.isFallback ? ", fallback" : ", weight \(uplink.weight)"
        if let check = uplink.check { words += ", asks \(check.target)" }
        return words
    }

    private static func words(_ forward: ForwardSpec) -> String {
        let ports = forward.ports
        let range = ports.count == 1 ? "\(ports.lowerBound)" : "\(ports.lowerBound)-\(ports.upperBound)"
        let place = forward.uplink.map { "\($0) " } ?? forward.address.map { "\($0) " } ?? ""
        let to = forward.guestPort(of: ports.lowerBound)
        return "\(place)\(range)/\(forward.transport.rawValue) → \(forward.machine):\(to)"
    }

    private static func firewall(_ old: Firewall, _ new: Firewall) -> PlanLine? {
        guard old != new else { return nil }
        func isNothing(_ firewall: Firewall) -> Bool { firewall.isPlain && firewall.admins.isEmpty }
        func count(_ number: Int, _ one: String, _ many: String) -> String { "\(number) \(number == 1 ? one : many)" }
        if isNothing(new) { return PlanLine("-", "firewall") }
        let words = [
            count(new.zones.count, "zone", "zones"), count(new.policies.count, "policy", "policies"),
            count(new.rules.count, "rule", "rules"),
        ]
        return PlanLine(isNothing(old) ? "+" : "~", "firewall: \(words.joined(separator: ", "))")
    }
}
