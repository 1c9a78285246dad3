import UrsaBase
import UrsaFirewall

/// The keys of a zone.
enum ZoneFields {
    /// All keys, in the order in which they are written.
    static let all: [Field<Zone>] = [
        names("uplinks", "Uplinks: everything behind them.", ["uplink", "providers"], "wired") {
            .uplink($0)
        } _: {
            if case .uplink(let name) = $0 { name } else { nil }
        },
        names("networks", "Networks: all their machines.", ["network", "nets"], "lan") {
            .network($0)
        } _: {
            if case .network(let name) = $0 { name } else { nil }
        },
        Field(
            key: "hosts", about: "Addresses behind one network or uplink, cut out of the zone that this one is in.",
            schema: ["anyOf": [["$ref": "#/$defs/prefix"], ["type": "array", "items": ["$ref": "#/$defs/prefix"]]]],
            otherWords: ["addresses", "host", "subnets", "prefixes"],
            read: { tree, context, zone in
                let prefixes = context.prefixes(tree, "hosts")
                zone.changeHosts { old in old.prefixes = prefixes }
            },
            write: { zone in
                zone.hosts.map { hosts in .array(hosts.prefixes.map { .string($0.short) }) }
            }),
        Field(
            key: "behind", about: "The network or uplink that `hosts` are behind.",
            schema: ["$ref": "#/$defs/networkName"], otherWords: ["via", "on"],
            read: { tree, context, zone in
                guard let name = context.name(tree, "behind", example: "wired") else { return }
                zone.changeHosts { $0.behind = name }
            },
            write: { zone in zone.hosts.map { .string($0.behind) } }),
        names("machines", "Machines, by all their addresses.", ["machine", "vms"], "db") {
            .machine($0)
        } _: {
            if case .machine(let name) = $0 { name } else { nil }
        },
    ]

    private static func names(
        _ key: String, _ about: String, _ otherWords: [String], _ example: String,
        _ make: @escaping @Sendable (String) -> Zone.Member, _ name: @escaping @Sendable (Zone.Member) -> String?
    ) -> Field<Zone> {
        let item: JSON = key == "machines" ? ["$ref": "#/$defs/machineName"] : ["$ref": "#/$defs/networkName"]
        return Field(
            key: key, about: about, schema: ["type": "array", "items": item], otherWords: otherWords,
            read: { tree, context, zone in
                zone.members += context.names(tree, key, example: example).map(make)
            },
            write: { zone in
                let names = zone.members.compactMap(name)
                return names.isEmpty ? nil : .array(names.map { .string($0) })
            })
    }

    /// Reads what stands under a zone's name. A bare list holds names of networks and uplinks; which is which is found
    /// out when the whole file is read.
    static func read(_ pair: YAMLPair, _ index: Int, _ context: inout ReadContext) -> Zone {
        var zone = Zone(name: pair.key.text, members: [])
        let whole = context.path
        defer { context.path = whole }
        switch pair.value {
        case .list:
            context.path = whole?.with("networks")
            zone.members = context.names(pair.value, pair.key.text, example: "lan").map { .network($0) }
            if !pair.isRepeated { context.shortZones.insert(index) }
        case .scalar(let scalar) where scalar.meaning != .null:
            context.path = whole?.with("networks")
            let isName = NameRules.fault(scalar.text, what: "network", length: Limits.networkNameLength) == nil
            context.fault(
                scalar.place, "a zone is a list or a map, not \(scalar.kind)",
                remedy: "write `[\(isName ? scalar.text : "lan")]`")
        case .scalar:
            break
        case .map(let pairs, let place):
            context.read(pairs, at: place, all, of: "a zone", into: &zone)
            zone.sortMembers()
        }
        return zone
    }
}

extension Zone {
    /// The addresses of a zone while it is read and written.
    struct Hosts {
        var prefixes: [AddressPrefix] = []
        var behind = ""
    }

    /// The addresses among the members.
    var hosts: Hosts? {
        for case .hosts(let prefixes, let behind) in members { return Hosts(prefixes: prefixes, behind: behind) }
        return nil
    }

    mutating func changeHosts(_ change: (inout Hosts) -> Void) {
        var hosts = hosts ?? Hosts()
        change(&hosts)
        members.removeAll { if case .hosts = $0 { true } else { false } }
        members.append(.hosts(hosts.prefixes, behind: hosts.behind))
    }

    /// Brings the members in the order in which they are written, so that what is written reads back the same.
    mutating func sortMembers() {
        func rank(_ member: Member) -> Int {
            switch member {
            case .uplink: 0
            case .network: 1
            case .hosts: 2
            case .machine: 3
            }
        }
        members = (0...3).flatMap { kind in members.filter { rank($0) == kind } }
    }
}

extension Spec {
    /// Finds out what the names in bare lists of zones stand for.
    mutating func resolveShortZones(_ context: inout ReadContext) {
        let uplinks = Set(uplinks.map(\.name))
        let networks = Set(networks.map(\.name))
        for index in context.shortZones.sorted() where firewall.zones.indices.contains(index) {
            var networkCount = 0
            var uplinkCount = 0
            for (position, member) in firewall.zones[index].members.enumerated() {
                guard case .network(let name) = member else { continue }
                let read = SpecPath(.zones, index, "networks", item: position)
                if uplinks.contains(name), !networks.contains(name) {
                    firewall.zones[index].members[position] = .uplink(name)
                    context.note(SpecPath(.zones, index, "uplinks", item: uplinkCount), standsAt: read)
                    uplinkCount += 1
                } else {
                    context.note(SpecPath(.zones, index, "networks", item: networkCount), standsAt: read)
                    networkCount += 1
                }
            }
            firewall.zones[index].sortMembers()
        }
    }
}
