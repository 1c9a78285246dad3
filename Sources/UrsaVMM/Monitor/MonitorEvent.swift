import UrsaBase

/// Something that a machine tells without being asked, as QEMU tells it (qapi/run-state.json, block-core.json, misc.json).
public struct MonitorEvent: Sendable, Hashable {
    /// Why a machine ended or started anew (qapi/run-state.json, ShutdownCause).
    public enum Cause: String, Sendable, Hashable {
        /// The guest powered off.
        case guestShutdown = "guest-shutdown"
        /// The guest asked for a reset, or came to a triple fault.
        case guestReset = "guest-reset"
        /// The guest's kernel gave up.
        case guestPanic = "guest-panic"
        /// The command `quit`.
        case hostQuit = "host-qmp-quit"
        /// The command `system_reset`.
        case hostReset = "host-qmp-system-reset"
        /// A signal to the process.
        case hostSignal = "host-signal"
        /// The machine can't go on.
        case hostError = "host-error"

        var isOfGuest: Bool {
            switch self {
            case .guestShutdown, .guestReset, .guestPanic: true
            case .hostQuit, .hostReset, .hostSignal, .hostError: false
            }
        }
    }

    /// The kind of access that failed.
    public enum Access: String, Sendable, Hashable { case read, write }

    let name: String
    let data: JSON?
    /// What a later event of the same kind replaces while it waits: a guest can make these as fast as it likes.
    let replaces: String?
    /// When it happened, seconds since 1970.
    let time = wallClock()

    private init(_ name: String, _ data: JSON? = nil, replaces: String? = nil) {
        self.name = name
        self.data = data
        self.replaces = replaces
    }

    /// The machine ends.
    public static func shutdown(_ cause: Cause) -> MonitorEvent {
        MonitorEvent("SHUTDOWN", ["guest": .bool(cause.isOfGuest), "reason": .string(cause.rawValue)])
    }
    /// The machine starts anew.
    public static func reset(_ cause: Cause) -> MonitorEvent {
        MonitorEvent(
            "RESET", ["guest": .bool(cause.isOfGuest), "reason": .string(cause.rawValue)], replaces: "RESET")
    }
    /// The power button was pressed.
    public static func powerdown() -> MonitorEvent { MonitorEvent("POWERDOWN") }
    /// The processors stopped.
    public static func stop() -> MonitorEvent { MonitorEvent("STOP") }
    /// The processors run again.
    public static func resume() -> MonitorEvent { MonitorEvent("RESUME") }
    /// The guest's kernel gave up; `action` is what follows: `poweroff`, `pause` or `run`.
    public static func panicked(action: String) -> MonitorEvent {
        MonitorEvent("GUEST_PANICKED", ["action": .string(action)], replaces: "GUEST_PANICKED")
    }
    /// The guest's kernel gave up and a second kernel takes it from there.
    public static func crashLoaded() -> MonitorEvent {
        MonitorEvent("GUEST_CRASHLOADED", ["action": "run"], replaces: "GUEST_CRASHLOADED")
    }
    /// An access of the guest's to a disk failed, and the guest was told so.
    ///
    /// - Parameters:
    ///   - disk: the disk's position.
    ///   - reason: the host's words.
    public static func blockError(disk: Int, _ access: Access, noSpace: Bool, reason: String) -> MonitorEvent {
        MonitorEvent(
            "BLOCK_IO_ERROR",
            [
                "device": "", "node-name": .string("disk\(disk)"), "operation": .string(access.rawValue),
                "action": "report", "nospace": .bool(noSpace), "reason": .string(reason),
            ], replaces: "BLOCK_IO_ERROR \(disk) \(access)")
    }
    /// The guest gave memory back or took it.
    public static func balloon(actual: UInt64) -> MonitorEvent {
        MonitorEvent(
            "BALLOON_CHANGE", ["actual": .integer(Int64(clamping: actual))], replaces: "BALLOON_CHANGE")
    }

    /// The guest has set its clock.
    ///
    /// - Parameter offset: seconds that it is ahead of the host's time.
    public static func clockChanged(offset: Int) -> MonitorEvent {
        MonitorEvent(
            "RTC_CHANGE", ["offset": .integer(Int64(offset)), "qom-path": "/machine/rtc"], replaces: "RTC_CHANGE")
    }

    var json: JSON {
        let whole = min(max(0, time), 1e15)
        let seconds = whole.rounded(.down)
        return .record([
            "timestamp": [
                "seconds": .integer(Int64(seconds)), "microseconds": .integer(Int64((whole - seconds) * 1e6)),
            ],
            "event": .string(name), "data": data,
        ])
    }
}
