import UrsaBase
import UrsaControl

/// What long commands tell while they work.
enum Reports {
    /// Shows a report: finished lines on standard output; with --json, that belongs to the result, so JSON lines on
    /// standard error.
    @Sendable
    static func show(_ report: Report) {
        switch report {
        case .line(let text):
            if Screen.isJSON { Screen.note(text) } else { Screen.line(printable(text)) }
        case .machine(let name, let state):
            if Screen.isJSON {
                Screen.note("\(name): \(state)")
            } else {
                Screen.line("\(printable(name)): \(printable(state))")
            }
        }
    }

    /// Shows a report beside standard output, where something else is the result: a console, a name.
    @Sendable
    static func showAside(_ report: Report) {
        switch report {
        case .line(let text): Screen.isJSON ? Screen.note(text) : Screen.hint(printable(text))
        case .machine(let name, let state):
            Screen.isJSON ? Screen.note("\(name): \(state)") : Screen.hint(printable("\(name): \(state)"))
        }
    }
}
