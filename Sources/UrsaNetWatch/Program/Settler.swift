import CLinux
import Glibc
import UrsaBase

/// Runs `ursa settle` when something must be put right: soon, never twice at once, and never in a storm.
final class Settler {
    /// Seconds from the first news to the run: one change comes as several messages.
    private static let patience = 0.02
    /// Least seconds between the starts of two runs, and when a minute has seen this many.
    private static let gap = 0.2
    private static let stormGap = 5.0
    private static let storm = 60
    /// Seconds after which a run that hangs is killed.
    private static let limit = 120.0

    private let loop: EventLoop
    private let notes = EventNote()
    private var child: Child?
    private var starts: [Deadline] = []
    private var failures = 0
    /// Why a run is due; nil when none is.
    private var reasons: [String] = []
    private var timer: UInt64?
    /// Called after each run.
    var afterRun: () -> Void = {}

    init(_ loop: EventLoop) { self.loop = loop }

    /// Whether a run is due or under way.
    var isBusy: Bool { child != nil || timer != nil }

    /// Asks for a run. Reasons that are there already count once.
    func ask(_ reason: String, _ orders: WatchOrders) {
        if reasons.count < 8, !reasons.contains(reason) { reasons.append(reason) }
        schedule(orders, after: Settler.patience)
    }

    private func schedule(_ orders: WatchOrders, after seconds: Double) {
        guard child == nil, timer == nil else { return }
        let now = Deadline.now
        starts.removeAll { now.seconds(since: $0) > 60 }
        var gap = starts.count >= Settler.storm ? Settler.stormGap : Settler.gap
        // A run that fails is tried again, more and more seldom.
        if failures > 0 { gap = min(30, 0.5 * Double(1 << min(failures, 6))) }
        let since = starts.last.map { now.seconds(since: $0) } ?? gap
        timer = loop.after(seconds: max(seconds, gap - since)) { [weak self] in self?.run(orders) }
    }

    private func run(_ orders: WatchOrders) {
        timer = nil
        guard let program = orders.settle.first else { return }
        let why = reasons
        reasons = []
        let begun = Deadline.now
        starts.append(begun)
        guard let started = try? Program(program, Array(orders.settle.dropFirst())).start() else {
            failures += 1
            reasons = why
            return schedule(orders, after: Settler.patience)
        }
        let pidfd = started.pidfd.raw
        child = consume started
        let overdue = loop.after(seconds: Settler.limit) { [weak self] in self?.child?.signal(SIGKILL) }
        let isWatched: Void? = try? loop.add(pidfd, .read) { [weak self] _ in
            guard let self else { return }
            loop.cancel(overdue)
            finish(pidfd, orders, why, begun)
        }
        // Without a place in the loop its end is simply waited for.
        if isWatched == nil { finish(pidfd, orders, why, begun) }
    }

    private func finish(_ pidfd: Int32, _ orders: WatchOrders, _ why: [String], _ begun: Deadline) {
        loop.remove(pidfd)
        let end = (try? child?.wait()) ?? nil
        child = nil
        let seconds = Deadline.now.seconds(since: begun)
        if end?.isSuccess == true {
            failures = 0
            let milliseconds = Int(max(0, min(seconds, 1000)) * 1000)
            if !why.isEmpty {
                notes.write(
                    orders.eventsPath, "watched", "\(why.joined(separator: "; ")): looked after in \(milliseconds) ms")
            }
        } else {
            failures += 1
            let words = end.map { "\($0)" } ?? "was lost"
            notes.write(orders.eventsPath, "watched", "\(why.joined(separator: "; ")): `ursa settle` \(words)")
            reasons += why
        }
        _ = clinux_give_back_memory()
        if !reasons.isEmpty { schedule(orders, after: Settler.patience) }
        afterRun()
    }
}
