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
    public static func concurrently<R: Sendable>(
        _ bodies: [@Sendable () throws(UrsaError) -> R]
    ) throws(UrsaError) -> [R] {
        let slots = bodies.map { _ in Locked<Result<R, UrsaError>?>(nil) }
        var threads: [OSThread] = []
        for (body, slot) in zip(bodies, slots) {
            threads.append(
                try OSThread {
                    let result: Result<R, UrsaError>
                    do throws(UrsaError) { result = .success(try body()) } catch { result = .failure(error) }
                    slot.withLock { $0 = result }
                })
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
