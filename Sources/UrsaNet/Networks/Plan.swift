import UrsaBase

/// From what should be and what is to the steps between; a pure function.
struct NetworkPlan {
    let home: HomeMark
    private(set) var wish: HostWish
    let wishes: [NetworkWish]
    let seen: NetObservation

    init(_ home: HomeMark, _ wish: HostWish, _ seen: NetObservation) {
        let networks = seen.hasIPv6 ? wish.networks : wish.networks.map(\.withoutIPv6)
        var wish = wish
        wish.networks = networks.sorted { $0.name < $1.name }.map { network in
            let link = network.publishedOn.map { wish.addressedLink($0, home) }
            let published = link.flatMap { seen.lans.interfaces[$0] }.map { Int($0.mtu) }
            return network.fitting(mtu: network.hasWayOut ? published ?? seen.lans.narrowest : nil)
        }
        self.home = home
        self.wish = wish
        self.wish.uplinks = wish.uplinks.found(seen.routing)
        wishes = wish.networks
        self.seen = seen
    }

    var steps: [any NetStep] {
        let problems =
            NetworkWish.problems(wishes) + BridgeWish.problems(wish) + UplinkWish.problems(wish.uplinks, wishes)
        if let error = UrsaError.all(problems) { return [Refusal(error: error)] }
        let uplinks = UplinkPlan(home: home, uplinks: wish.uplinks, seen: seen.routing, hasIPv6: seen.hasIPv6)
        var steps = settingSteps + removalSteps + bridgeSteps
        steps += uplinks.before
        if let step = tableStep { steps.append(step) }
        if let step = hostPortsStep { steps.append(step) }
        steps += CoexistencePlan(home, wish, seen.foreign).steps
        steps += uplinks.after(seen.journal)
        for wish in wishes { steps += networkSteps(wish) }
        steps += lanSteps
        if let step = hostsStep { steps.append(step) }
        return steps + settingReturnSteps
    }

