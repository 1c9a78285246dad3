import UrsaBase
import UrsaFirewall

/// The top-level keys of a spec.
enum SpecFields {
    /// All keys, in the order in which they are written.
    static let all: [Field<Spec>] = [uplinks, networks, zones, policy, rules, forwards, admins, machines]

    private static let networks =
        Field<Spec>(
            key: "networks", about: "Networks by name.",
            schema: [
                "type": ["object", "null"], "propertyNames": ["$ref": "#/$defs/networkName"],
                "additionalProperties": ["$ref": "#/$defs/network"],
            ],
            otherWords: ["nets", "network"],
            read: { tree, context, spec in
                for pair in section(tree, .networks, "lab: nat", &context) {
                    context.enter(SpecPath(.networks, spec.networks.count), pair.key.place)
                    let network = NetworkFields.read(pair, &context)
                    if !pair.isRepeated { spec.networks.append(network) }
                }
            },
            write: { spec in .object(spec.networks.map { JSON.Member($0.name, .object($0.members)) }) })

    private static let machines =
        Field<Spec>(
            key: "machines", about: "Machines by name.",
            schema: [
                "type": ["object", "null"], "propertyNames": ["$ref": "#/$defs/machineName"],
                "additionalProperties": ["$ref": "#/$defs/machine"],
            ],
            otherWords: ["vms", "vm", "services", "domains", "guests", "instances", "servers", "machine"],
            read: { tree, context, spec in
                for pair in section(tree, .machines, "web: { image: tiny }", &context) {
                    context.enter(SpecPath(.machines, spec.machines.count), pair.key.place)
                    let machine = machine(pair, &context)
                    if !pair.isRepeated { spec.machines.append(machine) }
                }
            },
            write: { spec in .object(spec.machines.map { JSON.Member($0.name, .object($0.members)) }) })

    private static let uplinks = Field<Spec>(
        key: "uplinks", about: "Ways out of the host by name; left out: the host's own routing.",
        schema: [
            "type": ["object", "null"], "propertyNames": ["$ref": "#/$defs/networkName"],
            "additionalProperties": ["$ref": "#/$defs/uplink"],
        ],
        otherWords: ["providers", "uplink", "gateways", "wan"],
        read: { tree, context, spec in
            for pair in section(tree, .uplinks, "wired: { interface: eth0, gateway: 172.20.1.1 }", &context) {
                context.enter(SpecPath(.uplinks, spec.uplinks.count), pair.key.place)
                let uplink = UplinkFields.read(pair, &context)
                if !pair.isRepeated { spec.uplinks.append(uplink) }
            }
        },
        write: { spec in
            guard !spec.uplinks.isEmpty else { return nil }
            return .object(spec.uplinks.map { JSON.Member($0.name, .object(UplinkFields.all.write($0))) })
        })

    private static let zones = Field<Spec>(
        key: "zones",
        about: "Named parts of the world for `policy` and `rules`. A network or uplink in none is one of its own name.",
        schema: [
            "type": ["object", "null"],
            "propertyNames": ["allOf": [["$ref": "#/$defs/networkName"], ["not": ["enum": ["host", "any"]]]]],
            "additionalProperties": ["$ref": "#/$defs/zone"],
        ],
        otherWords: ["zone", "groups", "security-groups"],
        read: { tree, context, spec in
            for pair in section(tree, .zones, "kvm: [lan, lab]", &context) {
                context.enter(SpecPath(.zones, spec.firewall.zones.count), pair.key.place)
                let zone = ZoneFields.read(pair, spec.firewall.zones.count, &context)
                if !pair.isRepeated { spec.firewall.zones.append(zone) }
            }
        },
        write: { spec in
            guard !spec.firewall.zones.isEmpty else { return nil }
            return .object(spec.firewall.zones.map { JSON.Member($0.name, .object(ZoneFields.all.write($0))) })
        })

    private static let policy = Field<Spec>(
        key: "policy",
        about:
            "What happens between two zones when no rule decides; the first that fits a pair of zones is the pair's one.",
        schema: [
            "type": ["array", "null"], "maxItems": .integer(Int64(Limits.policies)),
            "items": ["$ref": "#/$defs/policy"],
        ],
        otherWords: ["policies", "defaults", "default-policy"],
        read: { tree, context, spec in
            for item in items(tree, .policy, "{ from: kvm, to: any, action: accept }", &context) {
                context.enter(SpecPath(.policy, spec.firewall.policies.count), item.place)
                if let policy = PolicyFields.read(item, &context) { spec.firewall.policies.append(policy) }
            }
        },
        write: { spec in
            let policies = spec.firewall.policies
            return policies.isEmpty ? nil : .array(policies.map { .object(PolicyFields.all.write($0)) })
        })

