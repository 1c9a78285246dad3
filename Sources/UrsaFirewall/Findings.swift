public import UrsaBase

/// Something about a firewall that can't be meant.
public enum Finding: Sendable, Hashable, CustomStringConvertible {
    /// No policy covers connections between two zones.
    case uncovered(from: String, to: String)
    /// A rule (by its place in `Firewall.rules`) is never reached: those before it decide all that it is about.
    case unreachableRule(Int, behind: [Int])
    /// A policy (by its place in `Firewall.policies`) is never reached.
    case unreachablePolicy(Int, behind: [Int])
    /// A rule can't fit any connection, and why.
    case idleRule(Int, String)
    /// Two zones have the same part of a place.
    case overlap(String, String, AddressPrefix)
    /// Two zones have the same network or uplink.
    case shared(String, String, Place)

    /// What is wrong, in words; rules and policies are counted from 1.
    public var description: String {
        func list(_ indices: [Int], _ one: String, _ many: String) -> String {
            let numbers = indices.map { "\($0 + 1)" }
            guard numbers.count > 1 else { return "\(one) \(numbers.first ?? "")" }
            return "\(many) \(numbers.dropLast().joined(separator: ", ")) and \(numbers.last ?? "")"
        }
        return switch self {
        case .uncovered(let from, let to): "no policy says what happens between \(from) and \(to)"
        case .unreachableRule(let rule, let behind):
            "rule \(rule + 1) is never reached: \(list(behind, "rule", "rules")) before it \(behind.count > 1 ? "decide" : "decides") all of it"
        case .unreachablePolicy(let policy, let behind):
            "policy \(policy + 1) is never reached: \(list(behind, "policy", "policies")) before it \(behind.count > 1 ? "decide" : "decides") all of it"
        case .idleRule(let rule, let reason): "rule \(rule + 1) fits nothing: \(reason)"
        case .overlap(let one, let other, let prefix): "\(prefix) is in zone \(one) and in zone \(other)"
        case .shared(let one, let other, let place): "\(place) is in zone \(one) and in zone \(other)"
        }
    }
}

extension Firewall {
    /// Everything about the firewall that can't be meant, over a topology of which names are enough.
    public func findings(in topology: Topology) -> [Finding] {
        Matrix(self, topology).findings
    }
}

extension Matrix {
    /// Everything that can't be meant; empty for a good firewall.
    public var findings: [Finding] {
        overlaps + uncovered + idleRules + unreachableRules + unreachablePolicies
    }

    private var uncovered: [Finding] {
        cells.filter { $0.otherwise == .uncovered }.map { .uncovered(from: $0.from, to: $0.to) }
    }

    private var overlaps: [Finding] {
        var findings: [Finding] = []
        var owners: [Place: String] = [:]
        for zone in firewall.zones {
            for member in zone.members {
                let place: Place
                switch member {
                case .network(let name): place = .network(name)
                case .uplink(let name): place = .uplink(name)
                case .hosts, .machine: continue
                }
                if let owner = owners[place], owner != zone.name { findings.append(.shared(owner, zone.name, place)) }
                owners[place] = owners[place] ?? zone.name
            }
        }
        // A part of a part is fine: the smaller one decides. The same one in two zones is not.
        for (index, cut) in zoneMap.cuts.enumerated() {
            for other in zoneMap.cuts[(index + 1)...] where other.prefix.prefix == cut.prefix.prefix {
                if other.place == cut.place, other.zone != cut.zone, other.prefix.overlaps(cut.prefix) {
                    findings.append(.overlap(cut.zone, other.zone, cut.prefix))
                }
            }
        }
        return findings
    }

    private var idleRules: [Finding] {
        firewall.rules.enumerated().compactMap { index, rule in
            rule.idleReason.map { .idleRule(index, $0) }
        }
    }

    private var unreachableRules: [Finding] {
        var reached: Set<Int> = []
        var behind: [Int: Set<Int>] = [:]
        for cell in cells {
            for (position, index) in cell.rules.enumerated() where !reached.contains(index) {
                let rule = firewall.rules[index]
                if let cover = cell.rules[..<position].first(where: { firewall.rules[$0].covers(rule) }) {
                    behind[index, default: []].insert(cover)
                } else {
                    reached.insert(index)
                }
            }
        }
        return behind.keys.sorted().compactMap { index in
            guard !reached.contains(index), firewall.rules[index].idleReason == nil else { return nil }
            return .unreachableRule(index, behind: (behind[index] ?? []).sorted())
        }
    }

    private var unreachablePolicies: [Finding] {
        var findings: [Finding] = []
        for (index, policy) in firewall.policies.enumerated() {
            let pairs = cells.filter { policy.isAbout($0.from, $0.to) }
            let isReached = pairs.contains { $0.otherwise == .policy(index) }
            // The last word for whatever may come later is good style, not a mistake.
            if isReached || pairs.isEmpty || policy.from == Zone.any && policy.to == Zone.any { continue }
            let behind = Set(pairs.compactMap { if case .policy(let other) = $0.otherwise { other } else { nil } })
            findings.append(.unreachablePolicy(index, behind: behind.sorted()))
        }
        return findings
    }
}

extension Rule {
    /// Why it can't fit any connection.
    var idleReason: String? {
        if from == Zone.host, to == Zone.host { return "the host's connections to itself always pass" }
        if !ports.isEmpty, transport == .icmp { return "ICMP has no ports" }
        let families = [sources, destinations].filter { !$0.isEmpty }.map { Set($0.map(\.address.isIPv6)) }
        if families.count == 2, families[0].isDisjoint(with: families[1]) {
            return "its sources and destinations are of different families"
        }
        return nil
    }

    /// Whether everything that `other` is about, zones aside, is decided by this rule.
    func covers(_ other: Rule) -> Bool {
        guard limit == nil else { return false }
        func covers(_ mine: [AddressPrefix], _ theirs: [AddressPrefix]) -> Bool {
            if mine.isEmpty { return true }
            return !theirs.isEmpty && theirs.allSatisfy { one in mine.contains { $0.covers(one) } }
        }
        guard covers(sources, other.sources), covers(destinations, other.destinations) else { return false }
        guard !ports.isEmpty else { return transport == .any || transport == other.transport }
        // A rule about some ports of TCP and UDP does not cover one about all of IP.
        guard !other.ports.isEmpty, transport == .any || transport == other.transport else { return false }
        return other.ports.allSatisfy { range in ports.joined.contains { $0.contains(range) } }
    }
}

extension [ClosedRange<UInt16>] {
    /// The same ports with ranges that touch each other made one.
    public var joined: [ClosedRange<UInt16>] {
        var result: [ClosedRange<UInt16>] = []
        for range in sorted(by: { $0.lowerBound < $1.lowerBound }) {
            guard let last = result.last, Int(range.lowerBound) <= Int(last.upperBound) + 1 else {
                result.append(range)
                continue
            }
            result[result.count - 1] = last.lowerBound...Swift.max(last.upperBound, range.upperBound)
        }
        return result
    }
}

extension ClosedRange<UInt16> {
    fileprivate func contains(_ other: ClosedRange<UInt16>) -> Bool {
        lowerBound <= other.lowerBound && other.upperBound <= upperBound
    }
}

extension AddressPrefix {
    /// Whether every address of the other range lies in this one.
    func covers(_ other: AddressPrefix) -> Bool { prefix <= other.prefix && contains(other.address) }
}
