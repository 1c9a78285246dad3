import UrsaBase

/// The keys of a forward.
enum ForwardFields {
    /// All keys, in the order in which they are written.
    static let all: [Field<ForwardSpec>] = outside + inside

    private static let outside: [Field<ForwardSpec>] = [
        Field(
            key: "uplink", about: "Uplink that the ports are on; left out: all of the host.",
            schema: ["$ref": "#/$defs/networkName"], otherWords: ["on", "via", "provider"],
            read: { tree, context, forward in forward.uplink = context.name(tree, "uplink", example: "wired") },
            write: { $0.uplink.map { .string($0) } }),
        Field(
            key: "address", about: "Address of the host that the ports are on; left out: every one.",
            schema: ["$ref": "#/$defs/address"], otherWords: ["host", "listen", "bind"],
            read: { tree, context, forward in
                forward.address = context.address(tree, "address", example: "192.0.2.1")
            },
            write: { $0.address.map { .string("\($0)") } }),
        Field(
            key: "proto", about: "Transport: `tcp` or `udp`.",
            schema: MachineFields.choiceSchema(PublishSpec.Transport.tcp), otherWords: ["protocol", "transport"],
            read: { tree, context, forward in
                if let known: PublishSpec.Transport = context.choice(tree, "proto") { forward.transport = known }
            },
            write: { .string($0.transport.rawValue) }),
        Field(
            key: "port", about: "Port on the host, or a range: `8000-8100`.", schema: ["$ref": "#/$defs/ports"],
            otherWords: ["ports", "dport", "host-port", "from-port"], isRequired: true,
            read: { tree, context, forward in
                if let ports = context.portRange(tree, "port", example: "2222") { forward.ports = ports }
            },
            write: { write($0.ports) }),
        Field(
            key: "source", about: "Addresses that may use it; left out: everybody.",
            schema: [
                "anyOf": [
                    ["$ref": "#/$defs/prefix"],
                    [
                        "type": "array", "maxItems": .integer(Int64(Limits.prefixesOfRule)),
                        "items": ["$ref": "#/$defs/prefix"],
                    ],
                ]
            ],
            otherWords: ["from", "sources", "allow"],
            read: { tree, context, forward in forward.sources = context.prefixes(tree, "source") },
            write: { $0.sources.isEmpty ? nil : .array($0.sources.map { .string($0.short) }) }),
    ]

    private static let inside: [Field<ForwardSpec>] = [
        Field(
            key: "to", about: "Machine that the ports lead to.", schema: ["$ref": "#/$defs/machineName"],
            otherWords: ["machine", "target", "vm", "guest"], isRequired: true,
            read: { tree, context, forward in
                guard let name = context.name(tree, "to", example: "web") else { return }
                guard let colon = name.lastIndex(of: ":"),
                    let port = PublishSpec.port(String(name[colon...].dropFirst()))
                else {
                    forward.machine = name
                    return
                }
                context.fault(
                    tree.place, "\(shown(name)) is no machine's name", remedy: "write the port as `to-port: \(port)`")
            },
            write: { .string($0.machine) }),
        Field(
            key: "to-port",
            about: "Port in the machine; for a range the first of as many. Left out: the same as on the host.",
            schema: ["type": "integer", "minimum": 1, "maximum": 65535],
            otherWords: ["toport", "guest-port", "target-port", "machine-port"],
            read: { tree, context, forward in forward.toPort = context.port(tree, "to-port", example: 22) },
            write: { $0.toPort.map { .integer(Int64($0)) } }),
    ]

    /// A range of ports as it is written: a number, or `8000-8100`.
    static func write(_ ports: ClosedRange<UInt16>) -> JSON {
        ports.count == 1
            ? .integer(Int64(ports.lowerBound)) : .string("\(ports.lowerBound)-\(ports.upperBound)")
    }

    /// Reads one entry of the list; nil when it is no map.
    static func read(_ item: YAMLTree, _ context: inout ReadContext) -> ForwardSpec? {
        let example = "- { proto: tcp, port: 2222, to: web, to-port: 22 }"
        guard let pairs = context.entry(item, "a forward", example: example) else { return nil }
        var forward = ForwardSpec(ports: 0...0, to: "")
        context.read(pairs, at: item.place, all, of: "a forward", into: &forward)
        return forward
    }
}
