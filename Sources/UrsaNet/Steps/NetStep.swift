import UrsaBase

/// When a step runs: phases one after the other; within a phase the networks at the same time.
enum Phase: Int, Sendable, Comparable {
    /// Before anything else: settings of the host.
    case prepare
    /// Taking down what is not wanted.
    case remove
    /// Making and mending networks; the table and the host's names beside them.
    case make

    static func < (a: Phase, b: Phase) -> Bool { a.rawValue < b.rawValue }
}

/// A step on networks.
protocol NetStep: Step {
    var phase: Phase { get }
    /// Steps of one network run in their order; nil for steps of the whole host.
    var network: String? { get }
    /// Steps of one lane run one after the other; those of other lanes of the phase beside them.
    var lane: String { get }
}

extension NetStep {
    var lane: String { network.map { "network \($0)" } ?? "host" }
}

/// Stands for a wish that can't be: says why when it is applied.
struct Refusal: NetStep {
    let error: UrsaError
    let phase = Phase.prepare
    let network: String? = nil
    var line: String { "! \(error.message)" }
    func apply() throws(UrsaError) { throw error }
    func undo() throws(UrsaError) {}
}

/// Carries out plans.
enum StepRunner {
    /// Applies the steps: phases in order, networks of a phase at the same time on a few threads. When one fails,
    /// everything done is undone in reverse and the first error is thrown.
    static func apply(_ steps: [any NetStep], report: (any Step) -> Void) throws(UrsaError) {
        var done: [any NetStep] = []
        for phase in Set(steps.map(\.phase)).sorted() {
            let (finished, error) = run(lanes(steps.filter { $0.phase == phase }))
            done += finished
            for step in finished { report(step) }
            guard let error else { continue }
            var whole = error
            for step in done.reversed() {
                do { try step.undo() } catch { whole.others.append(error) }
            }
            throw whole
        }
    }

    private static func lanes(_ steps: [any NetStep]) -> [[any NetStep]] {
        var order: [String] = []
        var lanes: [String: [any NetStep]] = [:]
        let removals = steps.compactMap { $0 as? RemoveNetwork }
        for step in steps where !(step is RemoveNetwork) {
            if lanes[step.lane] == nil { order.append(step.lane) }
            lanes[step.lane, default: []].append(step)
        }
        // Removals share the kernel's waiting, so they go together.
        let together: [[any NetStep]] = removals.isEmpty ? [] : [[RemoveNetworks(networks: removals)]]
        return together + order.compactMap { lanes[$0] }
    }

    private static func run(_ lanes: [[any NetStep]]) -> ([any NetStep], UrsaError?) {
        let state = Locked<(done: [any NetStep], error: UrsaError?)>(([], nil))
        // The work is waiting for the kernel more than computing. Nothing new is begun once a step has failed.
        _ = try? OSThread.concurrently(lanes, atMost: 9) { (lane: [any NetStep]) throws(UrsaError) in
            for step in lane {
                if state.withLock({ $0.error != nil }) { return }
                do throws(UrsaError) {
                    try step.apply()
                    state.withLock { $0.done += (step as? RemoveNetworks)?.networks ?? [step] }
                } catch {
                    // What it did before it failed must go too.
                    try? step.undo()
                    state.withLock { $0.error = $0.error ?? error }
                }
            }
        }
        return state.withLock { ($0.done, $0.error) }
    }
}
