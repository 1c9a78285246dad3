import UrsaBase
import UrsaControl

/// A session at a machine's console, with the words around it.
enum Attachment {
    /// Attaches until the person detaches or the machine ends.
    static func run(
        _ ursa: Ursa, name: String, mode: ConsoleMode, replay: Bool, key: DetachKey, seconds: Double?
    ) throws(UrsaError) -> ConsoleSession.End {
        let socket = try ursa.console(name, mode: mode, replay: replay)
        let isTerminal = Terminal.isInput && Terminal.isOutput
        if isTerminal {
            let leave = key.byte == nil ? "" : "; \(key.description) detaches"
            Screen.hint("ursa: console of \(name)\(mode == .readOnly ? ", read-only" : "")\(leave)")
        }
        var session = try ConsoleSession(
            socket, isReadOnly: mode == .readOnly, detachKey: key.byte,
            deadline: seconds.map { Deadline.after(seconds: $0) })
        let end = try session.run()
        if isTerminal {
            switch end {
            case .detached: Screen.hint("\nursa: detached; `ursa console \(name)` comes back")
            case .ended: Screen.hint("\nursa: the console has ended")
            case .timedOut, .readerGone: Screen.hint("")
            }
        }
        return end
    }

    /// Waits until a machine whose console has ended is shown as ended, a few seconds at most.
    static func outcome(_ ursa: Ursa, name: String) throws(UrsaError) -> MachineView {
        let deadline = Deadline.after(seconds: 5)
        while true {
            let view = try ursa.machine(name)
            switch view.state {
            case .stopped, .failed: return view
            case .starting, .running, .paused, .stopping, .restarting, .orphaned:
                if deadline.isPast { return view }
                pause(milliseconds: 50)
            }
        }
    }
}
