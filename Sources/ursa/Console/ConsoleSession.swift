import Glibc
import UrsaBase

/// A person, or a pipe, at the console of a machine.
struct ConsoleSession: ~Copyable {
    /// How a session ended.
    enum End {
        /// The person pressed the detach key; the machine runs on.
        case detached
        /// The machine's side closed: it has ended.
        case ended
        /// The deadline passed.
        case timedOut
        /// Nobody reads our output any more.
        case readerGone
    }

    private let socket: OwnedFD
    private let isReadOnly: Bool
    private let detachKey: UInt8?
    private let deadline: Deadline?
    private var pending: [UInt8] = []
    private var inputIsOpen = true
    private var replay: QueryFilter?

    /// The replay is over when nothing came for this time, milliseconds…
    private static let replayPause: Int32 = 60
    /// …or after this one, whatever comes.
    private static let replaySeconds = 2.0
    /// Typed text that the guest has not taken yet is kept up to this; past it, the person's side waits.
    private static let mostPending = 1 << 20

    /// What puts a terminal right whatever a guest did to it: attributes, cursor, main screen, mouse, paste mode.
    static let farewell =
        "\u{1b}[0m\u{1b}[?1047l\u{1b}[?1000l\u{1b}[?1002l\u{1b}[?1003l\u{1b}[?1006l\u{1b}[?2004l\u{1b}[?25h"

    /// A session over a connected socket.
    init(_ socket: consuming OwnedFD, isReadOnly: Bool, detachKey: UInt8?, deadline: Deadline?) throws(UrsaError) {
        try socket.setNonBlocking()
        self.socket = socket
        self.isReadOnly = isReadOnly
        self.detachKey = detachKey
        self.deadline = deadline
    }

    /// Carries bytes both ways until one side ends. A terminal is raw meanwhile, and is restored whatever happens.
    mutating func run() throws(UrsaError) -> End {
        let isTerminal = Terminal.isInput && Terminal.isOutput
        if isTerminal { try Terminal.enterRaw(farewell: ConsoleSession.farewell) }
        defer { if isTerminal { Terminal.leaveRaw() } }
        inputIsOpen = isTerminal || !isReadOnly
        replay = isTerminal ? QueryFilter() : nil
        let replayEnd = Deadline.after(seconds: ConsoleSession.replaySeconds)
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            let takesInput = inputIsOpen && pending.count < ConsoleSession.mostPending
            var polls = [
                pollfd(fd: takesInput ? STDIN_FILENO : -1, events: Int16(POLLIN), revents: 0),
                pollfd(fd: socket.raw, events: Int16(POLLIN | (pending.isEmpty ? 0 : POLLOUT)), revents: 0),
                pollfd(fd: STDOUT_FILENO, events: 0, revents: 0),
            ]
            let wait = deadline?.millisecondsLeft ?? -1
            let pause = ConsoleSession.replayPause
            let ready = poll(&polls, 3, replay == nil ? wait : wait < 0 ? pause : min(wait, pause))
            if ready < 0, errno != EINTR { throw UrsaError.system(.current, "wait for the console") }
            if ready == 0 || replayEnd.isPast { endReplay() }
            if let deadline, deadline.isPast { return .timedOut }
            guard ready > 0 else { continue }
            if polls[2].revents & Int16(POLLERR | POLLNVAL) != 0 || Screen.readerIsGone { return .readerGone }
            if polls[1].revents != 0 {
                let count = read(socket.raw, &buffer, buffer.count)
                if count > 0 { Screen.write(bytes: replay?.filter(buffer[0..<count]) ?? Array(buffer[0..<count])) }
                if count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR) { return .ended }
            }
            if polls[0].revents != 0, takeInput(&buffer, isTerminal: isTerminal) { return .detached }
            sendPending()
        }
    }

    private mutating func endReplay() {
        if let rest = replay?.flush() { Screen.write(bytes: rest) }
        replay = nil
    }

    /// Reads what was typed; true when the detach key is in it.
    private mutating func takeInput(_ buffer: inout [UInt8], isTerminal: Bool) -> Bool {
        let count = read(STDIN_FILENO, &buffer, buffer.count)
        if count < 0, errno == EAGAIN || errno == EINTR { return false }
        guard count > 0 else {
            // The end of a pipe: its text is on the way, output goes on. A terminal that is gone ends the session.
            inputIsOpen = false
            return isTerminal
        }
        var typed = buffer[0..<count]
        var isDetached = false
        if isTerminal {
            // A viewer has nothing to interrupt in the guest, so Ctrl-C leaves too.
            let keys = [detachKey, isReadOnly ? 0x03 : nil].compactMap { $0 }
            if let end = typed.firstIndex(where: { keys.contains($0) }) {
                typed = typed[..<end]
                isDetached = true
            }
        }
        if !isReadOnly { pending.append(contentsOf: typed) }
        if isDetached { sendPending() }
        return isDetached
    }

    private mutating func sendPending() {
        guard !pending.isEmpty else { return }
        let count = pending.withUnsafeBytes { write(socket.raw, $0.baseAddress, $0.count) }
        if count > 0 {
            pending.removeFirst(count)
        } else if count < 0, errno != EAGAIN, errno != EINTR {
            pending = []  // the read side will see the end
        }
    }
}
