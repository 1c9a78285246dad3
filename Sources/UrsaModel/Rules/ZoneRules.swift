import UrsaBase
import UrsaFirewall

extension Spec {
    /// The rules of zones: their names, and that everything in them is there and in one of them only.
    func zoneFindings() -> [Finding] {
        var findings: [Finding] = []
        var owners: [Zone.Member: (zone: Int, path: SpecPath)] = [:]
        for (index, zone) in firewall.zones.prefix(Limits.zones).enumerated() {
            let path = SpecPath(.zones, index)
            findings += nameFindings(zone, path)
            if zone.members.isEmpty {
                findings.append(
                    Finding(
                        path: path, looksAt: ["networks", "uplinks", "hosts", "machines"].map { path.with($0) },
                        message: "the zone \(shown(zone.name)) names nothing",
                        remedy: zone.name == Zone.outside && uplinks.isEmpty
                            ? "leave it out: without uplinks `net` is everything outside"
                            : "for example `\(zone.name): [lan]`"))
            }
            var counts: [String: Int] = [:]
            for member in zone.members {
                let key = member.key
                let path = key == "hosts" ? path.with(key) : path.with(key, item: counts[key, default: 0])
                counts[key, default: 0] += 1
                findings += memberFindings(member, zone, path)
                if case .hosts = member { continue }
                if let owner = owners[member] {
                    let isSame = owner.zone == index
                    let first = shown(firewall.zones[owner.zone].name)
                    findings.append(
                        Finding(
                            path: path, against: owner.path,
                            message: isSame
                                ? "\(member.words) stands twice in the zone \(first)"
                                : "\(member.words) is in the zone \(first) and in the zone \(shown(zone.name))",
                            remedy: isSame ? "remove one" : "keep it in one of the two"))
                } else {
                    owners[member] = (index, path)
                }
            }
        }
        return findings
    }

    private func nameFindings(_ zone: Zone, _ path: SpecPath) -> [Finding] {
        var findings: [Finding] = []
        func add(_ message: String, _ remedy: String, against: SpecPath? = nil) {
            findings.append(Finding(path: path, against: against, message: message, remedy: remedy))
        }
        let name = zone.name
        if let fault = NameRules.fault(name, what: "zone", length: Limits.networkNameLength) {
            add(fault.message, fault.remedy)
        } else if name == Zone.host || name == Zone.any {
            add(
                "no zone can be named \(shown(name)): "
                    + (name == Zone.host ? "that is the host itself" : "that is every zone"), "choose another name")
        } else if name == Zone.outside, uplinks.isEmpty {
            if !zone.members.isEmpty {
                add(
                    "without uplinks the zone `net` is everything outside, so nothing can be put in it",
                    "choose another name, or define uplinks")
            }
        } else if let index = networks.firstIndex(where: { $0.name == name }), !zone.members.contains(.network(name)) {
            add(
                "the zone \(shown(name)) has the name of a network that is not in it",
                "choose another name: a network in no zone is a zone of its own name",
                against: SpecPath(.networks, index))
        } else if let index = uplinks.firstIndex(where: { $0.name == name }), !zone.members.contains(.uplink(name)) {
            add(
                "the zone \(shown(name)) has the name of an uplink that is not in it",
                "choose another name: an uplink in no zone is a zone of its own name",
                against: SpecPath(.uplinks, index))
        }
        return findings
    }

    private func memberFindings(_ member: Zone.Member, _ zone: Zone, _ path: SpecPath) -> [Finding] {
        func finding(_ message: String, _ remedy: String, _ path: SpecPath, _ looks: [SpecPath.Section] = []) -> Finding
        {
            Finding(path: path, looksThrough: looks, message: message, remedy: remedy)
        }
        switch member {
        case .network(let name):
            if let network = networks.first(where: { $0.name == name }) {
                guard network.model == .user else { return [] }
                return [
                    finding(
                        "\(shown(name)) is of the model `user`, which the host's firewall does not see",
                        "take it out of the zone, or give it another model", path)
                ]
            }
            if uplinks.contains(where: { $0.name == name }) {
                return [finding("\(shown(name)) is an uplink, no network", "write `uplinks: [\(name)]`", path)]
            }
            if machines.contains(where: { $0.name == name }) {
                return [finding("\(shown(name)) is a machine, no network", "write `machines: [\(name)]`", path)]
            }
            let names = networks.map(\.name) + uplinks.map(\.name)
            return [
                finding(
                    "there is no network or uplink \(shown(name))",
                    nameRemedy(name, names, "networks and uplinks", none: "define it under `networks:`"), path)
            ]
        case .uplink(let name):
            if uplinks.contains(where: { $0.name == name }) { return [] }
            if networks.contains(where: { $0.name == name }) {
                return [finding("\(shown(name)) is a network, no uplink", "write `networks: [\(name)]`", path)]
            }
            return unknownUplink(name, path).map { [$0] } ?? []
        case .machine(let name):
            return machineFindings(name, path)
        case .hosts(let prefixes, let behind):
            return hostFindings(prefixes, behind, zone, path)
        }
    }

