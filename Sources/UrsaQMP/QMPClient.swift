import Glibc
public import UrsaBase

/// A QMP connection for tools that may wait: one command at a time, events on the side. Not shared between threads.
public final class QMPClient {
    /// Most events kept until somebody takes them; older ones go first.
    public static let eventLimit = 1024

    private let socket: OwnedFD
    private var session: QMPSession
    private var events: [QMPEvent] = []
    private var replies: [Int64: Result<JSON, UrsaError>] = [:]
    private var lost: UrsaError?
    /// Who is at the other end.
    public private(set) var version: QMPVersion?

    /// Connects to the socket at `path` and negotiates.
    ///
    /// - Throws: `.notFound` when nobody listens, `.io` when the peer does not speak QMP or does not answer.
    public init(_ path: String, seconds: Double = 10) throws(UrsaError) {
        socket = try UnixSocket.connect(path)
        try socket.setNonBlocking()
        session = QMPSession(seconds: seconds)
        while !session.isReady {
            try step(until: session.nextDeadline ?? .now)
            if let lost { throw lost.at(path) }
        }
    }

    /// Runs a command and returns its value.
    ///
    /// - Throws: `.timeout` after `seconds` (the connection stays usable), `.unsupported` for an unknown command, `.io`
    ///   when the engine refused or was lost.
    @discardableResult
    public func execute(_ name: String, _ arguments: JSON? = nil, seconds: Double = 5) throws(UrsaError) -> JSON {
        let id = try session.command(name, arguments, seconds: seconds)
        while true {
            if let reply = replies.removeValue(forKey: id) { return try reply.get() }
            try step(until: session.nextDeadline ?? .now)
        }
    }

    /// The next event, in order; nil when none came within `seconds`.
    ///
    /// - Throws: `.io` when the connection is over and no event is left.
    public func nextEvent(seconds: Double) throws(UrsaError) -> QMPEvent? {
        let deadline = Deadline.after(seconds: seconds)
        while events.isEmpty {
            if let lost { throw lost }
            try step(until: deadline)
            if events.isEmpty, deadline.isPast { return nil }
        }
        return events.removeFirst()
    }

    /// Sends what is due, then waits for bytes or the deadline once.
    private func step(until deadline: Deadline) throws(UrsaError) {
        if session.hasOutput {
            do throws(UrsaError) {
                try sendAll(socket.raw, session.takeOutput(), to: "the engine's monitor", until: deadline)
            } catch {
                take(session.close())
                return
            }
        }
        var waiting = pollfd(fd: socket.raw, events: Int16(POLLIN), revents: 0)
        let ready = poll(&waiting, 1, deadline.millisecondsLeft)
        if ready > 0 {
            var buffer = [UInt8](repeating: 0, count: 65536)
            switch receiveSome(socket.raw, into: &buffer) {
            case .bytes(let count): take(session.receive(buffer[..<count]))
            case .later: break
            case .ended: take(session.close())
            }
        }
        take(session.expire())
    }

    private func take(_ messages: [QMPMessage]) {
        for message in messages {
            switch message {
            case .ready(let version): self.version = version
            case .reply(let id, let result): replies[id] = result
            case .event(let event):
                if events.count >= QMPClient.eventLimit { events.removeFirst() }
                events.append(event)
            case .lost(let error): lost = error
            }
        }
    }
}
