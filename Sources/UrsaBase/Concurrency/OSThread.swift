import Glibc

/// A plain thread of the system: for work that blocks, or that changes per-thread kernel state such as the network
/// namespace. Swift's own pool must see neither.
public struct OSThread: Sendable {
    private final class Body: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }
    private let handle: pthread_t

    /// Starts a thread that runs `body` once. Join it with `join()`.
    public init(_ body: @escaping @Sendable () -> Void) throws(UrsaError) {
        var handle = pthread_t()
        let context = Unmanaged.passRetained(Body(body)).toOpaque()
        let result = pthread_create(
            &handle, nil,
            { argument in
                if let argument { Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run() }
                return nil
            }, context)
        guard result == 0 else {
            Unmanaged<Body>.fromOpaque(context).release()
            throw UrsaError.system(Errno(result), "start a thread")
        }
        self.handle = handle
    }

    /// Waits until the thread has ended.
    public func join() { pthread_join(handle, nil) }

    /// Runs `body` on a thread of its own, waits, and hands back what it returned or threw.
    public static func run<R: Sendable>(
        _ body: @escaping @Sendable () throws(UrsaError) -> R
    ) throws(UrsaError) -> R {
        let slot = Locked<Result<R, UrsaError>?>(nil)
        let thread = try OSThread {
            let result: Result<R, UrsaError>
            do throws(UrsaError) { result = .success(try body()) } catch { result = .failure(error) }
            slot.withLock { $0 = result }
        }
        thread.join()
        guard let result = slot.withLock({ $0 }) else { throw UrsaError(.bug, "a thread ended without a result") }
        return try result.get()
    }

    /// Runs all bodies at the same time, each on its own thread, and returns when the last has ended.
    /// The first error (in the order of `bodies`) is thrown after all have ended.
    ///
    /// Put functions or `let` constants into the list, never closures written in place (`append { … }`, `[{ … }]`,
    /// `map { { … } }`): Swift 6.3 compiles a closure with typed throws wrongly where an element of a collection is
    /// expected. It is then not called, or returns garbage. The form that takes items has no such trap.
    public static func concurrently(_ bodies: [@Sendable () throws(UrsaError) -> Void]) throws(UrsaError) {
        let indices = Array(bodies.indices)
        _ = try concurrently(indices) { (index: Int) throws(UrsaError) -> Bool in
            try bodies[index]()
            return true
        }
    }

    /// Runs `body` for all items at the same time, each on its own thread, and returns the results in their order when
    /// the last has ended. The first error (in the order of `items`) is thrown after all have ended.
    public static func concurrently<Item: Sendable, R: Sendable>(
        _ items: [Item], _ body: @escaping @Sendable (Item) throws(UrsaError) -> R
    ) throws(UrsaError) -> [R] {
        let slots = items.map { _ in Locked<Result<R, UrsaError>?>(nil) }
        var threads: [OSThread] = []
        for (item, slot) in zip(items, slots) {
            do throws(UrsaError) {
                threads.append(
                    try OSThread {
                        let result: Result<R, UrsaError>
                        do throws(UrsaError) { result = .success(try body(item)) } catch { result = .failure(error) }
                        slot.withLock { $0 = result }
                    })
            } catch {
                slot.withLock { $0 = .failure(error) }
            }
        }
        for thread in threads { thread.join() }
        var results: [R] = []
        for slot in slots {
            guard let result = slot.withLock({ $0 }) else {
                throw UrsaError(.bug, "a thread ended without a result")
            }
            results.append(try result.get())
        }
        return results
    }
}
