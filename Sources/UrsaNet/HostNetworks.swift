public import UrsaBase

/// The networks of one home on this host: looks, plans, changes.
///
/// Needs root, or CAP_NET_ADMIN and CAP_SYS_ADMIN over the network namespace that the calling thread is in: that one is
/// "the host". Knows nothing of machines but their names, cards and addresses.
public struct HostNetworks: Sendable {
    let home: HomeMark

    /// The networks of a home.
    public init(home: HomeMark) { self.home = home }

    /// What is on the host that carries the home's mark, and facts around it (forwarding, table, dnsmasq, bridges,
    /// routes). Changes nothing, starts no program.
    public func observe() throws(UrsaError) -> NetObservation { try Observer(home: home).observe() }

    /// All steps from what was seen to what is wanted, and nothing else: leftovers of the home go, what is damaged is
    /// mended part by part. Empty when all is as wanted. Pure: same arguments, same steps.
    public func plan(_ wish: HostWish, _ seen: NetObservation) -> [any Step] {
        NetworkPlan(home, wish, seen).steps
    }

    /// The same for networks alone.
    public func plan(_ networks: [NetworkWish], _ seen: NetObservation) -> [any Step] {
        plan(HostWish(networks: networks), seen)
    }

    /// Applies steps of `plan`; networks are worked on at the same time. When a step fails, all that was done is undone
    /// in reverse, and the error thrown.
    ///
    /// One call per home at a time, as `converge`. `report` is called, on the calling thread, with each step that is done.
    public func apply(_ steps: [any Step], report: (any Step) -> Void = { _ in }) throws(UrsaError) {
        var known: [any NetStep] = []
        for step in steps {
            guard let step = step as? any NetStep else {
                throw UrsaError(.bug, "a step that is none of UrsaNet's: \(step.line)")
            }
            known.append(step)
        }
        try StepRunner.apply(known, report: report)
    }

    /// Makes the host's networks what is wanted: observes, plans and applies. Returns the steps that were done.
    /// `converge(HostWish())` takes everything of the home away.
    ///
    /// One call per home at a time: the caller holds the home's lock, from before it finds out what is wanted.
    @discardableResult
    public func converge(
        _ wish: HostWish, report: (any Step) -> Void = { _ in }
    ) throws(UrsaError) -> [any Step] {
        // A writer of the names file that was killed half way leaves its new copy beside it, whether or not anything is
        // to be written now.
        HostsFile.removeUnfinished(of: home)
        findGateways(of: wish.uplinks)
        var steps = plan(wish, try observe())
        try apply(steps, report: report)
        // A bridge that has just taken an uplink's interface has its routes to carry.
        if !steps.isEmpty, !wish.uplinks.isEmpty, !wish.bridges.isEmpty {
            let rest = plan(wish, try observe())
            try apply(rest, report: report)
            steps += rest
        }
        return steps
    }

    /// The same for networks alone.
    @discardableResult
    public func converge(
        _ networks: [NetworkWish], report: (any Step) -> Void = { _ in }
    ) throws(UrsaError) -> [any Step] {
        try converge(HostWish(networks: networks), report: report)
    }
}