    private func machineFindings(_ name: String, _ path: SpecPath) -> [Finding] {
        guard let machine = machines.first(where: { $0.name == name }) else {
            let remedy = nameRemedy(name, machines.map(\.name), "machines", none: "define it under `machines:`")
            return [Finding(path: path, message: "there is no machine \(shown(name))", remedy: remedy)]
        }
        let models = machine.networks.map { card in networks.first { $0.name == card.network }?.model }
        if models.contains(where: { $0 != .user && $0 != .isolated }) { return [] }
        return [
            Finding(
                path: path, message: "the host's firewall never sees a packet of the machine \(shown(name))",
                remedy: "it decides about machines on networks of the model nat, routed, lan or bridged")
        ]
    }

    private func hostFindings(
        _ prefixes: [AddressPrefix], _ behind: String, _ zone: Zone, _ path: SpecPath
    ) -> [Finding] {
        var findings: [Finding] = []
        let whole = SpecPath(path.section, path.index)
        func add(_ path: SpecPath, _ message: String, _ remedy: String, against: SpecPath? = nil) {
            findings.append(
                Finding(
                    path: path, looksAt: [whole.with("hosts"), whole.with("behind")], against: against,
                    message: message, remedy: remedy))
        }
        if prefixes.isEmpty {
            add(
                path, "the zone \(shown(zone.name)) names no addresses",
                "write `hosts: [192.0.2.0/24]`, or leave out `behind`")
        }
        if prefixes.count > Limits.prefixesOfRule {
            add(path, "\(prefixes.count) ranges are too many", "at most \(Limits.prefixesOfRule) are allowed")
            return findings
        }
        for (item, prefix) in prefixes.enumerated() {
            if let other = prefixes[..<item].firstIndex(where: { $0.overlaps(prefix) }) {
                add(
                    whole.with("hosts", item: item),
                    "\(prefix.short) overlaps \(prefixes[other].short) of the same zone",
                    "remove one of the two", against: whole.with("hosts", item: other))
            }
        }
        let places = networks.map(\.name) + uplinks.map(\.name) + (uplinks.isEmpty ? [Zone.outside] : [])
        guard !behind.isEmpty else {
            add(
                path, "the addresses of the zone \(shown(zone.name)) are behind nothing",
                "say the network or uplink: `behind: \(uplinks.first?.name ?? Zone.outside)`")
            return findings
        }
        guard places.contains(behind) else {
            add(
                whole.with("behind"), "there is no network or uplink \(shown(behind))",
                nameRemedy(behind, places, "networks and uplinks", none: "define it under `networks:`"))
            return findings
        }
        guard let index = networks.firstIndex(where: { $0.name == behind }) else {
            for (item, prefix) in prefixes.enumerated() {
                guard let owner = networks.firstIndex(where: { $0.owns(prefix.address) }) else { continue }
                let key = prefix.address.isIPv6 ? "subnet6" : "subnet"
                add(
                    whole.with("hosts", item: item),
                    "\(prefix.short) lies in the network \(shown(networks[owner].name)), not behind \(shown(behind))",
                    "write `behind: \(networks[owner].name)`", against: SpecPath(.networks, owner, key))
            }
            return findings
        }
        let network = networks[index]
        if network.model == .user {
            add(
                whole.with("behind"), "\(shown(behind)) is of the model `user`, which the host's firewall does not see",
                "name another one")
        }
        for (item, prefix) in prefixes.enumerated() {
            let subnet =
                prefix.address.isIPv6
                ? network.subnet6.map { AddressPrefix(address: .v6($0.address), prefix: $0.prefix) }
                : network.subnet.map { AddressPrefix(address: .v4($0.address), prefix: $0.prefix) }
            guard let subnet, !subnet.contains(prefix.address) || prefix.prefix < subnet.prefix else { continue }
            add(
                whole.with("hosts", item: item),
                "\(prefix.short) is not in the subnet \(subnet) of the network \(shown(behind))",
                "name addresses of that network", against: SpecPath(.networks, index))
        }
        return findings
    }
}

extension Zone.Member {
    /// The key that it stands under.
    fileprivate var key: String {
        switch self {
        case .network: "networks"
        case .uplink: "uplinks"
        case .hosts: "hosts"
        case .machine: "machines"
        }
    }

    /// What it is, for messages.
    fileprivate var words: String {
        switch self {
        case .network(let name): "the network \(shown(name))"
        case .uplink(let name): "the uplink \(shown(name))"
        case .machine(let name): "the machine \(shown(name))"
        case .hosts: "the addresses"
        }
    }
}
