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

    /// Runs `body` for all items at the same time and returns the results in their order when the last has ended. The
    /// first error (in the order of `items`) is thrown after all have ended.
    ///
    /// There is no form that takes a list of closures: Swift 6.3 compiles a closure with typed throws wrongly where it is
    /// written in place as an element of a collection. It is then not called, or returns garbage.
    ///
    /// - Parameters:
    ///   - limit: most threads at work, the calling one included; each item then waits for a free one.
    ///   - body: runs on the calling thread too, so it must leave that thread's namespaces and rights as they are.
    @discardableResult
    public static func concurrently<Item: Sendable, R: Sendable>(
        _ items: [Item], atMost limit: Int = .max, _ body: @escaping @Sendable (Item) throws(UrsaError) -> R
    ) throws(UrsaError) -> [R] {
        let slots = Locked<(next: Int, results: [Result<R, UrsaError>?])>((0, items.map { _ in nil }))
        let work: @Sendable () -> Void = {
            while true {
                let index = slots.withLock { state -> Int in
                    defer { state.next += 1 }
                    return state.next
                }
                guard index < items.count else { return }
                let result: Result<R, UrsaError>
                do throws(UrsaError) { result = .success(try body(items[index])) } catch { result = .failure(error) }
                slots.withLock { $0.results[index] = result }
            }
        }
        // Where the system allows fewer threads, those that are there do all the work.
        let threads = (0..<max(0, min(items.count, limit) - 1)).compactMap { _ in try? OSThread(work) }
        work()
        for thread in threads { thread.join() }
        var results: [R] = []
        for result in slots.withLock({ $0.results }) {
            guard let result else { throw UrsaError(.bug, "a thread ended without a result") }
            results.append(try result.get())
        }
        return results
    }
}
