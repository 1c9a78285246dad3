import UrsaBase

/// The network cards of a machine.
enum CardFields {
    /// The keys of a card.
    static let all: [Field<NICSpec>] = addresses + port

    private static let addresses: [Field<NICSpec>] = [
        Field(
            key: "address",
            about: "IPv4 address in the network's subnet; left out: a free one, kept for the machine's life.",
            schema: ["type": "string", "pattern": .string(Patterns.ipv4)],
            otherWords: ["ip", "ipv4", "ipv4_address", "addr"],
            read: { tree, context, card in
                guard let word = context.word(tree, "address", example: "10.77.0.20") else { return }
                if let address = IPv4Address(word) {
                    card.address = address
                } else {
                    context.fault(
                        tree.place, "\(shown(word)) is no IPv4 address",
                        remedy: word.contains("/")
                            ? "write it without the prefix length" : "for example `address: 10.77.0.20`")
                }
            },
            write: { $0.address.map { .string("\($0)") } }),
        Field(
            key: "address6",
            about: "IPv6 address in the network's IPv6 subnet; left out: the one that the card forms itself.",
            schema: ["type": "string", "pattern": .string(Patterns.ipv6)],
            otherWords: ["ipv6", "ip6", "ipv6_address"],
            read: { tree, context, card in
                card.address6 = context.ipv6(tree, "address6", example: "2001:db8:5::20") ?? card.address6
            },
            write: { $0.address6.map { .string("\($0)") } }),
        Field(
            key: "mac", about: "Ethernet address; left out: one derived from the machine's identity.",
            schema: ["type": "string", "pattern": "^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}$"],
            otherWords: ["mac-address", "mac_address", "hwaddr", "ethernet"],
            read: { tree, context, card in
                guard let word = context.word(tree, "mac", example: "52:54:00:12:34:56") else { return }
                if let mac = MACAddress(word) {
                    card.mac = mac
                } else {
                    context.fault(
                        tree.place, "\(shown(word)) is no Ethernet address",
                        remedy: "for example `mac: 52:54:00:12:34:56`")
                }
            },
            write: { $0.mac.map { .string("\($0)") } }),
    ]

    private static let port: [Field<NICSpec>] = [
        Field(
            key: "isolated",
            about: "Whether this machine and the network's other isolated ones can't reach each other.",
            schema: ["type": "boolean", "default": false], otherWords: ["isolate", "port-isolation", "private"],
            read: { tree, context, card in
                if let flag = context.flag(tree, "isolated") { card.isIsolated = flag }
            },
            write: { $0.isIsolated ? .bool(true) : nil }),
        Field(
            key: "anti-spoof",
            about: "Whether frames that claim another's Ethernet, IPv4 or IPv6 address are dropped.",
            schema: ["type": "boolean", "default": false], otherWords: ["antispoof", "mac-filtering", "ipfilter"],
            read: { tree, context, card in
                if let flag = context.flag(tree, "anti-spoof") { card.isGuarded = flag }
            },
            write: { $0.isGuarded ? .bool(true) : nil }),
        Field(
            key: "rate",
            about: "Most bits per second, with K, M or G (powers of 1000): one for both ways, or `{ send, receive }`.",
            schema: [
                "anyOf": [
                    ["$ref": "#/$defs/rate"],
                    [
                        "type": "object", "minProperties": 1, "additionalProperties": false,
                        "properties": ["send": ["$ref": "#/$defs/rate"], "receive": ["$ref": "#/$defs/rate"]],
                    ],
                ]
            ],
            otherWords: ["bandwidth", "limit", "rate-limit", "speed"],
            read: readRate,
            write: { card in
                if card.sendRate == card.receiveRate { return card.sendRate.map { .string("\($0)") } }
                return .record([
                    "send": card.sendRate.map { .string("\($0)") },
                    "receive": card.receiveRate.map { .string("\($0)") },
                ])
            }),
        Field(
            key: "mtu", about: "Largest payload of a frame that this guest is told; left out: the network's.",
            schema: [
                "type": "integer", "minimum": .integer(Int64(Limits.mtu.lowerBound)),
                "maximum": .integer(Int64(Limits.mtu.upperBound)),
            ],
            read: { tree, context, card in
                if let number = context.integer(tree, "mtu", example: 1400) { card.mtu = number }
            },
            write: { $0.mtu.map { .integer(Int64($0)) } }),
    ]

