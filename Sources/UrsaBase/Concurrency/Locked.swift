import Glibc

/// A value behind a mutex of the system; the only lock in the house.
///
/// `Synchronization.Mutex` hands over by a futex that the thread sanitizer does not see, so it reports races that are
/// none; a pthread mutex is clean there.
public final class Locked<Value>: @unchecked Sendable {
    // SAFETY: `value` is touched only between lock and unlock of `mutex`, which lives at a fixed heap address.
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private var value: Value

    /// Makes a lock around `value`.
    public init(_ value: sending Value) {
        self.value = value
        mutex = .allocate(capacity: 1)
        mutex.initialize(to: pthread_mutex_t())
        pthread_mutex_init(mutex, nil)
    }

    deinit {
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    /// Runs `body` alone with the value.
    public func withLock<R, E: Error>(_ body: (inout Value) throws(E) -> R) throws(E) -> R {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body(&value)
    }
}
