import CLinux
import Glibc
import UrsaBase

/// What is known of the terminal, if there is one.
enum Terminal {
    /// Whether standard input is a terminal.
    static var isInput: Bool { isatty(STDIN_FILENO) == 1 }
    /// Whether standard output is a terminal.
    static var isOutput: Bool { isatty(STDOUT_FILENO) == 1 }
    /// Whether standard error is a terminal.
    static var isErrors: Bool { isatty(STDERR_FILENO) == 1 }

    /// Columns and rows of standard output's terminal (of standard error's when output is redirected), nil without one.
    static var size: (columns: Int, rows: Int)? {
        var columns: UInt16 = 0
        var rows: UInt16 = 0
        for fd in [STDOUT_FILENO, STDERR_FILENO]
        where clinux_terminal_size(fd, &columns, &rows) == 0 && columns > 0 && rows > 0 {
            return (Int(columns), Int(rows))
        }
        return nil
    }

    /// Whether results may be coloured: a terminal that can, and a person who did not say no (https://no-color.org).
    static var hasColours: Bool {
        guard isOutput else { return false }
        let none = getenv("NO_COLOR").map { String(cString: $0) } ?? ""
        let type = getenv("TERM").map { String(cString: $0) } ?? ""
        return none.isEmpty && !type.isEmpty && type != "dumb"
    }

    /// Colours of ECMA-48 SGR.
    enum Colour: Int {
        case red = 31, green = 32, yellow = 33
        case bold = 1
    }

    /// The text in a colour, or as it is where colours are not wanted.
    static func paint(_ text: String, _ colour: Colour, when wanted: Bool) -> String {
        wanted ? "\u{1b}[\(colour.rawValue)m\(text)\u{1b}[0m" : text
    }

    // MARK: raw mode

    private struct Saved {
        var fd: Int32
        var settings: [UInt8]
        var farewell: String
    }
    private static let saved = Locked<Saved?>(nil)

    /// Hands every key to us as it is pressed. `leaveRaw` undoes it; so does the end of the program by a signal.
    ///
    /// - Parameter farewell: what is sent to the terminal when raw mode is left.
    static func enterRaw(farewell: String) throws(UrsaError) {
        var settings = [UInt8](repeating: 0, count: Int(CLINUX_TERMIOS_SIZE))
        // The lock is held over both, so a signal in between still finds what to restore.
        try saved.withLock { (saved) throws(UrsaError) in
            try check(clinux_terminal_raw(STDIN_FILENO, &settings), "switch the terminal to raw mode")
            saved = Saved(fd: STDIN_FILENO, settings: settings, farewell: farewell)
        }
    }

    /// Restores what `enterRaw` changed; nothing when it is not in force.
    static func leaveRaw() {
        saved.withLock { state in
            guard let before = state else { return }
            state = nil
            if isOutput { try? writeAllBytes(STDOUT_FILENO, Array(before.farewell.utf8), "to the terminal") }
            _ = clinux_terminal_restore(before.fd, before.settings)
        }
    }
}
