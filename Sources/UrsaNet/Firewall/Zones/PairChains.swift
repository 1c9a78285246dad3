import UrsaBase
import UrsaFirewall

/// Makes the chain of each pair of zones, with the small chains that log.
struct PairChains {
    let matrix: Matrix
    /// Chains that log and then decide.
    private(set) var notes: [Chain] = []
    /// Sets of rules that count by source.
    private(set) var sets: [NamedSet] = []

    init(matrix: Matrix) { self.matrix = matrix }

    /// The chain of a pair: its rules in order, then what else holds. It always decides.
    mutating func chain(_ cell: Matrix.Cell) -> Chain {
        var rules: [String] = []
        for index in cell.rules {
            let rule = matrix.firewall.rules[index]
            let verdict = verdict(rule.action, rule.log, cell)
            for match in rule.matches {
                var words = match.words
                if let limit = rule.limit { words.append(counting(limit, match.isIPv6, index, cell)) }
                rules.append((words + [verdict]).joined(separator: " "))
            }
        }
        let (action, log) = matrix.effect(of: cell.otherwise)
        rules.append(verdict(action, log, cell))
        return Chain(name: "\(cell.from).\(cell.to)", base: nil, rules: rules)
    }

    private mutating func counting(_ limit: RateLimit, _ isIPv6: Bool?, _ rule: Int, _ cell: Matrix.Cell) -> String {
        let words = "limit rate \(limit.count)/\(limit.unit.rawValue) burst \(limit.burst) packets"
        guard limit.isPerSource, let isIPv6 else { return words }
        let name = "rate\(rule)_\(cell.from).\(cell.to)_\(isIPv6 ? 6 : 4)"
        if !sets.contains(where: { $0.name == name }) {
            sets.append(NamedSet(name: name, key: isIPv6 ? "ipv6_addr" : "ipv4_addr", elements: [], isDynamic: true))
        }
        return "update @\(name) { \(isIPv6 ? "ip6" : "ip") saddr \(words) }"
    }

    private mutating func verdict(_ action: FirewallAction, _ log: LogLevel?, _ cell: Matrix.Cell) -> String {
        guard let log else { return Self.words(action, cell).joined() }
        let name = "note_\(cell.from).\(cell.to)_\(action.rawValue)_\(log.rawValue)"
        if !notes.contains(where: { $0.name == name }) {
            // Enough to see what goes on, never so much that the log is the harm.
            let line =
                "limit rate 10/second burst 20 packets log prefix \"ursa \(cell.from)-\(cell.to) \(action.rawValue): \""
            notes.append(
                Chain(name: name, base: nil, rules: ["\(line) level \(log.rawValue)"] + Self.words(action, cell)))
        }
        return "goto \(name)"
    }

    private static func words(_ action: FirewallAction, _ cell: Matrix.Cell) -> [String] {
        switch action {
        case .accept: [cell.from == Zone.host || cell.to == Zone.host ? "accept" : RulesetPart.pass]
        case .drop: ["drop"]
        case .reject: ["goto refuse"]
        }
    }
}

extension RulesetPart {
    /// Refuses: TCP by a reset, the rest by "administratively prohibited".
    static let refuse = [
        Chain(
            name: "refuse", base: nil,
            rules: ["meta l4proto tcp reject with tcp reset", "reject with icmpx admin-prohibited"])
    ]
}

extension Rule {
    /// What the rule is about in nft's words, zones aside; one match per family where addresses are said.
    fileprivate var matches: [(words: [String], isIPv6: Bool?)] {
        let isSplit = !sources.isEmpty || !destinations.isEmpty || limit?.isPerSource == true
        guard isSplit else { return [(traffic, nil)] }
        return [false, true].compactMap { isIPv6 in
            let from = sources.filter { $0.address.isIPv6 == isIPv6 }.withoutParts
            let to = destinations.filter { $0.address.isIPv6 == isIPv6 }.withoutParts
            if !sources.isEmpty && from.isEmpty || !destinations.isEmpty && to.isEmpty { return nil }
            let ip = isIPv6 ? "ip6" : "ip"
            var words: [String] = []
            if !from.isEmpty { words.append(from.match("\(ip) saddr")) }
            if !to.isEmpty { words.append(to.match("\(ip) daddr")) }
            if words.isEmpty { words.append("meta nfproto \(isIPv6 ? "ipv6" : "ipv4")") }
            return (words + traffic, isIPv6)
        }
    }

    private var traffic: [String] {
        let ports = ports.joined.map { range in
            range.lowerBound == range.upperBound ? "\(range.lowerBound)" : "\(range.lowerBound)-\(range.upperBound)"
        }
        let list = "{ \(ports.joined(separator: ", ")) }"
        return switch transport {
        case .tcp: [ports.isEmpty ? "meta l4proto tcp" : "tcp dport \(list)"]
        case .udp: [ports.isEmpty ? "meta l4proto udp" : "udp dport \(list)"]
        case .icmp: ["meta l4proto { icmp, ipv6-icmp }"]
        case .any: ports.isEmpty ? [] : ["meta l4proto { tcp, udp } th dport \(list)"]
        }
    }
}
