import TestSupport
import UrsaBase
import UrsaFirewall

extension Firewall {
    /// Some firewall over the networks and uplinks of a topology: every zone pair is covered.
    static func random(
        _ dice: inout Seeded, _ topology: Topology, parts: [(prefix: AddressPrefix, behind: String)], machines: [String]
    ) -> Firewall {
        var firewall = Firewall()
        // Places go to a few zones; some stay their own.
        var members: [String: [Zone.Member]] = [:]
        let names = ["red", "green", "blue-1", "goto", "to"]
        let places =
            topology.networks.map { Zone.Member.network($0.name) }
            + topology.uplinks.map { Zone.Member.uplink($0.name) }
        for place in places where dice.chance(3, in: 4) { members[dice.pick(names), default: []].append(place) }
        for part in parts where dice.chance(1, in: 2) {
            members[dice.pick(names + ["office"]), default: []].append(.hosts([part.prefix], behind: part.behind))
        }
        for machine in machines where dice.chance(1, in: 3) {
            members[dice.pick(names + ["office"]), default: []].append(.machine(machine))
        }
        firewall.zones = members.keys.sorted().map { Zone(name: $0, members: members[$0] ?? []) }

        let zones = ZoneMap(
            Firewall(zones: firewall.zones, policies: [Policy(from: "any", to: "any", action: .drop)]), topology
        ).zones
        func log() -> LogLevel? { dice.chance(1, in: 5) ? dice.pick(LogLevel.allCases) : nil }
        for _ in 0..<Int.random(in: 0...6, using: &dice) {
            firewall.policies.append(
                Policy(
                    from: dice.pick(zones + ["any"]), to: dice.pick(zones + ["any"]),
                    action: dice.pick(FirewallAction.allCases), log: log()))
        }
        firewall.policies.append(
            Policy(from: "any", to: "any", action: dice.pick(FirewallAction.allCases), log: log()))

        func prefixes() -> [AddressPrefix] {
            guard dice.chance(1, in: 3) else { return [] }
            return (0...Int.random(in: 0...1, using: &dice)).map { _ in
                switch Int.random(in: 0...9, using: &dice) {
                case 0: AddressPrefix(address: .v4(IPv4Address(0)), prefix: 0)
                case 1: AddressPrefix(address: .v6(IPv6Address(high: 0, low: 0)), prefix: 0)
                default: dice.pick(parts.map(\.prefix) + topology.networks.flatMap(\.sources))
                }
            }
        }
        for _ in 0..<Int.random(in: 0...8, using: &dice) {
            let transport = dice.pick(RuleProtocol.allCases)
            var rule = Rule(
                from: dice.pick(zones + ["any"]), to: dice.pick(zones + ["any"]), transport: transport,
                sources: prefixes(), destinations: prefixes(), action: dice.pick(FirewallAction.allCases), log: log())
            if transport != .icmp {
                rule.ports = dice.pick([[], [80...80], [1...100, 90...200], [8000...8100], [80...80, 8080...8080]])
            }
            if dice.chance(1, in: 6) {
                rule.limit = RateLimit(count: 5000, unit: .second, burst: 1000, isPerSource: dice.chance(1, in: 2))
            }
            firewall.rules.append(rule)
        }
        if dice.chance(1, in: 3) { firewall.admins = [dice.pick(parts.map(\.prefix))] }
        return firewall
    }
}
