import UrsaBase

/// A network while it is read: its model is one of several keys.
struct NetworkDraft: Sendable {
    var network: NetworkSpec
    var models: [NetworkSpec.Model] = []
}

/// The keys of a network.
enum NetworkFields {
    /// All keys, in the order in which they are written.
    static let all: [Field<NetworkDraft>] = NetworkSpec.Model.allCases.map(ModelFields.field) + options

    /// Models of the design that later versions bring.
    static let laterModels = ["switch"]

    static let options: [Field<NetworkDraft>] = [
        Field(
            key: "placement",
            about: "Where the network's bridge is: in a `namespace` of its own, or among the `host`'s own links.",
            schema: MachineFields.choiceSchema(NetworkSpec.Placement.namespace), otherWords: ["location", "where"],
            read: { tree, context, draft in
                if let placement: NetworkSpec.Placement = context.choice(tree, "placement") {
                    draft.network.placement = placement
                }
            },
            write: { $0.network.model.hasPlacement ? .string($0.network.placement.rawValue) : nil }),
        Field(
            key: "subnet",
            about: "IPv4 subnet, /8 to /29, such as 10.77.0.0/24; left out: a free one, or with `lan` the interface's.",
            schema: ["type": "string", "pattern": "^[0-9]{1,3}(\\.[0-9]{1,3}){3}/([89]|1[0-9]|2[0-9])$"],
            otherWords: ["cidr", "range", "ipv4", "network"],
            read: { tree, context, draft in
                guard let word = context.word(tree, "subnet", example: "10.77.0.0/24") else { return }
                if let subnet = IPv4Network(word) {
                    draft.network.subnet = subnet
                } else {
                    context.fault(tree.place, "\(shown(word)) is no IPv4 subnet", remedy: subnetRemedy(word))
                }
            },
            write: { $0.network.subnet.map { .string("\($0)") } }),
        Field(
            key: "subnet6", about: "IPv6 subnet, a /64; left out: one of the host's own ULA prefix.",
            schema: ["type": "string", "pattern": "^[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*/64$"],
            otherWords: ["ipv6-subnet", "prefix6", "subnet-v6"],
            read: { tree, context, draft in
                guard let word = context.word(tree, "subnet6", example: "fd00:77::/64") else { return }
                if let subnet = IPv6Network(word) {
                    draft.network.subnet6 = subnet
                } else {
                    context.fault(tree.place, "\(shown(word)) is no IPv6 subnet", remedy: subnet6Remedy(word))
                }
            },
            write: { $0.network.subnet6.map { .string("\($0)") } }),
        Field(
            key: "ipv6", about: "Whether the network has IPv6.", schema: ["type": "boolean", "default": true],
            otherWords: ["enable-ipv6", "enable_ipv6"],
            read: { tree, context, draft in
                if let flag = context.flag(tree, "ipv6") { draft.network.ipv6 = flag }
            },
            write: { .bool($0.network.ipv6) }),
        Field(
            key: "start",
            about: "When the network exists: `on-demand`, from its first machine's start to its last one's end, or "
                + "`always`, from `up` to `down`.",
            schema: MachineFields.choiceSchema(NetworkSpec.Start.onDemand), otherWords: ["autostart"],
            read: { tree, context, draft in
                if let start: NetworkSpec.Start = context.choice(tree, "start") { draft.network.start = start }
            },
            write: { .string($0.network.start.rawValue) }),
        Field(
            key: "mtu", about: "Largest payload of a frame in bytes.",
            schema: [
                "type": "integer", "minimum": .integer(Int64(Limits.mtu.lowerBound)),
                "maximum": .integer(Int64(Limits.mtu.upperBound)),
            ],
            read: { tree, context, draft in
                if let number = context.integer(tree, "mtu", example: 1500) { draft.network.mtu = number }
            },
            write: { $0.network.mtu.map { .integer(Int64($0)) } }),
    ]

