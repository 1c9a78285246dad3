import UrsaBase
import UrsaFirewall

/// The keys of a policy.
enum PolicyFields {
    /// All keys, in the order in which they are written.
    static let all: [Field<Policy>] = [
        Field(
            key: "from", about: "Zone that connections come from, `host`, or `any` for every other zone.",
            schema: ["$ref": "#/$defs/networkName"], otherWords: ["source", "src", "zone"], isRequired: true,
            read: { tree, context, policy in policy.from = context.name(tree, "from", example: "kvm") ?? "" },
            write: { .string($0.from) }),
        Field(
            key: "to", about: "Zone that they go to, `host`, or `any`.",
            schema: ["$ref": "#/$defs/networkName"], otherWords: ["destination", "dest", "dst"], isRequired: true,
            read: { tree, context, policy in policy.to = context.name(tree, "to", example: "any") ?? "" },
            write: { .string($0.to) }),
        Field(
            key: "action", about: "What happens: `accept`, `drop` (silence) or `reject` (refusal).",
            schema: RuleFields.actionSchema, otherWords: ["policy", "target", "verdict", "then"], isRequired: true,
            read: { tree, context, policy in
                if let action = RuleFields.action(tree, &context) { policy.action = action }
            },
            write: { .string($0.action.rawValue) }),
        Field(
            key: "log", about: "Level by which what the policy decides is logged; left out: not at all.",
            schema: RuleFields.logSchema, otherWords: ["loglevel", "log-level", "logging"],
            read: { tree, context, policy in policy.log = RuleFields.log(tree, &context) },
            write: { $0.log.map { .string($0.rawValue) } }),
    ]

    /// Reads one entry of the list; nil when it is no map.
    static func read(_ item: YAMLTree, _ context: inout ReadContext) -> Policy? {
        let example = "- { from: net, to: any, action: drop }"
        guard let pairs = context.entry(item, "a policy", example: example) else { return nil }
        var policy = Policy(from: "", to: "", action: .drop)
        context.read(pairs, at: item.place, all, of: "a policy", into: &policy)
        return policy
    }
}

/// The keys of a rule.
enum RuleFields {
    /// All keys, in the order in which they are written.
    static let all: [Field<Rule>] = zones + packets + decision

    private static let zones: [Field<Rule>] = [
        Field(
            key: "from", about: "Zone that connections come from, `host`, or `any`.",
            schema: ["$ref": "#/$defs/networkName"], otherWords: ["src", "zone", "from-zone"], isRequired: true,
            read: { tree, context, rule in rule.from = context.name(tree, "from", example: "net") ?? "" },
            write: { .string($0.from) }),
        Field(
            key: "to", about: "Zone that they go to, `host`, or `any`.",
            schema: ["$ref": "#/$defs/networkName"], otherWords: ["dest", "dst", "to-zone"], isRequired: true,
            read: { tree, context, rule in rule.to = context.name(tree, "to", example: "dmz") ?? "" },
            write: { .string($0.to) }),
    ]

    private static let packets: [Field<Rule>] = [
        Field(
            key: "proto", about: "Which packets: `tcp`, `udp`, `icmp` (both families) or `any`.",
            schema: MachineFields.choiceSchema(RuleProtocol.any), otherWords: ["protocol", "transport", "service"],
            read: { tree, context, rule in
                let others: [String: RuleProtocol] = ["icmpv6": .icmp, "icmp6": .icmp, "ping": .icmp, "all": .any]
                if let known = context.choice(tree, "proto", others: others) { rule.transport = known }
            },
            write: { .string($0.transport.rawValue) }),
        Field(
            key: "ports", about: "Destination ports and ranges, for tcp and udp; left out: all.",
            schema: [
                "anyOf": [
                    ["$ref": "#/$defs/ports"],
                    [
                        "type": "array", "maxItems": .integer(Int64(Limits.portsOfRule)),
                        "items": ["$ref": "#/$defs/ports"],
                    ],
                ]
            ],
            otherWords: ["port", "dport", "destination-ports", "dest-port"],
            read: { tree, context, rule in rule.ports = context.portRanges(tree, "ports") },
            write: { $0.ports.isEmpty ? nil : .array($0.ports.map(ForwardFields.write)) }),
        Field(
            key: "source", about: "Addresses in the zone that connections come from; left out: all of it.",
            schema: prefixList, otherWords: ["sources", "source-address", "saddr"],
            read: { tree, context, rule in rule.sources = context.prefixes(tree, "source") },
            write: { prefixes($0.sources) }),
        Field(
            key: "destination", about: "Addresses in the zone that they go to; left out: all of it.",
            schema: prefixList, otherWords: ["destinations", "destination-address", "daddr"],
            read: { tree, context, rule in rule.destinations = context.prefixes(tree, "destination") },
            write: { prefixes($0.destinations) }),
    ]

