import CLinux
import UrsaBase

/// Looks for more work for a moment before a thread sleeps.
///
/// A driver that has one request on its way at a time asks for the next one a few microseconds after it has got the last. To sleep and be
/// woken costs both sides more than that. How long it is worth looking is learned from how long the thread sleeps: a short sleep makes the next
/// look longer, one that was longer than any look would have been ends the looking. So a guest that is idle, or has requests now and then, costs
/// nothing.
///
/// Where all threads share one processor, looking would only keep the driver from its work: then nobody looks.
struct BriefPoll {
    /// Whether the driver can run while a thread of this process looks. Asked of the kernel once, before the sandbox closes (by
    /// `MonitorProgram`): it does not have the system call.
    static let isWorthwhile = clinux_count_processors() != 1

    /// The longest look, in nanoseconds: twice or three times what a sleep and a call to wake cost.
    static let longest: UInt64 = 32_000
    /// The first one after a short sleep.
    private static let first: UInt64 = 4_000
    /// Looks between two glances at the clock.
    private static let stride = 16

    /// Nanoseconds of the next look.
    private(set) var limit: UInt64 = 0
    private let isWorthwhile: Bool

    init(isWorthwhile: Bool = BriefPoll.isWorthwhile) { self.isWorthwhile = isWorthwhile }

    /// Looks until there is work or the time is over.
    ///
    /// - Parameter hasWork: called some ten million times a second; it allocates nothing and makes no system call, but now and then.
    /// - Returns: whether there is work.
    @inline(__always)
    func finds(_ hasWork: () -> Bool) -> Bool {
        guard limit > 0 else { return false }
        let end = Deadline.now.nanoseconds &+ limit
        repeat {
            for _ in 0..<BriefPoll.stride {
                if hasWork() { return true }
                clinux_relax()
            }
        } while Deadline.now.nanoseconds < end
        return false
    }

    /// Sleeps, and learns from it.
    @inline(__always)
    mutating func sleep(_ thread: QueueThread) {
        let start = Deadline.now.nanoseconds
        thread.wait()
        learn(Deadline.now.nanoseconds &- start)
    }

    /// Notes how many nanoseconds a sleep took.
    mutating func learn(_ slept: UInt64) {
        if slept > BriefPoll.longest || !isWorthwhile {
            limit = 0
        } else {
            limit = limit == 0 ? BriefPoll.first : min(limit &* 2, BriefPoll.longest)
        }
    }
}
