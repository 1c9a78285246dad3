import UrsaBase
public import UrsaFirewall

extension Spec {
    /// The rules of zones, policies, rules and admins.
    func firewallFindings() -> [Finding] {
        let zones = zoneFindings()
        let names = nameFaults()
        let counts = countFindings()
        let alone = ruleFindings()
        // Zones that mean nothing certain have no pairs to judge.
        guard zones.isEmpty, names.isEmpty, counts.isEmpty else { return zones + names + counts + alone }
        return alone + matrixFindings()
    }

    // MARK: Policies and rules

    /// Names of zones that policies and rules may use.
    private var zoneNames: [String] {
        var names = ZoneMap(firewall, topology).zones
        if names.isEmpty { names = [Zone.host, Zone.outside] }
        return names
    }

    private func nameFaults() -> [Finding] {
        guard !firewall.isPlain else { return [] }
        let names = zoneNames
        let known = Set(names + [Zone.any])
        var findings: [Finding] = []
        func check(_ name: String, _ path: SpecPath) {
            guard !known.contains(name) else { return }
            findings.append(
                Finding(
                    path: path, looksThrough: [.zones, .networks, .uplinks],
                    message: "there is no zone \(shown(name))", remedy: zoneRemedy(name, names)))
        }
        for (index, policy) in firewall.policies.enumerated() {
            check(policy.from, SpecPath(.policy, index, "from"))
            check(policy.to, SpecPath(.policy, index, "to"))
        }
        for (index, rule) in firewall.rules.enumerated() {
            check(rule.from, SpecPath(.rules, index, "from"))
            check(rule.to, SpecPath(.rules, index, "to"))
        }
        return findings
    }

    private func zoneRemedy(_ name: String, _ names: [String]) -> String {
        if let zone = firewall.zones.first(where: {
            $0.members.contains(.network(name)) || $0.members.contains(.uplink(name))
        }) {
            return "it is in the zone `\(zone.name)`: use that"
        }
        if let network = networks.first(where: { $0.name == name }) {
            switch network.model {
            case .isolated: return "nothing leaves or enters an isolated network, so there is nothing to decide"
            case .user: return "the host's firewall does not see a network of the model `user`"
            case .bridged:
                return "a bridged network is part of the LAN's zone; put it in a zone to speak of its machines"
            case .nat, .routed, .lan: break
            }
        }
        if machines.contains(where: { $0.name == name }) {
            return "for one machine make a zone: `zones: { \(name): { machines: [\(name)] } }`"
        }
        if name == Zone.outside, !uplinks.isEmpty {
            return
                "with uplinks, each is a zone; for all of them write `zones: { net: [\(uplinks.map(\.name).prefix(4).joined(separator: ", "))] }`"
        }
        let others: [String: String] = ["fw": Zone.host, "$fw": Zone.host, "all": Zone.any, "internet": Zone.outside]
        if let meant = others[name.lowercased()] { return "did you mean `\(meant)`?" }
        return nameRemedy(name, names + [Zone.any], "zones", none: "define it under `zones:`")
    }

    private func countFindings() -> [Finding] {
        var findings: [Finding] = []
        func check(_ count: Int, _ limit: Int, _ section: SpecPath.Section, _ what: String) {
            guard count > limit else { return }
            findings.append(
                Finding(
                    path: SpecPath(section, limit), message: "\(count) \(what) are too many",
                    remedy: "at most \(limit) are allowed"))
        }
        check(firewall.policies.count, Limits.policies, .policy, "policies")
        check(firewall.rules.count, Limits.rules, .rules, "rules")
        check(firewall.admins.count, Limits.admins, .admins, "admins")
        return findings
    }

    /// What is wrong with a rule by itself.
    private func ruleFindings() -> [Finding] {
        var findings: [Finding] = []
        for (index, rule) in firewall.rules.prefix(Limits.rules).enumerated() {
            let path = SpecPath(.rules, index)
            if rule.ports.count > Limits.portsOfRule {
                findings.append(
                    Finding(
                        path: path.with("ports"), message: "\(rule.ports.count) ports are too many for one rule",
                        remedy: "at most \(Limits.portsOfRule) are allowed; a range counts as one"))
            }
            for (key, prefixes) in [("source", rule.sources), ("destination", rule.destinations)]
            where prefixes.count > Limits.prefixesOfRule {
                findings.append(
                    Finding(
                        path: path.with(key), message: "\(prefixes.count) ranges are too many for one rule",
                        remedy: "at most \(Limits.prefixesOfRule) are allowed"))
            }
            if rule.transport == .icmp, !rule.ports.isEmpty {
                findings.append(
                    Finding(
                        path: path.with("ports"), looksAt: [path.with("proto")], message: "ICMP has no ports",
                        remedy: "remove `ports`, or write `proto: tcp` or `proto: udp`"))
            }
            var earlier: [ClosedRange<UInt16>] = []
            for (item, ports) in rule.ports.prefix(Limits.portsOfRule).enumerated() {
                if let other = earlier.first(where: { $0.overlaps(ports) }) {
                    let text = { (range: ClosedRange<UInt16>) in
                        range.count == 1 ? "\(range.lowerBound)" : "\(range.lowerBound)-\(range.upperBound)"
                    }
                    findings.append(
                        Finding(
                            path: path.with("ports", item: item), looksAt: [path.with("ports")],
                            message: "the ports \(text(ports)) overlap \(text(other)) of the same rule",
                            remedy: "remove one of the two"))
                }
                earlier.append(ports)
            }
        }
        for (index, admin) in firewall.admins.enumerated() where admin.prefix == 0 {
            findings.append(
                Finding(
                    path: SpecPath(.admins, index), message: "\(admin) makes everybody an admin",
                    remedy: "name the addresses you work from"))
        }
        return findings
    }

