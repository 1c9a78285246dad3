public import UrsaBase
import UrsaModel
public import UrsaNet

/// What the plan says of a packet, and what the kernel did with one.
public struct TraceAnswer: Sendable {
    /// From the plan.
    public var plan: Trace
    /// From the kernel, when it was asked.
    public var live: Trace?

    /// Whether both were asked and say different things.
    public var disagrees: Bool { live.map { $0.outcome != plan.outcome } ?? false }
    /// Whether the packet passes: what the kernel does counts before what is planned.
    public var passes: Bool { (live ?? plan).outcome == .passes }

    /// The answer as JSON.
    public var json: JSON {
        .record([
            "passes": .bool(passes), "plan": plan.json, "live": live?.json,
            "agrees": live.map { _ in .bool(!disagrees) },
        ])
    }
}

extension Ursa {
    /// What becomes of a packet: by the plan, and with `live` by sending one.
    ///
    /// - Throws: `.notFound` for a name that nobody has; `.permission` when the kernel is to be asked without root.
    public func trace(_ query: TraceQuery, live: Bool) throws(UrsaError) -> TraceAnswer {
        let store = try existingStore()
        if live { try requireRoot("asking the kernel") }
        let scene = try NetworkScene(self, store)
        // The plan is about all machines; the kernel only knows networks that are up.
        let view = try HostNetworks(home: scene.mark).view()
        let (plan, route) = try PlanTrace(live ? scene.wish : scene.whole, view).run(query)
        guard live else { return TraceAnswer(plan: plan, live: nil) }
        guard let route else {
            return TraceAnswer(plan: plan, live: nil)
        }
        return try FileLock.holding(home.hostLockPath) { () throws(UrsaError) -> TraceAnswer in
            TraceAnswer(plan: plan, live: try LiveTrace(home: scene.mark).run(route))
        }
    }
}