    @Sendable private static func readRate(_ tree: YAMLTree, _ context: inout ReadContext, _ card: inout NICSpec) {
        guard case .map(let pairs, let place) = tree else {
            if let rate = context.rate(tree, "rate", example: "10M") {
                (card.sendRate, card.receiveRate) = (rate, rate)
            }
            return
        }
        let path = context.path
        defer { context.path = path }
        if pairs.isEmpty { context.fault(place, "`rate` says nothing", remedy: "for example `rate: 10M`") }
        let ways: [Field<NICSpec>] = [
            Field(
                key: "send", about: "", schema: [], otherWords: ["up", "upload", "out", "egress", "tx"],
                read: { tree, context, card in
                    if let rate = context.rate(tree, "send", example: "10M") { card.sendRate = rate }
                }, write: { _ in nil }),
            Field(
                key: "receive", about: "", schema: [], otherWords: ["down", "download", "in", "ingress", "rx"],
                read: { tree, context, card in
                    if let rate = context.rate(tree, "receive", example: "10M") { card.receiveRate = rate }
                }, write: { _ in nil }),
        ]
        context.read(pairs, at: place, ways, of: "a rate", into: &card)
    }

    /// Reads the list of a machine's cards.
    static func readList(_ tree: YAMLTree, _ context: inout ReadContext, _ machine: inout MachineSpec) {
        if case .scalar(let scalar) = tree, scalar.meaning != .null {
            context.fault(
                tree.place, "`networks` wants a list, not \(tree.kind)",
                remedy: "write `networks: [\(printable(scalar.text))]`")
            return
        }
        guard let items = context.list(tree, "networks", example: "[lab]") else { return }
        let whole = context.path
        for item in items {
            context.path = whole
            context.note(item: machine.networks.count, item.place)
            guard let card = read(item, whole?.with("networks", item: machine.networks.count), &context) else {
                continue
            }
            machine.networks.append(card)
        }
    }

    private static func printable(_ text: String) -> String {
        text.utf8.count <= 64 && !text.unicodeScalars.contains(where: isHarmful) ? text : "lab"
    }

    private static func read(_ item: YAMLTree, _ path: SpecPath?, _ context: inout ReadContext) -> NICSpec? {
        switch item {
        case .scalar(let scalar):
            guard scalar.meaning != .null else {
                context.fault(item.place, "a network card names no network", remedy: "for example `networks: [lab]`")
                return nil
            }
            return NICSpec(network: scalar.text)
        case .list:
            context.fault(
                item.place, "a network card is a name or a map, not a list", remedy: "for example `networks: [lab]`")
            return nil
        case .map(let pairs, let place):
            guard let pair = pairs.first, pairs.count == 1 else {
                let isOption = pairs.contains { pair in all.contains { $0.key == pair.key.text } }
                let remedy =
                    isOption
                    ? "indent the options below the network's name: `- lab: { address: 10.77.0.20 }`"
                    : "for example `networks: [{ lab: { address: 10.77.0.20 } }, other]`"
                context.fault(place, "a network card names exactly one network, not \(pairs.count)", remedy: remedy)
                return nil
            }
            var card = NICSpec(network: pair.key.text)
            if pair.value.isNull { return card }
            guard case .map(let options, let place) = pair.value else {
                context.fault(
                    pair.value.place, "the options of a network card are a map, not \(pair.value.kind)",
                    remedy: "for example `{ lab: { address: 10.77.0.20 } }`")
                return nil
            }
            context.path = path
            context.read(options, at: place, all, of: "a network card", into: &card)
            return card
        }
    }

    /// A card as it stands in a machine's list.
    static func write(_ card: NICSpec) -> JSON {
        let options = all.write(card)
        return options.isEmpty ? .string(card.network) : .object([JSON.Member(card.network, .object(options))])
    }
}
