import UrsaBase

/// The models of a network: each is a key whose map holds what only this model has.
enum ModelFields {
    /// The key of a model.
    static func field(_ model: NetworkSpec.Model) -> Field<NetworkDraft> {
        let options = options(model)
        var schema: [JSON.Member] = [JSON.Member("type", ["object", "null"])]
        if options.isEmpty {
            schema.append(JSON.Member("maxProperties", 0))
        } else {
            schema += (options.schema("").members ?? []).filter { $0.name == "properties" }
            schema.append(JSON.Member("additionalProperties", false))
        }
        return Field(
            key: model.rawValue, about: about(model), schema: .object(schema),
            read: { tree, context, draft in
                draft.models.append(model)
                draft.network.model = model
                switch tree {
                case _ where tree.isNull: return
                case .map(let pairs, let place):
                    guard !options.isEmpty else { return noOptions(model, pairs, &context) }
                    context.read(pairs, at: place, options, of: "`\(model.rawValue)`", into: &draft) { pair, context in
                        misplaced(pair, in: model, &context)
                    }
                default:
                    context.fault(
                        tree.place, "`\(model.rawValue)` wants a map, not \(tree.kind)",
                        remedy: "write `\(example(model))`")
                }
            },
            write: { draft in draft.network.model == model ? .object(options.write(draft)) : nil })
    }

    private static func about(_ model: NetworkSpec.Model) -> String {
        switch model {
        case .nat: "A private subnet whose machines reach the outside by the host's addresses."
        case .isolated: "A private subnet without a way out, in which the host has no address."
        case .routed:
            "A subnet that the host forwards to and from without translation; the outside needs a route to it."
        case .bridged: "Machines are on the LAN itself: its interface becomes a port of a bridge."
        case .lan:
            "Machines have addresses of the LAN, for which the host answers there (proxy ARP and NDP); no bridge."
        case .user: "No network of the host: each machine has a user-space NAT of its own; needs no root."
        }
    }

    private static func example(_ model: NetworkSpec.Model) -> String {
        switch model {
        case .bridged, .lan: "\(model.rawValue): { interface: eth0 }"
        default: "\(model.rawValue): {}"
        }
    }

    /// The options of a model.
    static func options(_ model: NetworkSpec.Model) -> [Field<NetworkDraft>] {
        switch model {
        case .nat: [uplinks]
        case .routed: [proxy, uplinks]
        case .bridged: [interface, bridge, fallback]
        case .lan: [interface]
        case .isolated, .user: []
        }
    }

    /// The first model that has an option of this name or one of its other words, and the option.
    static func option(_ word: String) -> (NetworkSpec.Model, String)? {
        for model in NetworkSpec.Model.allCases {
            for option in options(model) where option.key == word || option.otherWords.contains(word) {
                return (model, option.key)
            }
        }
        return nil
    }

    private static func noOptions(_ model: NetworkSpec.Model, _ pairs: [YAMLPair], _ context: inout ReadContext) {
        guard let pair = pairs.first, !context.isLenient else { return }
        context.fault(
            pair.key.place, "`\(model.rawValue)` has no options, so no key \(shown(pair.key.text))",
            remedy: "write `\(model.rawValue): {}`, and options such as `subnet` beside it")
    }

    /// Deals with options of the network, or of other models, that stand in a model.
    private static func misplaced(
        _ pair: YAMLPair, in model: NetworkSpec.Model, _ context: inout ReadContext
    ) -> Bool {
        let word = pair.key.text
        let remedy: String
        if NetworkFields.options.contains(where: { $0.key == word }) {
            remedy = "it stands beside the model: `{ \(example(model)), \(word): … }`"
        } else if !options(model).contains(where: { $0.otherWords.contains(word) }), let (other, key) = option(word) {
            remedy = "that is for `\(other.rawValue): { \(key): … }`"
        } else {
            return false
        }
        context.fault(pair.key.place, "`\(model.rawValue)` has no key \(shown(word))", remedy: remedy)
        return true
    }

    private static let interface = Field<NetworkDraft>(
        key: "interface", about: "The host's interface that is on the LAN.", schema: ["$ref": "#/$defs/interface"],
        otherWords: ["device", "dev", "nic", "iface", "parent", "link"],
        read: { tree, context, draft in
            draft.network.interface = context.word(tree, "interface", example: "eth0")
        },
        write: { $0.network.interface.map { .string($0) } })

    private static let bridge = Field<NetworkDraft>(
        key: "bridge", about: "A bridge of the host that is there already; it is used and never changed.",
        schema: ["$ref": "#/$defs/interface"], otherWords: ["br", "existing"],
        read: { tree, context, draft in draft.network.bridge = context.word(tree, "bridge", example: "br0") },
        write: { $0.network.bridge.map { .string($0) } })

    private static let fallback = Field<NetworkDraft>(
        key: "fallback", about: "What is made where the interface can't be a port, as with Wi-Fi: `lan`.",
        schema: ["enum": ["lan"]], otherWords: ["otherwise", "else"],
        read: { tree, context, draft in
            guard let word = context.word(tree, "fallback", example: "lan") else { return }
            guard word == NetworkSpec.Model.lan.rawValue else {
                context.fault(
                    tree.place, "`fallback` can't be \(shown(word))",
                    remedy: "only `lan` puts machines on the same LAN; leave it out to be told instead")
                return
            }
            draft.network.fallback = .lan
        },
        write: { $0.network.fallback.map { .string($0.rawValue) } })

    private static let proxy = Field<NetworkDraft>(
        key: "proxy",
        about: "The host's interface on whose LAN it answers for the machines, so that nobody there needs a route.",
        schema: ["$ref": "#/$defs/interface"], otherWords: ["proxy-arp", "proxy_arp", "publish-on"],
        read: { tree, context, draft in draft.network.proxy = context.word(tree, "proxy", example: "eth0") },
        write: { $0.network.proxy.map { .string($0) } })

    private static let uplinks = Field<NetworkDraft>(
        key: "uplinks", about: "Uplinks that the network's machines use; left out: all.",
        schema: ["type": "array", "items": ["$ref": "#/$defs/networkName"]],
        otherWords: ["uplink", "via", "provider", "providers"],
        read: { tree, context, draft in
            draft.network.uplinks = context.names(tree, "uplinks", example: "wired")
        },
        write: { $0.network.uplinks.isEmpty ? nil : .array($0.network.uplinks.map { .string($0) }) })
}

extension NetworkSpec.Model {
    /// Whether its bridge can be among the host's own links.
    public var hasPlacement: Bool { self == .nat || self == .routed }

    /// Whether machines have addresses of a LAN that is there without Ursa.
    public var isOnLAN: Bool { self == .bridged || self == .lan }

    /// Whether ports of the host can lead to its machines through the host's own tables.
    public var takesForwards: Bool { self == .nat || self == .routed || self == .lan }
}
