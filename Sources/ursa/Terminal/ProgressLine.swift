import Glibc
import UrsaBase

/// Reports on long work: one line that changes on a terminal, a line for each step, and for long ones every ten seconds, elsewhere.
struct ProgressLine {
    private var isShown = false
    private var lastActivity = ""
    private var lastText = ""
    private var last: Deadline?
    private static let frames = ["-", "\\", "|", "/"]
    private var frame = 0

    /// Shows a report, unless one was shown a moment ago.
    mutating func show(_ progress: Progress, isJSON: Bool) {
        let isTerminal = Terminal.isErrors
        let interval = isTerminal ? 0.1 : isJSON ? 2.0 : 10.0
        let now = Deadline.now
        let isFinal = progress.total != nil && progress.done == progress.total
        let isNew = progress.activity != lastActivity
        if let last, !isNew, now.seconds(since: last) < interval, !(isFinal && isTerminal) { return }
        lastActivity = progress.activity
        last = now
        if isJSON {
            let json = JSON.record([
                "progress": .string(progress.activity), "done": progress.done.map { .integer(Int64(clamping: $0)) },
                "total": progress.total.map { .integer(Int64(clamping: $0)) },
            ])
            put(json.text + "\n")
        } else if isTerminal {
            frame = (frame + 1) % ProgressLine.frames.count
            let width = Terminal.size?.columns ?? 80
            let text = ProgressLine.text(progress, width: max(20, width - 1), spinner: ProgressLine.frames[frame])
            put("\r\u{1b}[K" + text)
            isShown = true
        } else {
            let text = isNew ? ProgressLine.start(progress) : ProgressLine.plain(progress)
            if text != lastText { put("ursa: \(text)\n") }
            lastText = text
        }
    }

    /// Takes the line off the terminal.
    mutating func clear() {
        guard isShown else { return }
        isShown = false
        put("\r\u{1b}[K")
    }

    /// `downloading debian-12.qcow2, 380 MiB`: the first line of a piece of work, when nothing is done of it yet.
    static func start(_ progress: Progress) -> String {
        guard let total = progress.total, total > 0 else { return printable(progress.activity) }
        return "\(printable(progress.activity)), \(ByteCount(total).rounded)"
    }

    /// `downloading debian-12.qcow2: 12.3 MiB of 380 MiB (3 %)`.
    static func plain(_ progress: Progress) -> String {
        let activity = printable(progress.activity)
        guard let done = progress.done else { return activity }
        guard let total = progress.total, total > 0 else { return "\(activity): \(ByteCount(done).rounded)" }
        return "\(activity): \(ByteCount(done).rounded) of \(ByteCount(total).rounded) (\(percent(done, total)) %)"
    }

    /// The line of a terminal, at most `width` columns: activity, bar, percent, bytes.
    static func text(_ progress: Progress, width: Int, spinner: String) -> String {
        let activity = printable(progress.activity)
        guard let done = progress.done, let total = progress.total, total > 0 else {
            let amount = progress.done.map { "  " + ByteCount($0).rounded } ?? ""
            return String("\(spinner) \(activity)\(amount)".prefix(width))
        }
        let share = percent(done, total)
        let tail = " \(share) %  \(ByteCount(done).rounded) of \(ByteCount(total).rounded)"
        let room = width - activity.count - tail.count - 3
        guard room >= 10 else { return String((activity + tail).prefix(width)) }
        let cells = min(room, 40)
        let filled = cells * share / 100
        let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: cells - filled)
        return "\(activity) [\(bar)]\(tail)"
    }

    private static func percent(_ done: UInt64, _ total: UInt64) -> Int {
        total == 0 ? 100 : Int(min(Double(done) / Double(total), 1) * 100)
    }

    private func put(_ text: String) { try? writeAllBytes(STDERR_FILENO, Array(text.utf8), "to standard error") }
}
