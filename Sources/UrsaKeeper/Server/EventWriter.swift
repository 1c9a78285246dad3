import UrsaBase

/// Appends one line of JSON for each event of the machine to the events file, at a pace that no guest can drive up.
final class EventWriter {
    private let path: String?
    private let machine: String
    private let name: String
    /// Tokens left of 60; one comes back each second, so a guest that reboots in a loop can't fill the disk quickly.
    private var tokens = 60.0
    private var last = Deadline.now
    private var leftOut = 0

    init(path: String?, machine: String, name: String) {
        self.path = path
        self.machine = machine
        self.name = name
    }

    /// Writes an event; a disk that does not take it is no reason to fail.
    ///
    /// - Parameter detail: what happened, in words for a person; what programs need is in the status.
    func write(_ event: String, _ detail: String = "") {
        guard let path else { return }
        let now = Deadline.now
        tokens = min(60, tokens + now.seconds(since: last))
        last = now
        guard tokens >= 1 else {
            leftOut += 1
            return
        }
        tokens -= 1
        let line = JSON.record([
            "time": .string(timestamp(wallClock())), "machine": .string(machine), "name": .string(name),
            "event": .string(event), "detail": .string(detail), "leftOut": leftOut > 0 ? .integer(Int64(leftOut)) : nil,
        ]).line
        leftOut = 0
        try? File.append(path, line)
    }
}