    // MARK: All pairs of zones

    /// Gaps, and what is never reached, from the matrix of all zones.
    private func matrixFindings() -> [Finding] {
        guard !firewall.isPlain else { return [] }
        var findings: [Finding] = []
        var uncovered: [(from: String, to: String)] = []
        for finding in Matrix(firewall, topology).findings {
            switch finding {
            case .uncovered(let from, let to): uncovered.append((from, to))
            case .unreachableRule(let index, let behind):
                findings.append(unreached(.rules, "rule", index, behind))
            case .unreachablePolicy(let index, let behind):
                findings.append(unreached(.policy, "policy", index, behind))
            case .idleRule(let index, let reason)
            where firewall.rules[index].transport != .icmp || firewall.rules[index].ports.isEmpty:
                findings.append(
                    Finding(
                        path: SpecPath(.rules, index), message: "the rule fits nothing: \(reason)",
                        remedy: "correct or remove it"))
            case .overlap(let one, let other, let prefix):
                // The names are the spec's own, so both are there.
                let index = firewall.zones.firstIndex { $0.name == other } ?? 0
                findings.append(
                    Finding(
                        path: SpecPath(.zones, index, "hosts"),
                        against: firewall.zones.firstIndex { $0.name == one }.map { SpecPath(.zones, $0, "hosts") },
                        message: "\(prefix) is in the zone \(shown(one)) and in the zone \(shown(other))",
                        remedy: "keep it in one of the two"))
            case .idleRule, .shared: break
            }
        }
        if let first = uncovered.first {
            let pairs = uncovered.prefix(4).map { "\($0.from) → \($0.to)" }.joined(separator: ", ")
            let rest = uncovered.count > 4 ? " and \(uncovered.count - 4) more" : ""
            let section: SpecPath.Section =
                firewall.policies.isEmpty ? (firewall.zones.isEmpty ? .rules : .zones) : .policy
            let remedy =
                uncovered.count == 1
                ? "say it: `- { from: \(first.from), to: \(first.to), action: reject }`"
                : "end `policy` with the rest: `- { from: any, to: any, action: reject }`"
            findings.append(
                Finding(
                    path: SpecPath(whole: section), looksThrough: [.zones, .policy, .networks, .uplinks],
                    message: "no policy says what happens between these zones: \(pairs)\(rest)", remedy: remedy))
        }
        return findings
    }

    private func unreached(_ section: SpecPath.Section, _ what: String, _ index: Int, _ behind: [Int]) -> Finding {
        let numbers = behind.map { "\($0 + 1)" }
        let list =
            numbers.count == 1
            ? "\(what) \(numbers[0])"
            : "the \(what == "policy" ? "policies" : "rules") \(numbers.dropLast().joined(separator: ", ")) and \(numbers.last ?? "")"
        return Finding(
            path: SpecPath(section, index), looksThrough: [section, .zones, .networks, .uplinks],
            against: behind.first.map { SpecPath(section, $0) },
            message: "the \(what) is never reached: all it is about is decided by \(list) before it",
            remedy: "remove it, or move it further up")
    }

    /// What the firewall lies over, as far as the file tells.
    public var topology: Topology {
        var result = Topology(uplinks: uplinks.map { Topology.Uplink(name: $0.name, interface: $0.interface) })
        for network in networks where network.model != .user {
            let reach: Topology.Network.Reach =
                switch network.model {
                case .isolated: .closed
                case .routed, .lan: .open
                case .bridged: .segment(interface: network.interface ?? network.bridge)
                case .nat, .user: .translated
                }
            result.networks.append(
                Topology.Network(name: network.name, reach: reach, isOnHost: network.placement == .host))
        }
        let models = Dictionary(networks.map { ($0.name, $0.model) }, uniquingKeysWith: { first, _ in first })
        for machine in machines {
            for card in machine.networks where models[card.network] != .user {
                let addresses = [card.address.map { IPAddress.v4($0) }, card.address6.map { .v6($0) }].compactMap { $0 }
                result.machines.append(
                    Topology.Machine(name: machine.name, network: card.network, addresses: addresses))
            }
        }
        return result
    }
}
