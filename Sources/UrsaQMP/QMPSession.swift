public import UrsaBase

/// The QEMU Machine Protocol as a state machine without any input or output of its own: bytes go in, messages and bytes
/// to send come out. Source: QEMU, docs/interop/qmp-spec.
///
/// The peer is not trusted: lines, waiting commands and strange answers are bounded, and the first line that is no QMP
/// ends the session.
public struct QMPSession: Sendable {
    /// Most bytes of one line; the longest honest one, the schema, has about 200 KiB.
    public static let lineLimit = 1 << 20
    /// Most commands that wait for their answer.
    public static let commandLimit = 64
    /// Most answers nobody asked for (late ones after their deadline are such).
    static let strangeLimit = 1000

    private enum State { case greeting, negotiating(Int64), ready, lost }
    private struct Waiting {
        let id: Int64
        let name: String
        let deadline: Deadline
    }

    private var state = State.greeting
    private var version: QMPVersion?
    private var lines = LineBuffer(limit: QMPSession.lineLimit)
    private var waiting: [Waiting] = []
    private var output: [UInt8] = []
    /// Commands given before the engine was ready.
    private var early: [UInt8] = []
    private var nextID: Int64 = 1
    private var strange = 0

    /// A session before its greeting. The engine must greet and accept within `seconds`.
    public init(seconds: Double = 10) {
        waiting.append(Waiting(id: 0, name: "greeting", deadline: .after(seconds: seconds)))
    }

    /// Whether the engine has accepted us.
    public var isReady: Bool { if case .ready = state { true } else { false } }
    /// Whether the session is over.
    public var isLost: Bool { if case .lost = state { true } else { false } }
    /// When `expire` should be called next, nil when nothing waits.
    public var nextDeadline: Deadline? { waiting.map(\.deadline).min() }
    /// Whether `takeOutput` would return something.
    public var hasOutput: Bool { !output.isEmpty }

    /// Queues a command; its answer comes as `.reply` with the returned id.
    ///
    /// - Parameter seconds: time for the answer from now on.
    /// - Throws: `.io` when the session is over, `.conflict` when too many commands wait.
    public mutating func command(
        _ name: String, _ arguments: JSON? = nil, seconds: Double = 5
    ) throws(UrsaError) -> Int64 {
        if isLost { throw UrsaError(.io, "the engine's monitor is gone") }
        guard waiting.count < QMPSession.commandLimit else {
            throw UrsaError(.conflict, "too many commands wait for the engine's monitor")
        }
        let id = nextID
        nextID += 1
        waiting.append(Waiting(id: id, name: name, deadline: .after(seconds: seconds)))
        let line = JSON.record(["execute": .string(name), "arguments": arguments, "id": .integer(id)]).line
        if isReady { output += line } else { early += line }
        return id
    }

    /// The bytes that must go to the engine now.
    public mutating func takeOutput() -> [UInt8] {
        defer { output = [] }
        return output
    }

    /// Takes in what the engine sent. After `.lost` nothing is taken in any more.
    public mutating func receive(_ bytes: some Collection<UInt8>) -> [QMPMessage] {
        guard !isLost else { return [] }
        var messages: [QMPMessage] = []
        lines.append(bytes)
        do throws(UrsaError) {
            while !isLost, let line = try lines.next() {
                if line.allSatisfy({ $0 == 32 || $0 == 9 }) { continue }
                try take(JSON.parse(line), into: &messages)
            }
        } catch {
            messages += lose("does not speak QMP: \(error.message)")
        }
        return messages
    }

    /// Answers the commands whose time is over with `.timeout`. The connection stays, except when it never got ready.
    public mutating func expire() -> [QMPMessage] {
        var messages: [QMPMessage] = []
        for entry in waiting where entry.deadline.isPast {
            if entry.id == 0 { return messages + lose("did not answer in time") }
            messages.append(
                .reply(id: entry.id, .failure(UrsaError(.timeout, "the engine did not answer \(entry.name) in time"))))
        }
        waiting.removeAll { $0.deadline.isPast }
        return messages
    }

    /// Ends the session because the connection ended: all waiting commands fail, `.lost` comes last.
    public mutating func close() -> [QMPMessage] { lose("closed the connection") }

    private mutating func lose(_ what: String) -> [QMPMessage] {
        guard !isLost else { return [] }
        let error = UrsaError(.io, "the engine's monitor \(what)")
        let replies = waiting.filter { $0.id > 0 }.map { QMPMessage.reply(id: $0.id, .failure(error)) }
        state = .lost
        waiting = []
        output = []
        early = []
        lines = LineBuffer(limit: QMPSession.lineLimit)
        return replies + [.lost(error)]
    }

    private mutating func take(_ message: JSON, into messages: inout [QMPMessage]) throws(UrsaError) {
        guard message.members != nil else { throw UrsaError(.io, "a line is no object") }
        if case .greeting = state {
            guard let version = QMPVersion(message) else { throw UrsaError(.io, "it did not greet") }
            self.version = version
            let id = nextID
            nextID += 1
            state = .negotiating(id)
            output += JSON.record(["execute": "qmp_capabilities", "id": .integer(id)]).line
            return
        }
        if let event = QMPEvent(message) {
            messages.append(.event(event))
            return
        }
        let id = message["id"]?.integer
        if case .negotiating(let expected) = state, id == expected, let version {
            guard message["return"] != nil else { throw UrsaError(.io, "it refused qmp_capabilities") }
            waiting.removeAll { $0.id == 0 }
            state = .ready
            output += early
            early = []
            messages.append(.ready(version))
            return
        }
        guard let id, let index = waiting.firstIndex(where: { $0.id == id && id > 0 }) else {
            strange += 1
            guard strange < QMPSession.strangeLimit else { throw UrsaError(.io, "it answers what nobody asked") }
            return
        }
        let entry = waiting.remove(at: index)
        if let value = message["return"] {
            messages.append(.reply(id: id, .success(value)))
            return
        }
        let words = message["error"]?["desc"]?.string ?? "it did not say why"
        let kind = message["error"]?["class"]?.string
        let code: UrsaError.Code = kind == "CommandNotFound" ? .unsupported : kind == "DeviceNotFound" ? .notFound : .io
        messages.append(.reply(id: id, .failure(UrsaError(code, "the engine refused \(entry.name): \(words)"))))
    }
}
