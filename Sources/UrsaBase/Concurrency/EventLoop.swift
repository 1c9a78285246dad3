import CLinux
import Glibc

/// One thread that waits for many descriptors and timers (epoll). Not shared between threads: build it, register, run.
public final class EventLoop {
    /// What a descriptor may be ready for.
    public struct Interest: OptionSet, Sendable {
        /// The bits.
        public let rawValue: UInt32
        /// From bits.
        public init(rawValue: UInt32) { self.rawValue = rawValue }
        /// Data or a connection can be read, or the other side hung up.
        public static let read = Interest(rawValue: 1)
        /// There is room to write.
        public static let write = Interest(rawValue: 4)
        /// The other side closed or failed; always reported.
        public static let hangUp = Interest(rawValue: 0x10 | 0x08)
    }

    private struct Timer {
        let id: UInt64
        let deadline: Deadline
        let action: () -> Void
    }

    private let epoll: OwnedFD
    private var handlers: [Int32: (Interest) -> Void] = [:]
    private var timers: [Timer] = []
    private var nextTimer: UInt64 = 1
    private var stopped = false

    /// An empty loop.
    public init() throws(UrsaError) {
        epoll = OwnedFD(try check(clinux_epoll_create(), "make an epoll descriptor"))
    }

    /// Calls `handler` whenever `fd` is ready. The caller keeps the descriptor open until `remove`.
    public func add(_ fd: Int32, _ interest: Interest, _ handler: @escaping (Interest) -> Void) throws(UrsaError) {
        try check(clinux_epoll_add(epoll.raw, fd, interest.rawValue), "watch a descriptor")
        handlers[fd] = handler
    }

    /// Changes what a registered descriptor is watched for.
    public func change(_ fd: Int32, _ interest: Interest) {
        _ = clinux_epoll_change(epoll.raw, fd, interest.rawValue)
    }

    /// Stops watching a descriptor; call before closing it.
    public func remove(_ fd: Int32) {
        guard handlers.removeValue(forKey: fd) != nil else { return }
        _ = clinux_epoll_remove(epoll.raw, fd)
    }

    /// Calls `action` once after `seconds`; returns an id for `cancel`.
    @discardableResult
    public func after(seconds: Double, _ action: @escaping () -> Void) -> UInt64 {
        let id = nextTimer
        nextTimer += 1
        timers.append(Timer(id: id, deadline: .after(seconds: seconds), action: action))
        timers.sort { $0.deadline < $1.deadline }
        return id
    }

    /// Forgets a timer; an id that has fired is fine.
    public func cancel(_ id: UInt64) { timers.removeAll { $0.id == id } }

    /// Makes `run` return after the current handler.
    public func stop() { stopped = true }

    /// Serves until `stop` is called.
    public func run() throws(UrsaError) {
        var events = [clinux_event](repeating: clinux_event(), count: 64)
        stopped = false
        while !stopped {
            let wait = timers.first?.deadline.millisecondsLeft ?? -1
            let count = clinux_epoll_wait(epoll.raw, &events, Int32(events.count), wait)
            if count == -EINTR { continue }
            try check(count, "wait for events")
            for event in events.prefix(Int(count)) where !stopped {
                // A handler may have removed a later one of the same batch.
                handlers[event.fd]?(Interest(rawValue: event.events))
            }
            // Timers set by these actions wait for the next round, so that none can starve the descriptors.
            let now = Deadline.now
            while !stopped, let timer = timers.first, timer.deadline <= now {
                timers.removeFirst()
                timer.action()
            }
        }
    }
}
