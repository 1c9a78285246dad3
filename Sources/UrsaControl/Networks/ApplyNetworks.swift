import GRDB
public import UrsaBase
import UrsaFirewall
public import UrsaModel
import UrsaNet
import UrsaNetWatch

/// How `ursa net apply` goes about it.
public struct ApplyOptions: Sendable {
    /// Which part of the spec is meant.
    public enum Part: Sendable, Hashable {
        /// Networks, uplinks, firewall and forwards.
        case networks
        /// Zones, policies, rules and admins only.
        case firewall
    }
    /// Which part of the spec is meant.
    public var part = Part.networks
    /// Seconds after which the change is taken back unless it is confirmed; nil: it stays.
    public var confirm: Double?
    /// What was typed, for messages.
    public var what = "ursa net apply"
    /// The defaults.
    public init() {}
}

extension Ursa {
    /// What `applyNetworks` would change. Nothing is changed or given out.
    public func planNetworks(_ spec: Spec, project: String, part: ApplyOptions.Part) throws(UrsaError) -> Plan {
        let store = try Store(home: home)
        let host = try requireHost(store)
        let former = try store.read { try $0.host() }
        let spec = try meant(spec, part, former)
        let (networks, record) = try store.rehearse { db in
            try write(spec, project, part, db, host)
            return (try db.networks(), try db.host())
        }
        var lines = HostLines.between(former, record)
        let (machines, claims) = try store.read { (try $0.machines(), try $0.liveClaims()) }
        let live = liveMachines(machines, claims: claims)
        let wish = try wishes(store, networks: networks, machines: machines, live: live, record: record)
        lines += StepGroups(host.plan(wish, try host.observe())).lines
        return Plan(lines: lines)
    }

    /// Makes the network side of a spec so: networks, uplinks, firewall and forwards. No machine is started or stopped.
    ///
    /// Afterwards it is looked whether routers, name servers and the caller's own session can still be reached; when one
    /// can't that could before, everything is taken back and the reason thrown.
    ///
    /// - Returns: lines of what was done.
    /// - Throws: `.conflict` while another change waits to be confirmed, when another project says something of the host,
    ///   and, without `confirm`, when the change would cut the session that the command is given from.
    public func applyNetworks(
        _ spec: Spec, project: String, options: ApplyOptions
    ) throws(UrsaError) -> [PlanLine] {
        let store = try Store(home: home)
        try finishLeftovers(store)
        let host = try requireHost(store)
        try requireNothingPending(store)
        let spec = try meant(spec, options.part, try store.read { try $0.host() })
        let session = ControlSession.current
        try requireSession(session, spec, project, options, store, host)
        let before = probes(try wishes(store), session, host)
        let former = try store.write { db -> JSON in
            let names = Set(spec.networks.map(\.name)).union(
                try db.networks().filter { $0.project == project }.map { $0.spec.name })
            let former = try db.snapshot(networks: names)
            try write(spec, project, options.part, db, host)
            if let seconds = options.confirm {
                try db.save(PendingChange(deadline: .after(seconds: seconds), what: options.what, former: former))
            }
            return former
        }
        var done: [any Step] = []
        do throws(UrsaError) {
            try converge(store) { done.append($0) }
            let wish = try wishes(store)
            let lost = before.filter { $0.isMeant(wish) && !$0.holds() }.map(\.words)
            guard lost.isEmpty else {
                throw UrsaError(
                    .io, "the change was taken back: \(lost.joined(separator: ", and "))", place: options.what)
            }
        } catch {
            try store.write { db in
                try db.restore(former)
                try db.forgetPending()
            }
            try? converge(store) { _ in }
            throw error
        }
        home.note("network-applied", options.what)
        return StepGroups(done).lines
    }

    /// Keeps the change that waits to be confirmed.
    ///
    /// - Returns: what it was.
    /// - Throws: `.notFound` when none waits: it was confirmed already, or taken back.
    public func confirmNetworks() throws(UrsaError) -> String {
        let store = try Store(home: home)
        if try takeBackOverdue(store) {
            try converge(store) { _ in }
            throw UrsaError(.timeout, "the time was over: the change was taken back")
        }
        let pending = try store.write { db -> PendingChange? in
            defer { try? db.forgetPending() }
            return try db.pending()
        }
        guard let pending else {
            throw UrsaError(
                .notFound, "no change waits to be confirmed",
                remedy: "`ursa net apply --confirm 60s` makes one; `ursa events` tells what became of earlier ones")
        }
        home.note("network-confirmed", pending.what)
        // The watcher is told that there is no deadline any more.
        try converge(store) { _ in }
        return pending.what
    }

