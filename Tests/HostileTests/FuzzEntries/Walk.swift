import Glibc
import UrsaBase

/// A long walk of a driver through a device model, in pieces that each have a seed of their own and end with a reset and
/// an honest request. Beside traps and broken rules it finds what grows.
struct Walk {
    /// Steps from one reset with an honest request to the next.
    static let piece = 10_000

    /// What a piece left behind.
    struct Holdings {
        /// Open descriptors of the process.
        var descriptors: Int
        /// Its threads.
        var threads: Int
        /// Its resident memory, in MiB.
        var memory: Int

        init() {
            descriptors = File.list("/proc/self/fd").count
            threads = File.list("/proc/self/task").count
            let pages = (File.peek("/proc/self/statm") ?? "").split(separator: " ").dropFirst().first.flatMap {
                Int($0)
            }
            memory = ((pages ?? 0) * 4096) >> 20
        }
    }

    /// Walks, from the piece with number `first` on.
    ///
    /// - Parameters:
    ///   - progress: called before each piece with its number, so that one that ends the process is known.
    /// - Returns: what was held at the end.
    static func run(
        _ entry: Entry, first: UInt64 = 0, steps: Int, progress: (UInt64) -> Void = { _ in }
    ) throws(Violation) -> Holdings {
        guard let walk = entry.walk else { throw Violation(description: "\(entry.name) has no steps") }
        var known: Holdings?
        var left = steps
        var number = first
        while left > 0 {
            progress(number)
            do throws(Violation) { try walk(number, min(left, piece)) } catch {
                throw Violation(description: "piece \(number): \(error)")
            }
            left -= min(left, piece)
            number += 1
            let now = Holdings()
            // Caches fill in the first pieces.
            guard let then = known else {
                if number - first >= 8 { known = now }
                continue
            }
            try need(
                now.descriptors <= then.descriptors + 16, "\(now.descriptors) descriptors, \(then.descriptors) before")
            try need(now.threads <= then.threads + 8, "\(now.threads) threads, \(then.threads) before")
            try need(now.memory <= then.memory + 256, "\(now.memory) MiB, \(then.memory) before")
        }
        return Holdings()
    }
}