    /// Reads what stands under a network's name.
    static func read(_ pair: YAMLPair, _ context: inout ReadContext) -> NetworkSpec {
        var draft = NetworkDraft(network: NetworkSpec(name: pair.key.text))
        // Faults of the model leave the name to be judged.
        let whole = context.path
        context.path = whole?.with("model")
        defer { context.path = whole }
        switch pair.value {
        case .scalar(let scalar):
            readShort(scalar, pair, &context, &draft)
        case .list:
            context.fault(
                pair.value.place, "a network is a map or the word of its model, not a list",
                remedy: "for example `lab: nat`")
        case .map(let pairs, let place):
            var hasUnknownModel = false
            context.path = whole
            context.read(pairs, at: place, all, of: "a network", into: &draft) { pair, context in
                if misplacedOption(pair, &context) { return true }
                guard unknownModel(pair, &context) else { return false }
                hasUnknownModel = true
                return true
            }
            context.path = whole?.with("model")
            if draft.models.isEmpty, !hasUnknownModel {
                context.fault(
                    pair.key.place, "the network \(shown(pair.key.text)) has no model",
                    remedy: "write `nat: {}` in it, or another model")
            } else if draft.models.count > 1 {
                context.fault(
                    pair.key.place, "the network \(shown(pair.key.text)) has \(draft.models.count) models",
                    remedy: "keep one of \(draft.models.map { "`\($0.rawValue)`" }.joined(separator: " and "))")
            }
        }
        return draft.network
    }

    private static func readShort(
        _ scalar: YAMLScalar, _ pair: YAMLPair, _ context: inout ReadContext, _ draft: inout NetworkDraft
    ) {
        let words = NetworkSpec.Model.allCases.map(\.rawValue)
        if let model = NetworkSpec.Model(rawValue: scalar.text) {
            draft.network.model = model
            context.enter(context.path?.with(model.rawValue), scalar.place)
        } else if scalar.meaning == .null {
            context.fault(
                pair.key.place, "the network \(shown(pair.key.text)) has no model",
                remedy: "write `\(pair.key.text.utf8.count > 32 ? "lab" : pair.key.text): nat`")
        } else if laterModels.contains(scalar.text) {
            context.fault(
                scalar.place, later(scalar.text),
                remedy: "use one of \(NetworkSpec.Model.allCases.map { "`\($0.rawValue)`" }.joined(separator: ", "))")
        } else {
            context.fault(
                scalar.place, "\(shown(scalar.text)) is no network model", remedy: choiceRemedy(scalar.text, words))
        }
    }

    private static func later(_ word: String) -> String { "the network model `\(word)` is not there yet" }

    /// Deals with options of a model that stand beside it.
    private static func misplacedOption(_ pair: YAMLPair, _ context: inout ReadContext) -> Bool {
        guard let (model, option) = ModelFields.option(pair.key.text) else { return false }
        context.fault(
            pair.key.place, "a network has no key \(shown(pair.key.text))",
            remedy: "it stands in the model: `\(model.rawValue): { \(option): … }`")
        return true
    }

    /// Deals with keys that name models of other versions or tools.
    private static func unknownModel(_ pair: YAMLPair, _ context: inout ReadContext) -> Bool {
        if laterModels.contains(pair.key.text) {
            context.fault(
                pair.key.place, later(pair.key.text),
                remedy: "use one of \(NetworkSpec.Model.allCases.map { "`\($0.rawValue)`" }.joined(separator: ", "))")
            return true
        }
        guard ["model", "type", "mode", "driver"].contains(pair.key.text) else { return false }
        var word = "nat"
        if case .scalar(let scalar) = pair.value, let model = NetworkSpec.Model(rawValue: scalar.text) {
            word = model.rawValue
        }
        context.fault(
            pair.key.place, "a network has no key \(shown(pair.key.text))",
            remedy: "the model is a key itself: write `\(word): {}`")
        return true
    }

    private static func subnetRemedy(_ word: String) -> String {
        let parts = word.split(separator: "/", omittingEmptySubsequences: false)
        if let first = parts.first, let address = IPv4Address(String(first)) {
            if parts.count == 1 { return "it lacks the prefix length: `\(address)/24`" }
            if parts.count == 2, let prefix = Int(parts[1]), (8...29).contains(prefix) {
                return "bits beyond the prefix are set: `\(IPv4Network(address, prefix: prefix))`?"
            }
        }
        return "for example `subnet: 10.77.0.0/24`"
    }

    private static func subnet6Remedy(_ word: String) -> String {
        let parts = word.split(separator: "/", omittingEmptySubsequences: false)
        if let first = parts.first, let address = IPv6Address(String(first)) {
            if parts.count == 1 { return "it lacks the prefix length: `\(address)/64`" }
            if parts.count == 2, let prefix = Int(parts[1]), (0...128).contains(prefix) {
                return "bits beyond the prefix are set: `\(IPv6Network(address, prefix: prefix))`?"
            }
        }
        return "for example `subnet6: fd00:77::/64`"
    }
}
