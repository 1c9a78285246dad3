import CLinux
import Glibc
import UrsaBase

/// What goes to the person: results on standard output, errors, remarks and progress on standard error.
///
/// One lock keeps lines of several threads whole, and takes the progress line away before anything else is shown.
enum Screen {
    private struct State {
        var isJSON = false
        var outputError: UrsaError?
        var readerIsGone = false
        var progress = ProgressLine()
    }
    private static let state = Locked(State())

    /// Whether errors and remarks are told as JSON.
    static var isJSON: Bool {
        get { state.withLock { $0.isJSON } }
        set { state.withLock { $0.isJSON = newValue } }
    }
    /// Whether standard output has no reader any more: further results are dropped, the work goes on.
    static var readerIsGone: Bool { state.withLock { $0.readerIsGone } }
    /// The first failure of standard output (a full disk), if any.
    static var outputError: UrsaError? { state.withLock { $0.outputError } }

    // MARK: results

    /// Writes text to standard output as it is.
    static func write(_ text: String) { write(bytes: Array(text.utf8)) }
    /// Writes one line to standard output.
    static func line(_ text: String) { write(text + "\n") }
    /// Writes a JSON value to standard output, for people and programs.
    static func json(_ value: JSON) { write(value.pretty + "\n") }
    /// Writes a JSON value on one line, for streams.
    static func jsonLine(_ value: JSON) { write(bytes: value.line) }

    /// Writes bytes to standard output. A reader that went away is remembered, not reported.
    static func write(bytes: [UInt8]) {
        guard !bytes.isEmpty else { return }
        state.withLock { state in
            state.progress.clear()
            guard !state.readerIsGone, state.outputError == nil else { return }
            do throws(UrsaError) {
                try writeAllBytes(STDOUT_FILENO, bytes, "to standard output")
            } catch {
                if isBrokenPipe(error) { state.readerIsGone = true } else { state.outputError = error }
            }
        }
    }

    // MARK: errors, remarks, progress

    /// One line on standard error: `ursa: note: …`.
    static func note(_ text: String) {
        state.withLock { state in
            let json = JSON.record(["note": .string(text)]).text
            state.progress.clear()
            complain(state.isJSON ? json : "ursa: note: " + clipped(printable(text)))
        }
    }

    /// One line on standard error without a mark, for hints to people; nothing in JSON mode.
    static func hint(_ text: String) {
        state.withLock { state in
            guard !state.isJSON else { return }
            state.progress.clear()
            complain(text)
        }
    }

    /// Tells an error and those reported with it, one line each: `ursa: WHAT — WHERE — WHAT TO DO`.
    static func fail(_ error: UrsaError) {
        state.withLock { state in
            state.progress.clear()
            if state.isJSON {
                complain(JSON.record(["errors": .array(error.flattened.map(\.json))]).text)
                return
            }
            for single in error.flattened {
                for (index, line) in lines(of: single).enumerated() {
                    complain((index == 0 ? "ursa: " : "    ") + line)
                }
            }
        }
    }

    /// The line of one error, and the lines of an example that its remedy may show.
    static func lines(of error: UrsaError) -> [String] {
        var remedy = (error.remedy ?? "").split(whereSeparator: \.isNewline).map { clipped(printable(String($0))) }
        let message = error.message.split(whereSeparator: \.isNewline).joined(separator: " ")
        let parts = [message.isEmpty ? "failed" : message, error.place].compactMap { $0 }.map { clipped(printable($0)) }
        let first = (parts + remedy.prefix(1)).joined(separator: " — ")
        remedy = Array(remedy.dropFirst().prefix(20))
        return [first] + remedy
    }

    /// Shows how far a piece of work is.
    static func show(_ progress: Progress) { state.withLock { $0.progress.show(progress, isJSON: $0.isJSON) } }
    /// Takes the progress line away.
    static func clearProgress() { state.withLock { $0.progress.clear() } }

    /// Errors of standard error have nowhere to go.
    private static func complain(_ line: String) {
        try? writeAllBytes(STDERR_FILENO, Array((line + "\n").utf8), "to standard error")
    }

    private static func isBrokenPipe(_ error: UrsaError) -> Bool {
        error.message.hasSuffix(Errno(EPIPE).description)
    }

    /// Endless texts (a ten-thousand-letter name) are shown by their beginning.
    private static func clipped(_ text: String) -> String {
        text.utf8.count <= 600 ? text : text.prefix(300) + "… (\(text.utf8.count) bytes)"
    }
}

extension UrsaError {
    /// The error as a JSON object: `code`, `message`, `place`, `remedy`.
    var json: JSON {
        .record([
            "code": .string(code.description), "message": .string(message), "place": place.map(JSON.string),
            "remedy": remedy.map(JSON.string),
        ])
    }
}
