import UrsaBase

/// From what should be and what is to the steps between; a pure function.
struct NetworkPlan {
    let home: HomeMark
    private(set) var wish: HostWish
    let wishes: [NetworkWish]
    let seen: NetObservation

    init(_ home: HomeMark, _ wish: HostWish, _ seen: NetObservation) {
        self.home = home
        self.wish = wish
        self.wish.uplinks = wish.uplinks.found(seen.routing)
        wishes = (seen.hasIPv6 ? wish.networks : wish.networks.map(\.withoutIPv6)).sorted { $0.name < $1.name }
        self.seen = seen
    }

    var steps: [any NetStep] {
        let problems = NetworkWish.problems(wishes) + UplinkWish.problems(wish.uplinks, wishes)
        if let error = UrsaError.all(problems) { return [Refusal(error: error)] }
        let uplinks = UplinkPlan(home: home, uplinks: wish.uplinks, seen: seen.routing, hasIPv6: seen.hasIPv6)
        let wanted = Set(wishes.map(\.name))
        var steps: [any NetStep] = []
        if !wishes.isEmpty, !seen.settings.isEmpty {
            steps.append(TurnForwardingOn(home: home, changes: seen.settings))
        }
        for (name, network) in seen.networks.sorted(by: { $0.key < $1.key })
        where !wanted.contains(name) && (network.foreign == nil || network.hasTrace) {
            steps.append(RemoveNetwork(home: home, name: name))
        }
        steps += uplinks.before
        if let step = tableStep { steps.append(step) }
        if let step = hostPortsStep { steps.append(step) }
        steps += CoexistencePlan(home, wish, seen.foreign).steps
        steps += uplinks.after(seen.journal)
        for wish in wishes { steps += networkSteps(wish) }
        if let step = hostsStep { steps.append(step) }
        let settings = seen.journal.filter { !$0.isPathFilter }
        if wishes.isEmpty, !settings.isEmpty, !seen.hasOtherHomes {
            steps.append(PutSettingsBack(home: home, changes: settings))
        }
        return steps
    }

    private func networkSteps(_ wish: NetworkWish) -> [any NetStep] {
        let now = seen.networks[wish.name] ?? NetworkSeen()
        if let foreign = now.foreign {
            return [
                Refusal(
                    error: UrsaError(
                        .conflict, "\(foreign) is there already and is not Ursa's", place: "network \(wish.name)",
                        remedy: "remove it, or give the network another name"))
            ]
        }
        var steps: [any NetStep] = []
        let extra = extraFacts(wish, now)
        let missing = wish.facts(home).subtracting(now.facts)
        func lost(_ part: Part) -> [String] { missing.filter { $0.part == part }.map(\.text).sorted() }
        func words(_ part: Part) -> [String] {
            lost(part).map { "not so: \($0)" } + extra[part, default: []].map { "wrongly: \($0)" }
        }
        let isNew = !now.hasNamespace && now.dnsmasq == nil && now.configuration == nil
        if !now.hasNamespace || !words(.namespace).isEmpty {
            steps.append(EnsureNamespace(home: home, wish: wish, exists: now.hasNamespace, survivor: now.dnsmasq))
        }
        let bridge = words(.bridge) + now.stray.map { "\($0) is not attached" }
        if !bridge.isEmpty {
            steps.append(EnsureBridge(home: home, wish: wish, broken: isNew ? [] : bridge))
        }
        if let step = EnsurePortFilter.step(
            home, wish.isOnHost ? [] : wish.members, network: wish.name, seen: now.portFilter)
        {
            steps.append(step)
        }
        let stem = words(.stem)
        // Proxy entries hang on the bridge, routes on the stem; both go with the namespace.
        if !stem.isEmpty {
            steps.append(EnsureStem(home: home, wish: wish, broken: isNew ? [] : stem))
        }
        let configuration = DnsmasqConfiguration(wish, folder: home.folder(network: wish.name), seen.surroundings)
        let bridgeGone = lost(.bridge).contains { $0.hasPrefix(FactText.upStart(BridgeName.bridge)) }
        if let reason = restartReason(now, configuration, bridgeGone: bridgeGone) {
            steps.append(
                StartDnsmasq(home: home, wish: wish, configuration: configuration, reason: isNew ? nil : reason))
        } else if now.leases != configuration.leases || now.names != configuration.names {
            steps.append(
                UpdateMachines(
                    home: home, wish: wish, configuration: configuration,
                    previous: DnsmasqConfiguration.Machines(leases: now.leases, names: now.names)))
        }
        return steps
    }

    private func restartReason(_ now: NetworkSeen, _ wanted: DnsmasqConfiguration, bridgeGone: Bool) -> String? {
        if now.dnsmasq == nil { return "it does not run" }
        if now.configuration != wanted.main { return "its configuration changed" }
        return bridgeGone ? "its bridge is new" : nil
    }

    /// Addresses that bridge and stem have but should not: those of another subnet.
    private func extraFacts(_ wish: NetworkWish, _ now: NetworkSeen) -> [Part: [String]] {
        let wanted = wish.facts(home)
        var result: [Part: [String]] = [:]
        for fact in now.facts.subtracting(wanted) {
            let starts = [FactText.addressStart(BridgeName.bridge), FactText.addressStart(home.stemName(wish.name))]
            if starts.contains(where: { fact.text.hasPrefix($0) }) { result[fact.part, default: []].append(fact.text) }
        }
        return result
    }

    private var tableStep: (any NetStep)? {
        guard !wish.isEmpty else { return seen.table == nil ? nil : RemoveTable(home: home) }
        var wish = wish
        wish.networks = wishes
        let ruleset = Ruleset(home, wish)
        guard let table = seen.table else { return load(ruleset, reason: seen.tableText == nil ? nil : "it is gone") }
        if table.comment != ruleset.comment { return load(ruleset, reason: "what is wanted changed") }
        guard let noted = seen.tableText, let change = ruleset.change(from: noted, table) else {
            return load(ruleset, reason: "somebody changed it")
        }
        return change.isEmpty ? nil : ChangeElements(home: home, ruleset: ruleset, change: change, previous: noted)
    }

    /// The filter of ports on bridges in the host's own namespace.
    private var hostPortsStep: (any NetStep)? {
        let members = wishes.filter(\.isOnHost).flatMap(\.members) + wish.bridges.flatMap(\.members)
        return EnsurePortFilter.step(home, members, network: nil, seen: seen.portFilter)
    }

    private func load(_ ruleset: Ruleset, reason: String?) -> LoadTable {
        LoadTable(
            home: home, ruleset: ruleset, networks: wishes.count, ports: wishes.reduce(0) { $0 + $1.ports.count },
            reason: reason, previous: seen.tableText)
    }

    private var hostsStep: (any NetStep)? {
        let parts = HostsFile.split(seen.hosts, home)
        let block = HostsFile.block(wishes, outside: parts.outside)
        guard HostsFile.text(parts, block: block, home) != seen.hosts else { return nil }
        return WriteHostsBlock(home: home, block: block, previous: parts.block ?? [])
    }
}

extension NetworkSeen {
    /// Whether anything of ours is there, beside what is foreign.
    var hasTrace: Bool { configuration != nil || dnsmasq != nil || !leases.isEmpty }
}

extension FactText {
    static func upStart(_ link: String) -> String { "\(link) is up" }
    static func addressStart(_ link: String) -> String { "\(link) has " }
}
