import Glibc
import UrsaBase

/// What is known about the end of one run of the engine, and what it amounts to in words.
struct EngineEnd {
    /// How a person or program asked for the end.
    enum Request: Hashable {
        /// The power button was pressed and the guest powered off by itself.
        case powerButton
        /// The guest did not react to the power button for so many seconds, so the engine was made to quit.
        case impatient(seconds: Int)
        /// It was asked to end without the power button.
        case kill
    }

    /// The engine's name for people.
    let engine: String
    /// What was asked for, if anything.
    var request: Request?
    /// `reason` of the SHUTDOWN event (QEMU, qapi/run-state.json, ShutdownCause).
    var shutdownCause: String?
    /// Whether the guest reported a panic (GUEST_PANICKED).
    var isPanicked = false
    /// Whether the engine ever answered as running.
    var hasRun = false
    /// Set when the keeper ended the engine because it did not answer in so many seconds.
    var silence: Int?
    /// How the process ended; nil when it was no child of this keeper.
    var exit: ProcessEnd?
    /// Its last words on standard error.
    var lastWords: String?

    init(engine: String) { self.engine = engine }

    /// Whether the end is a failure: nobody asked for it and the guest did not choose it.
    var isFailure: Bool {
        if request != nil { return false }
        if isPanicked || silence != nil || !hasRun { return true }
        switch shutdownCause {
        case "guest-shutdown", "guest-reset", "host-qmp-quit", "host-qmp-system-reset", "host-signal", "host-ui":
            return exit.map { !$0.isSuccess } ?? false
        default: return true
        }
    }

    /// Why it ended, one sentence without a final stop.
    var reason: String {
        let words = lastWords.map { ": \($0)" } ?? ""
        if let silence { return "\(engine) did not answer on its monitor for \(silence) s after its start\(words)" }
        switch request {
        case .powerButton:
            if let exit, !exit.isSuccess { return "\(engine) \(exit) while the machine was stopping\(words)" }
            return "stopped by the power button"
        case .impatient(0), .kill: return "killed on request"
        case .impatient(let seconds): return "killed: did not react to the power button for \(seconds) s"
        case nil: break
        }
        if !hasRun {
            if let lastWords { return "\(engine) refused to start: \(lastWords)" }
            return "\(engine) ended before the machine ran: it \(exit.map { "\($0)" } ?? "went away")"
        }
        if isPanicked { return "the guest's kernel panicked" }
        if exit == .signalled(SIGSYS) {
            return "\(engine) asked the kernel for something that its sandbox forbids, and was killed\(words)"
        }
        if let exit, !exit.isSuccess { return "\(engine) \(exit)\(words)" }
        switch shutdownCause {
        case "guest-shutdown": return "the guest powered off"
        case "guest-reset": return "the guest rebooted"
        case "guest-panic": return "the guest's kernel panicked"
        case "host-qmp-quit": return "ended through its monitor (quit)"
        case "host-qmp-system-reset": return "ended through its monitor (reset)"
        case "host-signal": return "\(engine) was told to end by a signal"
        case "host-error": return "\(engine) gave up\(words)"
        default: break
        }
        if exit == nil { return "\(engine) ended while no keeper saw it, so why is unknown" }
        return "\(engine) ended without a word about why\(words)"
    }
}