    private static let rules = Field<Spec>(
        key: "rules", about: "Exceptions to the policies, tried before them in the order of the file.",
        schema: [
            "type": ["array", "null"], "maxItems": .integer(Int64(Limits.rules)),
            "items": ["$ref": "#/$defs/rule"],
        ],
        otherWords: ["rule", "exceptions", "acls", "firewall"],
        read: { tree, context, spec in
            for item in items(
                tree, .rules, "{ from: net, to: dmz, proto: tcp, ports: [80], action: accept }", &context)
            {
                context.enter(SpecPath(.rules, spec.firewall.rules.count), item.place)
                if let rule = RuleFields.read(item, &context) { spec.firewall.rules.append(rule) }
            }
        },
        write: { spec in
            let rules = spec.firewall.rules
            return rules.isEmpty ? nil : .array(rules.map { .object(RuleFields.all.write($0)) })
        })

    private static let forwards = Field<Spec>(
        key: "forwards",
        about: "Ports of the host that lead into machines: on one uplink, as ranges, for some sources only.",
        schema: [
            "type": ["array", "null"], "maxItems": .integer(Int64(Limits.forwards)),
            "items": ["$ref": "#/$defs/forward"],
        ],
        otherWords: ["forward", "port-forwards", "dnat", "redirects"],
        read: { tree, context, spec in
            for item in items(tree, .forwards, "{ proto: tcp, port: 2222, to: web, to-port: 22 }", &context) {
                context.enter(SpecPath(.forwards, spec.forwards.count), item.place)
                if let forward = ForwardFields.read(item, &context) { spec.forwards.append(forward) }
            }
        },
        write: { spec in
            spec.forwards.isEmpty ? nil : .array(spec.forwards.map { .object(ForwardFields.all.write($0)) })
        })

    private static let admins = Field<Spec>(
        key: "admins", about: "Addresses whose connections to the host are always accepted: nobody locks himself out.",
        schema: [
            "type": ["array", "null"], "maxItems": .integer(Int64(Limits.admins)), "items": ["$ref": "#/$defs/prefix"],
        ],
        otherWords: ["admin", "always-allow", "stoppedrules", "routestopped"],
        read: { tree, context, spec in
            for item in items(tree, .admins, "192.0.2.7", &context) {
                context.enter(SpecPath(.admins, spec.firewall.admins.count), item.place)
                if let prefix = context.prefix(item, "admins") { spec.firewall.admins.append(prefix) }
            }
        },
        write: { spec in
            let admins = spec.firewall.admins
            return admins.isEmpty ? nil : .array(admins.map { .string($0.short) })
        })

    /// The pairs of a section that is a map of names.
    private static func section(
        _ tree: YAMLTree, _ section: SpecPath.Section, _ example: String, _ context: inout ReadContext
    ) -> [YAMLPair] {
        let key = section.rawValue
        context.enter(SpecPath(whole: section), tree.place)
        if tree.isNull { return [] }
        if case .list = tree {
            context.fault(
                tree.place, "`\(key)` wants a map of names, not a list", remedy: "write `\(example)` without the hyphen"
            )
            return []
        }
        return context.map(tree, "`\(key)`", example: "\(key): { \(example) }") ?? []
    }

    /// The items of a section that is a list.
    private static func items(
        _ tree: YAMLTree, _ section: SpecPath.Section, _ example: String, _ context: inout ReadContext
    ) -> [YAMLTree] {
        let key = section.rawValue
        context.enter(SpecPath(whole: section), tree.place)
        if tree.isNull { return [] }
        if case .map = tree {
            context.fault(
                tree.place, "`\(key)` wants a list, not a map", remedy: "begin each entry with a hyphen: `- \(example)`"
            )
            return []
        }
        return context.list(tree, key, example: "[\(example)]") ?? []
    }

    static func machine(_ pair: YAMLPair, _ context: inout ReadContext) -> MachineSpec {
        var machine = MachineSpec(name: pair.key.text, image: "")
        let whole = context.path
        // What is no map has no image either, but its name can be judged.
        context.path = whole?.with("image")
        guard let pairs = context.map(pair.value, "a machine", example: "web: { image: tiny }") else { return machine }
        context.path = whole
        if !pairs.contains(where: { $0.key.text == "networks" }) {
            machine.networks = [NICSpec(network: NetworkSpec.defaultName)]
        }
        context.read(pairs, at: pair.key.place, MachineFields.all, of: "a machine", into: &machine)
        return machine
    }
}
