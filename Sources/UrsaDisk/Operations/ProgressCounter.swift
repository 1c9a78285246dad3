public import UrsaBase

/// Counts the bytes of a piece of work that several threads do, and reports now and then.
public final class ProgressCounter: Sendable {
    private struct State: Sendable {
        var done: UInt64 = 0
        var told: UInt64 = 0
    }
    private let state = Locked(State())
    private let activity: String
    private let total: UInt64
    private let handler: ProgressHandler?

    /// A counter up to `total` bytes; without a handler nothing is told.
    public init(_ activity: String, total: UInt64, _ handler: ProgressHandler?) {
        self.activity = activity
        self.total = total
        self.handler = handler
    }

    /// Notes that all bytes below `offset` have been given to a worker.
    func reach(_ offset: UInt64) {
        guard let handler else { return }
        let done = state.withLock { state -> UInt64? in
            state.done = max(state.done, offset)
            // A thousand reports are enough for anybody.
            guard state.done == total || state.done - state.told > total / 1000, state.done != state.told else {
                return nil
            }
            state.told = state.done
            return state.done
        }
        if let done { handler(Progress(activity, done: done, total: total)) }
    }
}