    private func requireHost(_ store: Store) throws(UrsaError) -> HostNetworks {
        guard let host = try hostNetworks(store) else {
            throw UrsaError(
                .permission, "the host's networks can only be changed by root", remedy: "run it with sudo")
        }
        return host
    }

    /// The spec with only the meant part new: the rest is as it was.
    private func meant(
        _ spec: Spec, _ part: ApplyOptions.Part, _ former: HostRecord?
    ) throws(UrsaError) -> Spec {
        guard part == .firewall else { return spec }
        var result = spec
        result.uplinks = former?.spec.uplinks ?? []
        result.forwards = former?.spec.forwards ?? []
        // A zone may name an uplink that is not applied yet.
        do throws(UrsaError) { return try Spec(json: result.json) } catch {
            throw UrsaError(
                .invalidSpec, "the firewall does not fit the uplinks and forwards that are in force", place: "firewall",
                remedy: "`ursa net apply` applies all of it", others: error.flattened)
        }
    }

    /// Writes what is meant into the store.
    private func write(
        _ spec: Spec, _ project: String, _ part: ApplyOptions.Part, _ db: Database, _ host: HostNetworks
    ) throws {
        if part == .networks {
            let allocator = Allocator(db: db, home: home, host: host)
            for network in try db.networks()
            where network.project == project && !spec.networks.contains(where: { $0.name == network.spec.name }) {
                try db.release(network: network.spec.name)
            }
            for network in spec.networks where network.model != .user {
                // Applied by name, so it is there without machines, until `down`.
                var record = try allocator.network(network, project: project)
                record.wanted = true
                try db.save(record)
            }
        }
        try db.saveHost(spec, project: project)
    }

    private func requireSession(
        _ session: ControlSession?, _ spec: Spec, _ project: String, _ options: ApplyOptions, _ store: Store,
        _ host: HostNetworks
    ) throws(UrsaError) {
        guard let session, options.confirm == nil else { return }
        let (networks, record) = try store.rehearse { db in
            try write(spec, project, options.part, db, host)
            return (try db.networks(), try db.host())
        }
        let wish = try wishes(store, networks: networks, machines: [], live: [], record: record)
        let decision = session.decision(wish, host)
        guard decision.action != .accept else { return }
        throw UrsaError(
            .conflict, "this would cut your own session from \(session.client) to port \(session.port)",
            place: ApplyOptions.words(decision.reason),
            remedy: """
                add the address to `admins:`, or try it with `--confirm 60s`: it comes back by itself unless you can \
                still type `ursa net confirm`
                """)
    }

    /// Something that works before a change, and must after it.
    private struct Probe {
        var words: String
        /// Whether a wish still has it.
        var isMeant: (HostWish) -> Bool = { _ in true }
        var holds: () -> Bool
    }

    private func probes(_ wish: HostWish, _ session: ControlSession?, _ host: HostNetworks) -> [Probe] {
        var result: [Probe] = []
        if let session {
            result.append(
                Probe(words: "your own session from \(session.client) has no way back") {
                    host.hasWay(to: session.client)
                })
        }
        for uplink in wish.uplinks {
            result.append(
                Probe(
                    words: "the gateway of uplink \(uplink.name) does not answer any more",
                    isMeant: { wish in wish.uplinks.contains { $0.name == uplink.name } },
                    holds: { host.answers(uplink, seconds: 1) }))
        }
        for network in wish.networks where network.model != .isolated {
            let name = "host.ursa.internal"
            result.append(
                Probe(
                    words: "the name server of network \(network.name) does not answer any more",
                    isMeant: { wish in wish.networks.contains { $0.name == network.name && $0.model != .isolated } },
                    holds: { host.resolves(network: network.name, name: name, seconds: 1) != nil }))
        }
        return result.filter { $0.holds() }
    }
}

extension ApplyOptions {
    /// What decides, in words.
    static func words(_ reason: Decision.Reason) -> String {
        switch reason {
        case .rule(let index): "rule \(index + 1)"
        case .policy(let index): "policy \(index + 1)"
        case .uncovered: "no policy covers it"
        default: "firewall"
        }
    }
}
