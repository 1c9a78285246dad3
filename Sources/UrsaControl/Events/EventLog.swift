import Glibc
public import UrsaBase

/// One thing that happened, as the event log has it.
public struct EventView: Sendable {
    /// Seconds since 1970.
    public var time: Double
    /// Name of the machine concerned, nil for the home as a whole.
    public var machine: String?
    /// What kind of thing: `created`, `started`, `ended`, `restarted`, `removed`, `network-up`, …
    public var kind: String
    /// The thing in words.
    public var detail: String

    /// The event as JSON, the form it has in the log.
    public var json: JSON {
        .record([
            "time": .string(timestamp(time)), "name": machine.map(JSON.string), "event": .string(kind),
            "detail": .string(detail),
        ])
    }

    /// Reads one line of the log; nil when it is not one of ours (a torn line after a full disk).
    public init?(line: String) {
        guard let json = try? JSON.parse(line), let kind = json["event"]?.string else { return nil }
        guard let time = json["time"]?.string.flatMap(seconds(ofTimestamp:)) else { return nil }
        self.time = time
        machine = json["name"]?.string
        self.kind = kind
        detail = json["detail"]?.string ?? json["detail"]?.text ?? ""
    }

    init(_ kind: String, machine: String?, _ detail: String) {
        time = wallClock()
        self.machine = machine
        self.kind = kind
        self.detail = detail
    }
}

extension Home {
    /// Most bytes of the event log before it is started anew (the old one is kept beside it).
    static let eventLimit = 4 << 20

    /// Notes an event. The log is a courtesy: a full disk must not stop the work that it tells of.
    func note(_ kind: String, machine: String? = nil, _ detail: String) {
        if let size = File.status(eventsPath)?.st_size, size > Home.eventLimit { rename(eventsPath, eventsPath + ".1") }
        try? File.append(eventsPath, EventView(kind, machine: machine, detail).json.line)
    }
}

extension Ursa {
    /// The event log's path: JSON lines, only ever appended; follow it with inotify.
    public var eventsPath: String { home.eventsPath }

    /// Reads one line of the log.
    public func parseEvent(_ line: String) -> EventView? { EventView(line: line) }

    /// What happened since a moment (seconds since 1970; nil: as far back as the log goes), oldest first.
    public func events(since: Double?) throws(UrsaError) -> [EventView] {
        var result: [EventView] = []
        for path in [home.eventsPath + ".1", home.eventsPath] where File.exists(path) {
            for line in try File.readText(path).split(separator: "\n") {
                guard let event = EventView(line: String(line)), event.time >= since ?? 0 else { continue }
                result.append(event)
            }
        }
        return result
    }
}