    /// Networks that are not wanted, and those that must be made anew because they have become something else.
    private var removalSteps: [any NetStep] {
        let wanted = Dictionary(wishes.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        return seen.networks.sorted { $0.key < $1.key }.compactMap { name, network in
            if let wish = wanted[name] {
                return isOtherwise(wish, network) ? RemoveNetwork(home: home, name: name) : nil
            }
            return network.foreign == nil || network.hasTrace ? RemoveNetwork(home: home, name: name) : nil
        }
    }

    /// Whether what is there is of another shape: on the host or not, with a stem or not.
    private func isOtherwise(_ wish: NetworkWish, _ now: NetworkSeen) -> Bool {
        now.foreign == nil
            && (now.isOnHost != wish.isOnHost && (now.isOnHost || now.hasNamespace) || now.hasStem && !wish.hasStem)
    }

    private func networkSteps(_ wish: NetworkWish) -> [any NetStep] {
        var now = seen.networks[wish.name] ?? NetworkSeen()
        if let foreign = now.foreign {
            return [
                Refusal(
                    error: UrsaError(
                        .conflict, "\(foreign) is there already and is not Ursa's", place: "network \(wish.name)",
                        remedy: "remove it, or give the network another name"))
            ]
        }
        if isOtherwise(wish, now) { now = NetworkSeen() }
        let isNew = !now.hasNamespace && !now.isOnHost && now.dnsmasq == nil && now.configuration == nil
        if isNew, let error = lanProblem(wish) { return [Refusal(error: error)] }
        return linkSteps(wish, now, isNew: isNew) + nameSteps(wish, now, isNew: isNew)
    }

    /// Namespace, bridge, stem and routes.
    private func linkSteps(_ wish: NetworkWish, _ now: NetworkSeen, isNew: Bool) -> [any NetStep] {
        var steps: [any NetStep] = []
        let extra = extraFacts(wish, now)
        let missing = wish.facts(home).subtracting(now.facts)
        func lost(_ part: Part) -> [String] { missing.filter { $0.part == part }.map(\.text).sorted() }
        func words(_ part: Part) -> [String] {
            lost(part).map { "not so: \($0)" } + extra[part, default: []].map { "wrongly: \($0)" }
        }
        let bridge = words(.bridge) + now.stray.map { "\($0) is not attached" } + isolationFaults(wish, now)
        if wish.isOnHost {
            if !bridge.isEmpty {
                steps.append(EnsureHostBridge(home: home, wish: wish, broken: isNew ? [] : bridge))
            }
            return steps
        }
        if !now.hasNamespace || !words(.namespace).isEmpty {
            steps.append(EnsureNamespace(home: home, wish: wish, exists: now.hasNamespace, survivor: now.dnsmasq))
        }
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
        let (gone, strange) = (lost(.guests), extra[.guests, default: []])
        if !gone.isEmpty || !strange.isEmpty {
            steps.append(GuestRoutes(home: home, wish: wish, missing: gone, strange: strange))
        }
        return steps
    }

    /// dnsmasq and what it is told.
    private func nameSteps(_ wish: NetworkWish, _ now: NetworkSeen, isNew: Bool) -> [any NetStep] {
        let configuration = DnsmasqConfiguration(
            wish, folder: home.folder(network: wish.name), bridge: wish.bridgeName(home), seen.surroundings)
        let start = FactText.upStart(wish.bridgeName(home))
        let bridgeGone = !now.facts.contains { $0.part == .bridge && $0.text.hasPrefix(start) }
        if let reason = restartReason(now, configuration, bridgeGone: bridgeGone) {
            return [StartDnsmasq(home: home, wish: wish, configuration: configuration, reason: isNew ? nil : reason)]
        }
        guard now.leases != configuration.leases || now.names != configuration.names else { return [] }
        return [
            UpdateMachines(
                home: home, wish: wish, configuration: configuration,
                previous: DnsmasqConfiguration.Machines(leases: now.leases, names: now.names))
        ]
    }

    private func restartReason(_ now: NetworkSeen, _ wanted: DnsmasqConfiguration, bridgeGone: Bool) -> String? {
        if now.dnsmasq == nil { return "it does not run" }
        if now.configuration != wanted.main { return "its configuration changed" }
        return bridgeGone ? "its bridge is new" : nil
    }

    /// Addresses that bridge and stem have but should not: those of another subnet; routes to guests that are gone.
    private func extraFacts(_ wish: NetworkWish, _ now: NetworkSeen) -> [Part: [String]] {
        let wanted = wish.facts(home)
        var result: [Part: [String]] = [:]
        let starts = [FactText.addressStart(wish.bridgeName(home)), FactText.addressStart(home.stemName(wish.name))]
        for fact in now.facts.subtracting(wanted) {
            if fact.part == .guests || starts.contains(where: { fact.text.hasPrefix($0) }) {
                result[fact.part, default: []].append(fact.text)
            }
        }
        return result.mapValues { $0.sorted() }
    }

    /// Ports that are isolated and should not be, and the other way.
    private func isolationFaults(_ wish: NetworkWish, _ now: NetworkSeen) -> [String] {
        wish.members.compactMap { member in
            guard let isIsolated = now.ports[member.tap], isIsolated != member.port.isIsolated else { return nil }
            return "\(member.tap) is \(isIsolated ? "" : "not ")isolated"
        }
    }

    /// The host's table as it should be.
    var ruleset: Ruleset { Ruleset(home, wish) }

    private var tableStep: (any NetStep)? {
        guard !wish.isEmpty else { return seen.table == nil ? nil : RemoveTable(home: home) }
        let ruleset = ruleset
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
        let block = HostsFile.block(wishes, wish.bridges, outside: parts.outside)
        guard HostsFile.text(parts, block: block, home) != seen.hosts else { return nil }
        return WriteHostsBlock(home: home, block: block, previous: parts.block ?? [])
    }
}

extension NetworkSeen {
    /// Whether anything of ours is there, beside what is foreign.
    var hasTrace: Bool { configuration != nil || dnsmasq != nil || !leases.isEmpty }
}

extension NetworkWish {
    /// Whether its guests reach anything outside.
    var hasWayOut: Bool { model != .isolated }
}
