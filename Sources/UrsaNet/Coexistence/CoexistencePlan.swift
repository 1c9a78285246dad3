import UrsaBase

/// From what other firewalls are there to the steps that let our packets through them, exactly once, and that take our
/// rules away again when there is nothing more to let through.
struct CoexistencePlan {
    let home: HomeMark
    /// Links whose packets are forwarded; empty when there are none.
    let links: [String]
    let seen: ForeignSeen

    init(_ home: HomeMark, _ wish: HostWish, _ seen: ForeignSeen) {
        self.home = home
        links = FirewallLayout(home, wish).forwardingLinks
        self.seen = seen
    }

    var steps: [any NetStep] {
        var steps: [any NetStep] = []
        let wanted = links.isEmpty ? [] : ForeignHook.needed(seen)
        var kept: Set<ForeignChain> = []
        let extra = seen.tagged.filter { !wanted.contains($0.chain) || !kept.insert($0.chain).inserted }
        if !extra.isEmpty { steps.append(RemoveTaggedRules(home: home, rules: extra)) }
        let missing = wanted.filter { !kept.contains($0) }
        if !missing.isEmpty { steps.append(AddTaggedRules(home: home, chains: missing)) }
        if seen.chains.contains(where: { $0.table == Firewalld.table }) {
            let unbound = links.filter { !seen.bound.contains($0) }
            if !unbound.isEmpty { steps.append(BindToFirewalld(home: home, links: unbound)) }
        }
        return steps
    }
}

extension FirewallLayout {
    /// Links of ours whose packets the host forwards, or that pass its forward hook with br_netfilter.
    var forwardingLinks: [String] {
        (networks.filter { $0.wish.model != .isolated }.map(\.link) + ownBridges).reduce(into: []) { list, link in
            if !list.contains(link) { list.append(link) }
        }
    }
}

/// Adds a rule to chains that other firewalls leave to us: what our own table has let through has its mark.
struct AddTaggedRules: NetStep {
    let home: HomeMark
    let chains: [ForeignChain]
    let phase = Phase.make
    let network: String? = nil
    let lane = "coexistence"

    var line: String { "+ a rule that lets guests through in \(chains.map(\.title).joined(separator: ", "))" }

    func apply() throws(UrsaError) {
        let mark = "0x" + String(RulesetPart.passMark, radix: 16)
        let rules = chains.map {
            "insert rule \($0.title) meta mark and \(mark) == \(mark) counter accept comment \"\(home.tag)\"\n"
        }
        try FirewallTable.load(rules.joined())
    }

    func undo() throws(UrsaError) {
        let rules = try ForeignSeen.look(home, links: []).tagged.filter { chains.contains($0.chain) }
        try RemoveTaggedRules(home: home, rules: rules).apply()
    }
}

/// Takes our rules out of other firewalls' chains.
struct RemoveTaggedRules: NetStep {
    let home: HomeMark
    let rules: [TaggedRule]
    let phase = Phase.remove
    let network: String? = nil
    let lane = "coexistence"

    var line: String { "- our rule in \(rules.map(\.chain.title).joined(separator: ", "))" }

    func apply() throws(UrsaError) {
        guard !rules.isEmpty else { return }
        try FirewallTable.load(rules.map { "delete rule \($0.chain.title) handle \($0.handle)\n" }.joined())
    }

    func undo() throws(UrsaError) {}
}

/// Puts our links into firewalld's zone of trusted ones, for as long as firewalld runs: it rejects what comes from a
/// link that is in none.
struct BindToFirewalld: NetStep {
    let home: HomeMark
    let links: [String]
    let phase = Phase.make
    let network: String? = nil
    let lane = "coexistence"

    var line: String { "+ \(links.joined(separator: ", ")) in firewalld's zone \(Firewalld.zone)" }

    func apply() throws(UrsaError) { try change("--add-interface") }
    func undo() throws(UrsaError) { try change("--remove-interface") }

    private func change(_ option: String) throws(UrsaError) {
        let options = ["--zone=\(Firewalld.zone)"] + links.map { "\(option)=\($0)" }
        let result = try Program("firewall-cmd", options).run(seconds: 30)
        // 11 and 12: in the zone already, or not in it (firewall-cmd(1), exit codes).
        guard result.end.isSuccess || result.end == .exited(11) || result.end == .exited(12) else {
            throw UrsaError(
                .io, "firewalld does not take \(links.joined(separator: ", ")): \(result.errors.trimmed)",
                remedy: "firewall-cmd \(options.joined(separator: " "))")
        }
    }
}
