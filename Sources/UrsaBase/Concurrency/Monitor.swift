import Glibc

/// A mutex with a condition to wait for: for state that lies in several properties of one object. Where one value is
/// guarded, `Locked` says so in its type and is the better choice.
public final class Monitor: @unchecked Sendable {
    // SAFETY: both live at a fixed heap address and are touched only by the pthread functions.
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>

    /// Makes an open one.
    public init() {
        mutex = .allocate(capacity: 1)
        mutex.initialize(to: pthread_mutex_t())
        pthread_mutex_init(mutex, nil)
        condition = .allocate(capacity: 1)
        condition.initialize(to: pthread_cond_t())
        pthread_cond_init(condition, nil)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    /// Waits until this thread alone is inside. Not again by the same thread.
    public func enter() { pthread_mutex_lock(mutex) }
    /// Lets others in.
    public func leave() { pthread_mutex_unlock(mutex) }
    /// From inside: lets others in until somebody signals. What was waited for must be looked at again.
    public func wait() { pthread_cond_wait(condition, mutex) }
    /// Wakes all that wait.
    public func signal() { pthread_cond_broadcast(condition) }

    /// Runs `body` alone.
    public func inside<R, E: Error>(_ body: () throws(E) -> R) throws(E) -> R {
        enter()
        defer { leave() }
        return try body()
    }
}
