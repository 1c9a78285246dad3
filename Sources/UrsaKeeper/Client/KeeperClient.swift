import Glibc
public import UrsaBase

/// Speaks with the living keeper of a machine. Every call makes a connection of its own, so one value serves many
/// threads and is never in the way of another.
public struct KeeperClient: Sendable {
    /// What a viewer of the console may do.
    public enum ConsoleMode: String, Sendable, Hashable {
        /// See and type.
        case readWrite = "rw"
        /// Only see.
        case readOnly = "ro"
    }

    /// The machine's folder.
    public let folder: String

    /// A client for the keeper of the machine in `folder`.
    ///
    /// - Throws: `.notFound` when no keeper answers there, `.permission` when the caller may not ask.
    public init(folder: String) throws(UrsaError) {
        self.folder = folder
        _ = try UnixSocket.connect(folder + "/" + MachineFiles.keeperSocket)
    }

    /// What the machine does now.
    public func status(seconds: Double = 5) throws(UrsaError) -> MachineStatus {
        try MachineStatus(json: ask(["command": "status"], seconds: seconds))
    }

    /// Presses the power button, waits for the guest, ends it when the time is over; returns when the machine has ended.
    ///
    /// - Parameters:
    ///   - seconds: the guest's time, 0…3600; nil takes the machine's own.
    ///   - progress: called with words on what is being done.
    public func stop(
        seconds: Int? = nil, progress: (String) -> Void = { _ in }
    ) throws(UrsaError) -> MachineStatus {
        let request = JSON.record(["command": "stop", "seconds": seconds.map { .integer(Int64($0)) }])
        return try MachineStatus(json: ask(request, seconds: Double(seconds ?? 3600) + 30, progress: progress))
    }

    /// Ends the machine at once, as by pulling the plug; returns when it has ended.
    @discardableResult
    public func kill(seconds: Double = 30) throws(UrsaError) -> MachineStatus {
        try MachineStatus(json: ask(["command": "kill"], seconds: seconds))
    }

    /// Holds the guest's processors.
    public func pause() throws(UrsaError) { _ = try ask(["command": "pause"], seconds: 10) }

    /// Lets the guest's processors go on.
    public func resume() throws(UrsaError) { _ = try ask(["command": "resume"], seconds: 10) }

    /// Runs a QMP command through the keeper's monitor; see `QMPClient.execute` for the errors.
    @discardableResult
    public func qmp(_ execute: String, _ arguments: JSON? = nil, seconds: Double = 5) throws(UrsaError) -> JSON {
        try ask(
            .record([
                "command": "qmp", "execute": .string(execute), "arguments": arguments, "seconds": .number(seconds),
            ]), seconds: seconds + 2)
    }

    /// A socket on the machine's serial console: what is read from it is the console's output, what is written is typed.
    ///
    /// - Parameter replay: whether the output since power-on (as much of it as is kept) comes first.
    public func console(_ mode: ConsoleMode = .readWrite, replay: Bool = true) throws(UrsaError) -> OwnedFD {
        let socket = try connect()
        let request: JSON = ["command": "console", "mode": .string(mode.rawValue), "replay": .bool(replay)]
        try sendAll(socket.raw, request.line, to: "the keeper", until: .after(seconds: 5))
        // Byte by byte, because what follows the answer belongs to the caller.
        var line: [UInt8] = []
        let deadline = Deadline.after(seconds: 5)
        var byte: [UInt8] = [0]
        while line.count < 65536 {
            switch receiveSome(socket.raw, into: &byte) {
            case .bytes where byte[0] == 10:
                let answer = try JSON.parse(line)
                if let error = answer["error"] { throw UrsaError(json: error) }
                try socket.setNonBlocking(false)
                return socket
            case .bytes: line.append(byte[0])
            case .later: try KeeperClient.await(socket.raw, deadline)
            case .ended: throw UrsaError(.io, "the keeper closed the connection", place: folder)
            }
        }
        throw UrsaError(.io, "the keeper's answer is too long", place: folder)
    }

    /// Waits until the machine has ended for good.
    ///
    /// - Throws: `.timeout` when it has not within `seconds`.
    public func wait(seconds: Double = 1e9) throws(UrsaError) -> MachineStatus {
        try MachineStatus(json: ask(["command": "wait"], seconds: seconds))
    }

    private func connect() throws(UrsaError) -> OwnedFD {
        let socket = try UnixSocket.connect(folder + "/" + MachineFiles.keeperSocket)
        try socket.setNonBlocking()
        return socket
    }

    private func ask(
        _ request: JSON, seconds: Double, progress: (String) -> Void = { _ in }
    ) throws(UrsaError) -> JSON {
        let socket = try connect()
        let deadline = Deadline.after(seconds: seconds)
        try sendAll(socket.raw, request.line, to: "the keeper", until: deadline)
        var lines = LineBuffer(limit: 4 << 20)
        var buffer = [UInt8](repeating: 0, count: 16384)
        while true {
            while let line = try lines.next() {
                let answer = try JSON.parse(line)
                if let words = answer["progress"]?.string { progress(words) }
                if let error = answer["error"] { throw UrsaError(json: error) }
                if let value = answer["ok"] { return value }
            }
            switch receiveSome(socket.raw, into: &buffer) {
            case .bytes(let count): lines.append(buffer[..<count])
            case .later: try KeeperClient.await(socket.raw, deadline)
            case .ended: throw UrsaError(.io, "the keeper went away before it answered", place: folder)
            }
        }
    }

    private static func await(_ fd: Int32, _ deadline: Deadline) throws(UrsaError) {
        var waiting = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
        if poll(&waiting, 1, deadline.millisecondsLeft) <= 0, deadline.isPast {
            throw UrsaError(.timeout, "the keeper did not answer in time")
        }
    }
}
