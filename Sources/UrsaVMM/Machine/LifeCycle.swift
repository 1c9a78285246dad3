/// Why a machine was reset or switched off: QEMU's `ShutdownCause` (qapi/run-state.json), by the same words.
public enum LifeCycleCause: String, Sendable, Hashable {
    case hostQuit = "host-qmp-quit"
    case hostReset = "host-qmp-system-reset"
    case hostSignal = "host-signal"
    case hostError = "host-error"
    case guestShutdown = "guest-shutdown"
    case guestReset = "guest-reset"
    case guestPanic = "guest-panic"

    /// Whether the guest did it.
    public var isGuest: Bool { rawValue.hasPrefix("guest") }
}

/// Something that shall happen to the machine as a whole.
public enum LifeCycleRequest: Sendable, Hashable {
    case reset(LifeCycleCause)
    case powerOff(LifeCycleCause)
    case panicked
    case crashLoaded
    case pause
    case resume
    /// A processor can't go on; why.
    case failed(String)
}

/// Who takes requests: never waits, may be called by any thread.
public protocol LifeCycleRequests: AnyObject, Sendable {
    /// Notes a request; it is served soon. The processor that made it runs no further instruction before.
    func request(_ request: LifeCycleRequest)
}
