import CLinux
public import UrsaBase

/// The way of events from any thread of the machine to the thread that serves the monitors. It holds a bounded number,
/// whatever a guest does: of those that a guest can make at will, only the latest waits, and each goes out once a second
/// at most.
public final class MonitorEvents: Sendable {
    /// Most events that wait; further ones are lost.
    static let limit = 256
    /// Seconds between two events of a kind that a guest can make at will.
    static let interval = 1.0

    private struct State {
        var waiting: [MonitorEvent] = []
        var sent: [String: Deadline] = [:]
    }

    private let state = Locked(State())
    /// Readable when something waits.
    let signal: SharedFD

    /// An empty queue.
    public init() throws(UrsaError) {
        signal = SharedFD(OwnedFD(try check(clinux_eventfd(), "make an eventfd")))
    }

    /// Hands in an event. Any thread may, at any time.
    public func send(_ event: MonitorEvent) {
        let isNew = state.withLock { state in
            if let key = event.replaces, let index = state.waiting.firstIndex(where: { $0.replaces == key }) {
                state.waiting[index] = event
                return false
            }
            guard state.waiting.count < MonitorEvents.limit else { return false }
            state.waiting.append(event)
            return true
        }
        if isNew { clinux_eventfd_signal(signal.raw) }
    }

    /// Takes out what may go now, in order; `later` are the seconds until the first of those that may not.
    func take(all: Bool = false) -> (events: [MonitorEvent], later: Double?) {
        _ = clinux_eventfd_take(signal.raw)
        return state.withLock { state in
            var ready: [MonitorEvent] = []
            var kept: [MonitorEvent] = []
            var later: Double?
            for event in state.waiting {
                if let key = event.replaces {
                    let left = state.sent[key].map { MonitorEvents.interval - Deadline.now.seconds(since: $0) } ?? 0
                    if left > 0, !all {
                        kept.append(event)
                        later = min(later ?? left, left)
                        continue
                    }
                    state.sent[key] = .now
                }
                ready.append(event)
            }
            state.waiting = kept
            return (ready, later)
        }
    }
}
