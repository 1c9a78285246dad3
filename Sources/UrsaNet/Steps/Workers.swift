import UrsaBase

/// Runs `body` for each item on a few threads and the calling one; they share its namespaces. All items are visited,
/// also when one fails; the first error in the order of time is thrown.
func onThreads<Item: Sendable>(
    _ items: [Item], atMost limit: Int = 8, _ body: @escaping @Sendable (Item) throws(UrsaError) -> Void
) throws(UrsaError) {
    let state = Locked<(next: Int, error: UrsaError?)>((0, nil))
    let work: @Sendable () -> Void = {
        while true {
            let index = state.withLock { state -> Int? in
                guard state.next < items.count else { return nil }
                state.next += 1
                return state.next - 1
            }
            guard let index else { return }
            do throws(UrsaError) { try body(items[index]) } catch {
                state.withLock { $0.error = $0.error ?? error }
            }
        }
    }
    // Fewer threads than asked for (a process limit) only cost time.
    let threads = (0..<max(0, min(items.count, limit) - 1)).compactMap { _ in try? OSThread(work) }
    work()
    for thread in threads { thread.join() }
    if let error = state.withLock({ $0.error }) { throw error }
}
