public import UrsaBase

/// Something the engine told without being asked (QEMU Machine Protocol specification, section "Asynchronous events").
public struct QMPEvent: Sendable, Hashable {
    /// The event's name: `SHUTDOWN`, `RESET`, `GUEST_PANICKED`, …
    public let name: String
    /// What belongs to it; `.null` when nothing came.
    public let data: JSON
    /// Wall-clock seconds since 1970 as the engine saw them; 0 when it did not say.
    public let time: Double

    /// An event from its parts.
    public init(name: String, data: JSON = .null, time: Double = 0) {
        self.name = name
        self.data = data
        self.time = time
    }

    init?(_ message: JSON) {
        guard let name = message["event"]?.string else { return nil }
        let stamp = message["timestamp"]
        let seconds = stamp?["seconds"]?.integer ?? 0
        let micro = stamp?["microseconds"]?.integer ?? 0
        self.init(
            name: name, data: message["data"] ?? .null,
            time: seconds < 0 || micro < 0 ? 0 : Double(seconds) + Double(micro) / 1e6)
    }
}

/// Version of the engine at the other end, from its greeting.
public struct QMPVersion: Sendable, Hashable, CustomStringConvertible {
    /// Major, minor and micro number.
    public let major: Int64, minor: Int64, micro: Int64
    /// The distributor's own words, may be empty.
    public let package: String

    init?(_ greeting: JSON) {
        guard let version = greeting["QMP"]?["version"], let numbers = version["qemu"] else { return nil }
        major = numbers["major"]?.integer ?? 0
        minor = numbers["minor"]?.integer ?? 0
        micro = numbers["micro"]?.integer ?? 0
        package = version["package"]?.string ?? ""
    }

    /// `7.2.22`.
    public var description: String { "\(major).\(minor).\(micro)" }
}

/// What a session hands out.
public enum QMPMessage: Sendable {
    /// The engine greeted and accepted us; commands flow from now on.
    case ready(QMPVersion)
    /// The answer to the command with this id: its return value, or why there is none (`.timeout` when its deadline
    /// passed, `.io` when the engine refused it or was lost).
    case reply(id: Int64, Result<JSON, UrsaError>)
    /// The engine told something.
    case event(QMPEvent)
    /// The connection is over, by its end or because the peer does not speak QMP; nothing follows.
    case lost(UrsaError)
}
