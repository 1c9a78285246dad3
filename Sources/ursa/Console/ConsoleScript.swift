import Glibc
import UrsaBase

/// A console driven by a program: text sent, output printed until a pattern matches.
struct ConsoleScript {
    private let text: [UInt8]
    private let pattern: Regex<AnyRegexOutput>?

    /// Longest pattern, in bytes: the compiler of patterns recurses.
    private static let longestPattern = 1000
    /// A match lies within so many bytes of output.
    private static let window = 16384

    /// A script from the values of `--send` and `--until`.
    ///
    /// The pattern is searched in the output without control sequences and carriage returns, by Unicode scalar; `^` and
    /// `$` match at lines.
    init(send: String?, until: String?) throws(UrsaError) {
        text = try send.map { (text) throws(UrsaError) in try Escapes.bytes(text, option: "--send") } ?? []
        pattern = try until.map { (until) throws(UrsaError) in try ConsoleScript.compile(until) }
    }

    private static func compile(_ pattern: String) throws(UrsaError) -> Regex<AnyRegexOutput> {
        guard pattern.utf8.count <= longestPattern else {
            throw UrsaError(
                .usage, "the pattern has \(pattern.utf8.count) bytes", place: "--until",
                remedy: "keep it to \(longestPattern)")
        }
        guard !pattern.isEmpty else {
            throw UrsaError(.usage, "the pattern is empty", place: "--until", remedy: "give a text such as 'login: $'")
        }
        do {
            return try Regex(pattern).matchingSemantics(.unicodeScalar).anchorsMatchLineEndings()
        } catch {
            let reason = String(describing: error).split(whereSeparator: \.isNewline).joined(separator: " ")
            throw UrsaError(
                .usage, "the pattern is no regular expression: \(reason)", place: "--until",
                remedy: "escape characters that are meant as they are by a backslash")
        }
    }

    /// Sends the text, then prints output until the pattern matches. Without a pattern: until `seconds` have passed, or,
    /// where they are nil too, only sends.
    ///
    /// - Parameter show: takes the output.
    /// - Throws: `.timeout` when the pattern did not match in time, `.io` when the machine ended before.
    func run(
        _ socket: consuming OwnedFD, name: String, seconds: Double?,
        show: ([UInt8]) -> Void = { Screen.write(bytes: $0) }
    ) throws(UrsaError) {
        try socket.setNonBlocking()
        let limit = pattern != nil ? seconds ?? 120 : seconds
        let deadline = limit.map { Deadline.after(seconds: $0) }
        var pending = text[...]
        var seen: [UInt8] = []
        var filter = ControlFilter()
        var buffer = [UInt8](repeating: 0, count: 4096)
        let isDone = Locked(false)
        defer { isDone.withLock { $0 = true } }
        if let limit, pattern != nil { try ConsoleScript.watch(seconds: limit, name: name, isDone: isDone) }
        while true {
            if pending.isEmpty, limit == nil { return }
            var waiting = pollfd(
                fd: socket.raw, events: Int16(POLLIN | (pending.isEmpty ? 0 : POLLOUT)), revents: 0)
            _ = poll(&waiting, 1, deadline?.millisecondsLeft ?? -1)
            if waiting.revents & Int16(POLLOUT) != 0 {
                let count = pending.withUnsafeBytes { write(socket.raw, $0.baseAddress, $0.count) }
                if count > 0 { pending = pending.dropFirst(count) }
            }
            if waiting.revents & Int16(POLLIN | POLLHUP | POLLERR) != 0 {
                let count = read(socket.raw, &buffer, buffer.count)
                if count > 0 {
                    let piece = filter.filter(buffer[0..<count])
                    show(Terminal.isOutput ? piece : Array(buffer[0..<count]))
                    if matches(piece, &seen) { return }
                    // Output may come without a pause; the deadline holds all the same.
                    if let deadline, deadline.isPast { return try end(name, limit) }
                    continue
                }
                if count == 0 || (errno != EAGAIN && errno != EINTR) {
                    guard pattern != nil || !pending.isEmpty else { return }
                    throw UrsaError(
                        .io, "the console ended before the text came", place: "machine \(name)",
                        remedy: "`ursa ps -a` says why the machine ended")
                }
            }
            if let deadline, deadline.isPast { return try end(name, limit) }
        }
    }

    private func end(_ name: String, _ limit: Double?) throws(UrsaError) {
        guard pattern != nil else { return }
        throw ConsoleScript.late(name, limit ?? 0)
    }

    private static func late(_ name: String, _ seconds: Double) -> UrsaError {
        UrsaError(
            .timeout, "the text did not come within \(TimeSpan(seconds).defaultValueDescription) s",
            place: "console of \(name)", remedy: "`ursa logs \(name)` shows what came")
    }

    private func matches(_ piece: [UInt8], _ seen: inout [UInt8]) -> Bool {
        guard let pattern else { return false }
        seen.append(contentsOf: piece)
        if seen.count > ConsoleScript.window {
            seen.removeFirst(seen.count - ConsoleScript.window)
            // From a line's start on, so that `^` does not match where the window cut a line.
            if let lineEnd = seen.firstIndex(of: 0x0a) { seen.removeFirst(lineEnd + 1) }
        }
        return String(decoding: seen, as: UTF8.self).firstMatch(of: pattern) != nil
    }

    /// A pattern that backtracks without end can't be interrupted: the time limit ends the program then.
    private static func watch(seconds: Double, name: String, isDone: Locked<Bool>) throws(UrsaError) {
        let deadline = Deadline.after(seconds: seconds + 1)
        _ = try OSThread {
            while !deadline.isPast {
                pause(milliseconds: UInt32(min(deadline.millisecondsLeft, 1000)))
                if isDone.withLock({ $0 }) { return }
            }
            Screen.fail(late(name, seconds))
            _exit(1)
        }
    }
}
