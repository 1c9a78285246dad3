public import CLinux
import Glibc
import Synchronization
public import UrsaBase

/// The thread that serves a queue. It sleeps until its driver rings, or a descriptor of the back end is ready.
///
/// The doorbell is watched edge by edge (epoll(7), EPOLLET), so that waking up takes one system call, not two.
public final class QueueThread: @unchecked Sendable {
    // SAFETY: `handle` is written before anybody else sees the object, and read by `stop` only. The rest is constant.

    /// The queue.
    public let active: ActiveQueue
    private let epoll: OwnedFD
    private let isStopped = Atomic<Bool>(false)
    private var handle: OSThread?

    /// Starts `body` on a thread of its own.
    ///
    /// - Parameters:
    ///   - others: more queues whose doorbells wake the thread.
    ///   - name: for people that look at the process, at most 15 bytes.
    public init(
        _ active: ActiveQueue, others: [ActiveQueue] = [], name: String,
        _ body: @escaping @Sendable (QueueThread) -> Void
    ) throws(UrsaError) {
        self.active = active
        epoll = OwnedFD(try check(clinux_epoll_create(), "make an epoll descriptor"))
        for queue in [active] + others {
            try check(clinux_epoll_add(epoll.raw, queue.kick, QueueThread.edge), "watch a doorbell")
        }
        let title = "\(name)/\(active.index)"
        handle = try OSThread { [self] in
            _ = clinux_set_process_name(title)
            IOThreadStart.hook.withLock { $0 }?(name)
            body(self)
        }
    }

    private static let edge: UInt32 = 1 | 1 << 31
    private static let readable: UInt32 = 1
    private static let writable: UInt32 = 4

    /// Whether the thread has to end: to be looked at after every wait and, in loops that may be long, in between.
    @inline(__always)
    public var shouldEnd: Bool { isStopped.load(ordering: .acquiring) }

    /// Ends the thread and waits until it has ended. Once.
    public func stop() {
        isStopped.store(true, ordering: .releasing)
        clinux_eventfd_signal(active.kick)
        handle?.join()
        handle = nil
    }

    /// Wakes the thread from any other.
    public func wake() { clinux_eventfd_signal(active.kick) }

    // MARK: On the thread

    /// Watches a descriptor of the back end from now on; without interest it stays known but does not wake.
    public func watch(_ fd: Int32, read: Bool = true, write: Bool = false) {
        let events = (read ? QueueThread.readable : 0) | (write ? QueueThread.writable : 0)
        if clinux_epoll_change(epoll.raw, fd, events) < 0 { _ = clinux_epoll_add(epoll.raw, fd, events) }
    }

    /// Forgets a descriptor; before it is closed.
    public func unwatch(_ fd: Int32) { _ = clinux_epoll_remove(epoll.raw, fd) }

    /// Sleeps until a doorbell rings or a watched descriptor is ready.
    ///
    /// - Parameter milliseconds: the longest sleep; -1 is without limit.
    @inline(__always)
    public func wait(milliseconds: Int32 = -1) {
        var event = clinux_event()
        _ = clinux_epoll_wait(epoll.raw, &event, 1, milliseconds)
    }

    /// Sleeps likewise, and names what woke: descriptors, and whether they can be read and written.
    ///
    /// - Parameter events: room for at most 64.
    public func wait(
        into events: UnsafeMutableBufferPointer<clinux_event>, milliseconds: Int32 = -1
    ) -> Int {
        guard let start = events.baseAddress else { return 0 }
        return Int(max(0, clinux_epoll_wait(epoll.raw, start, Int32(min(events.count, 64)), milliseconds)))
    }

    /// Takes every chain as it comes, until the thread has to end or the driver breaks the rules.
    ///
    /// - Parameter body: does one request; how many bytes it wrote, nil when the device can't go on.
    public func serve(_ body: (inout Chain) -> Int?) {
        guard var queue = try? active.makeQueue() else { return }
        var chain = active.makeChain()
        while !shouldEnd {
            queue.disableNotifications()
            working: while !shouldEnd {
                switch queue.next(into: &chain) {
                case .none: break working
                case .broken: return active.fail(queue.fault ?? .badRequest)
                case .chain:
                    guard let written = body(&chain) else { return active.fail(.badRequest) }
                    queue.add(chain.head, written: UInt32(truncatingIfNeeded: written))
                    active.publish(&queue)
                }
            }
            if !queue.enableNotifications() { wait() }
        }
    }
}

/// What every I/O thread does first: the monitor's sandbox puts its filter here.
public enum IOThreadStart {
    /// Called on the new thread with the kind of its device.
    public static let hook = Locked<(@Sendable (String) -> Void)?>(nil)
}