    private static let decision: [Field<Rule>] = [
        Field(
            key: "action", about: "What happens: `accept`, `drop` (silence) or `reject` (refusal).",
            schema: actionSchema, otherWords: ["target", "verdict", "then", "policy"], isRequired: true,
            read: { tree, context, rule in
                if let action = action(tree, &context) { rule.action = action }
            },
            write: { .string($0.action.rawValue) }),
        Field(
            key: "limit",
            about: "At most so many new connections in a time (`10/minute`, `10/minute burst 20`); what is beyond goes "
                + "on to the next rules.",
            schema: ["type": "string", "pattern": .string(Patterns.limit)], otherWords: ["rate", "ratelimit", "burst"],
            read: { tree, context, rule in
                guard let word = context.word(tree, "limit", example: "10/minute") else { return }
                do throws(UrsaError) { rule.limit = try RateLimit(parsing: word) } catch {
                    context.fault(tree.place, error)
                }
            },
            write: { $0.limit.map { .string($0.spelling) } }),
        Field(
            key: "log", about: "Level by which what the rule decides is logged; left out: not at all.",
            schema: logSchema, otherWords: ["loglevel", "log-level", "logging"],
            read: { tree, context, rule in rule.log = log(tree, &context) },
            write: { $0.log.map { .string($0.rawValue) } }),
    ]

    /// Reads one entry of the list; nil when it is no map.
    static func read(_ item: YAMLTree, _ context: inout ReadContext) -> Rule? {
        let example = "- { from: net, to: dmz, proto: tcp, ports: [80], action: accept }"
        guard let pairs = context.entry(item, "a rule", example: example) else { return nil }
        var rule = Rule(from: "", to: "", action: .drop)
        context.read(pairs, at: item.place, all, of: "a rule", into: &rule)
        return rule
    }

    static let actionSchema: JSON = ["enum": .array(FirewallAction.allCases.map { .string($0.rawValue) })]
    static let logSchema: JSON = ["enum": .array(LogLevel.allCases.map { .string($0.rawValue) })]
    private static let prefixList: JSON = [
        "anyOf": [
            ["$ref": "#/$defs/prefix"],
            [
                "type": "array", "maxItems": .integer(Int64(Limits.prefixesOfRule)),
                "items": ["$ref": "#/$defs/prefix"],
            ],
        ]
    ]

    private static func prefixes(_ prefixes: [AddressPrefix]) -> JSON? {
        prefixes.isEmpty ? nil : .array(prefixes.map { .string($0.short) })
    }

    /// What happens to packets; other firewalls' words get a hint.
    static func action(_ tree: YAMLTree, _ context: inout ReadContext) -> FirewallAction? {
        let others: [String: FirewallAction] = [
            "allow": .accept, "pass": .accept, "permit": .accept, "deny": .drop, "block": .drop, "refuse": .reject,
            "return": .reject,
        ]
        return context.choice(tree, "action", others: others)
    }

    /// How loud a decision is logged.
    static func log(_ tree: YAMLTree, _ context: inout ReadContext) -> LogLevel? {
        let others: [String: LogLevel] = [
            "true": .info, "yes": .info, "on": .info, "warning": .warn, "error": .err, "crit": .err, "alert": .err,
            "emerg": .err,
        ]
        return context.choice(tree, "log", others: others)
    }
}

extension RateLimit {
    /// Reads `10/minute` and `10/minute burst 20`.
    init(parsing text: String) throws(UrsaError) {
        func fault(_ remedy: String) -> UrsaError { UrsaError(.usage, "\(shown(text)) is no limit", remedy: remedy) }
        func number(_ text: Substring) -> Int? {
            guard (1...9).contains(text.utf8.count), text.first != "0",
                text.utf8.allSatisfy({ (48...57).contains($0) })
            else { return nil }
            return Int(text)
        }
        let form = "write for example `10/minute`, or `10/minute burst 20`"
        let words = text.split(separator: " ", omittingEmptySubsequences: false)
        guard let first = words.first, words.count == 1 || (words.count == 3 && words[1] == "burst") else {
            throw fault(form)
        }
        let parts = first.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let count = number(parts[0]) else { throw fault(form) }
        guard let unit = Unit(rawValue: String(parts[1])) else {
            let short: [String: Unit] = [
                "s": .second, "sec": .second, "m": .minute, "min": .minute, "h": .hour, "d": .day,
            ]
            let words = Unit.allCases.map(\.rawValue)
            let meant = short[String(parts[1])].map { "did you mean `\(count)/\($0.rawValue)`?" }
            throw fault(meant ?? choiceRemedy(String(parts[1]), words))
        }
        self.init(count: count, unit: unit)
        if words.count == 3 {
            guard let burst = number(words[2]) else { throw fault(form) }
            self.burst = burst
        }
    }

    /// The text that reads back.
    var spelling: String {
        self == RateLimit(count: count, unit: unit) ? description : "\(description) burst \(burst)"
    }
}

extension ReadContext {
    /// The pairs of an entry of a list section. What is no map is no part of the spec and has no index: it breaks the
    /// section.
    mutating func entry(_ item: YAMLTree, _ what: String, example: String) -> [YAMLPair]? {
        if case .map(let pairs, _) = item { return pairs }
        if let section = path?.section { path = SpecPath(whole: section) }
        return map(item, what, example: example)
    }
}
