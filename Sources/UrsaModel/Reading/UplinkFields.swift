import UrsaBase

/// The keys of an uplink.
enum UplinkFields {
    /// All keys, in the order in which they are written.
    static let all: [Field<UplinkSpec>] = place + share

    private static let place: [Field<UplinkSpec>] = [
        Field(
            key: "interface", about: "The host's interface that the provider is on.",
            schema: ["$ref": "#/$defs/interface"], otherWords: ["device", "dev", "nic", "iface", "link"],
            isRequired: true,
            read: { tree, context, uplink in
                if let name = context.word(tree, "interface", example: "eth0") { uplink.interface = name }
            },
            write: { .string($0.interface) }),
        Field(
            key: "gateway",
            about: "IPv4 address of the provider's router; left out: the one of the interface's default route.",
            schema: ["type": "string", "pattern": .string(Patterns.ipv4)], otherWords: ["via", "router", "gw"],
            read: { tree, context, uplink in
                uplink.gateway = context.ipv4(tree, "gateway", example: "172.20.1.1")
            },
            write: { $0.gateway.map { .string("\($0)") } }),
        Field(
            key: "gateway6", about: "IPv6 address of the provider's router, link-local or not.",
            schema: ["type": "string", "pattern": .string(Patterns.ipv6)], otherWords: ["via6", "router6", "gw6"],
            read: { tree, context, uplink in
                uplink.gateway6 = context.ipv6(tree, "gateway6", example: "fe80::1")
            },
            write: { $0.gateway6.map { .string("\($0)") } }),
        Field(
            key: "address",
            about: "The host's IPv4 address towards this provider; left out: the interface's one beside the gateway.",
            schema: ["type": "string", "pattern": .string(Patterns.ipv4)], otherWords: ["ip", "source", "snat"],
            read: { tree, context, uplink in
                uplink.address = context.ipv4(tree, "address", example: "172.20.1.130")
            },
            write: { $0.address.map { .string("\($0)") } }),
    ]

    private static let share: [Field<UplinkSpec>] = [
        Field(
            key: "weight",
            about: "Share of new connections against the other uplinks; 0 takes only what is pinned to it.",
            schema: integerSchema(Limits.weight, default: 1), otherWords: ["balance", "share", "priority"],
            read: { tree, context, uplink in
                if let number = context.integer(tree, "weight", example: 1) { uplink.weight = number }
            },
            write: { .integer(Int64($0.weight)) }),
        Field(
            key: "fallback", about: "Whether it is used only while no other uplink works.",
            schema: ["type": "boolean", "default": false], otherWords: ["backup", "standby", "failover"],
            read: { tree, context, uplink in
                if let flag = context.flag(tree, "fallback") { uplink.isFallback = flag }
            },
            write: { .bool($0.isFallback) }),
        Field(
            key: "check",
            about: "Who must answer pings over this uplink for it to count as working: an address, or `{ target, "
                + "interval, threshold }`.",
            schema: [
                "anyOf": [
                    ["$ref": "#/$defs/address"],
                    .object(CheckFields.all.schema("Who is asked, how often, how patiently.").members ?? []),
                ]
            ],
            otherWords: ["health", "healthcheck", "monitor", "ping"],
            read: CheckFields.read,
            write: { uplink in uplink.check.map { .object(CheckFields.all.write($0)) } }),
    ]

    static func integerSchema(_ range: ClosedRange<Int>, default value: Int) -> JSON {
        [
            "type": "integer", "minimum": .integer(Int64(range.lowerBound)),
            "maximum": .integer(Int64(range.upperBound)), "default": .integer(Int64(value)),
        ]
    }

    /// Reads what stands under an uplink's name.
    static func read(_ pair: YAMLPair, _ context: inout ReadContext) -> UplinkSpec {
        var uplink = UplinkSpec(name: pair.key.text, interface: "")
        let whole = context.path
        // What is no map has no interface either, but its name can be judged.
        context.path = whole?.with("interface")
        defer { context.path = whole }
        if case .scalar(let scalar) = pair.value, NameRules.isInterface(scalar.text), scalar.meaning == .text {
            context.fault(
                scalar.place, "an uplink wants a map, not \(scalar.kind)",
                remedy: "write `{ interface: \(scalar.text) }`")
            return uplink
        }
        let example = "wired: { interface: eth0, gateway: 172.20.1.1 }"
        guard let pairs = context.map(pair.value, "an uplink", example: example) else { return uplink }
        context.path = whole
        context.read(pairs, at: pair.key.place, all, of: "an uplink", into: &uplink)
        return uplink
    }
}

/// The keys of an uplink's check.
enum CheckFields {
    static let all: [Field<UplinkSpec.Check>] = [
        Field(
            key: "target", about: "Address that must answer.", schema: ["$ref": "#/$defs/address"],
            otherWords: ["host", "address", "ping"], isRequired: true,
            read: { tree, context, check in
                if let address = context.address(tree, "target", example: "203.0.113.9") { check.target = address }
            },
            write: { .string("\($0.target)") }),
        Field(
            key: "interval", about: "Time between questions: seconds, or a number with s, m or h; 1s to 1h.",
            schema: [
                "type": ["integer", "string"], "minimum": .integer(Int64(Limits.checkInterval.lowerBound)),
                "maximum": .integer(Int64(Limits.checkInterval.upperBound)), "pattern": "^[0-9]{1,9}[smh]?$",
                "default": 1,
            ],
            otherWords: ["every", "period"],
            read: { tree, context, check in
                guard let word = context.word(tree, "interval", example: "1s") else { return }
                do throws(UrsaError) { check.interval = try Seconds(parsing: word).count } catch {
                    context.fault(tree.place, error)
                }
            },
            write: { .integer(Int64($0.interval)) }),
        Field(
            key: "threshold", about: "Lost answers in a row that end its service, and answers that begin it again.",
            schema: UplinkFields.integerSchema(Limits.checkThreshold, default: 3),
            otherWords: ["retries", "count", "failures"],
            read: { tree, context, check in
                if let number = context.integer(tree, "threshold", example: 3) { check.threshold = number }
            },
            write: { .integer(Int64($0.threshold)) }),
    ]

    /// Reads an address alone, or the map.
    @Sendable static func read(_ tree: YAMLTree, _ context: inout ReadContext, _ uplink: inout UplinkSpec) {
        guard case .map(let pairs, let place) = tree else {
            uplink.check = context.address(tree, "check", example: "203.0.113.9").map { UplinkSpec.Check(target: $0) }
            return
        }
        var check = UplinkSpec.Check(target: .v4(IPv4Address(0)))
        context.read(pairs, at: place, all, of: "a check", into: &check)
        uplink.check = check
    }
}
