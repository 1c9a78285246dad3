import UrsaBase

/// Appends lines to the home's event log, at a pace that no storm can drive up.
final class EventNote {
    private var tokens = 30.0
    private var last = Deadline.now

    /// Writes an event of the home as a whole; a disk that does not take it is no reason to fail.
    func write(_ path: String, _ event: String, _ detail: String) {
        let now = Deadline.now
        tokens = min(30, tokens + now.seconds(since: last) / 2)
        last = now
        guard tokens >= 1 else { return }
        tokens -= 1
        let line = JSON.record([
            "time": .string(timestamp(wallClock())), "event": .string(event), "detail": .string(detail),
        ]).line
        try? File.append(path, line)
    }
}
