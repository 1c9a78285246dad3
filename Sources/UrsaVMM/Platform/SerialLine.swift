import CLinux
import Glibc
import UrsaBase

/// The other side of a serial port: whoever is connected to a unix socket, one at a time, or this process' own input and output.
///
/// A thread of its own moves the bytes, so that no processor waits for a reader. What the guest sends is kept until somebody reads it, up to
/// `capacity` bytes; then the port's transmitter stays busy, as with a peer that holds the line. While nobody is connected nothing is kept:
/// like a cable without a terminal.
final class SerialLine: @unchecked Sendable {
    // SAFETY: `state` is behind its lock; descriptors are only closed by the thread, or after it has ended.

    /// Where the other side is.
    enum Peer {
        /// A listening unix socket; the descriptor is the line's from then on.
        case listener(Int32)
        /// Input and output of this process.
        case standard
        /// Nobody, ever: what the guest sends is kept up to `capacity`, for tests and fuzzers.
        case none
    }

    static let capacity = 64 << 10

    private struct State {
        var sending = ByteRing(capacity: SerialLine.capacity)
        var received = ByteRing(capacity: 16)
        var isConnected = false
        var wasFull = false
        var isEnding = false
    }
    private let state = Locked(State())
    private let wake: OwnedFD
    private let peer: Peer
    // SAFETY: set once before the thread starts.
    nonisolated(unsafe) private weak var port: SerialPort?
    nonisolated(unsafe) private var thread: OSThread?

    init(_ peer: Peer) throws(UrsaError) {
        self.peer = peer
        wake = OwnedFD(try check(clinux_eventfd(), "make an eventfd"))
    }

    /// Starts moving bytes. A client that connected before is served from the first byte on.
    func start(for port: SerialPort) throws(UrsaError) {
        self.port = port
        switch peer {
        case .none: return
        case .standard: state.withLock { $0.isConnected = true }
        case .listener(let socket):
            // The one who waits is let in before the guest's first byte; nobody need wait.
            _ = fcntl(socket, F_SETFL, fcntl(socket, F_GETFL) | O_NONBLOCK)
            if let client = accept(from: socket) { connection = client }
            state.withLock { $0.isConnected = connection >= 0 }
        }
        thread = try OSThread { [self] in run() }
    }

    /// Sends what is left, for at most a second, and ends the thread.
    func stop() {
        state.withLock { $0.isEnding = true }
        clinux_eventfd_signal(wake.raw)
        thread?.join()
        thread = nil
    }

    // MARK: The port's side

    func send(_ byte: UInt8) -> Bool {
        let (isFirst, isTaken) = state.withLock { state in
            if case .none = peer {} else if !state.isConnected { return (false, true) }
            let isFirst = state.sending.isEmpty
            let isTaken = state.sending.put(byte)
            if state.sending.room == 0 { state.wasFull = true }
            return (isFirst, isTaken)
        }
        if isFirst { clinux_eventfd_signal(wake.raw) }
        return isTaken
    }

    var hasRoom: Bool { state.withLock { $0.sending.room > 0 } }
    var hasReceived: Bool { state.withLock { !$0.received.isEmpty } }

    func takeReceived() -> UInt8? {
        let (byte, isRoomNews) = state.withLock { state in
            let wasFull = state.received.room == 0
            return (state.received.take(), wasFull)
        }
        if isRoomNews { clinux_eventfd_signal(wake.raw) }
        return byte
    }

    func clearReceived() {
        state.withLock { $0.received.clear() }
        clinux_eventfd_signal(wake.raw)
    }

    /// For tests: what was sent and nobody took, and bytes as if somebody sent them; how many there was room for.
    func takeSent() -> [UInt8] {
        state.withLock { state in
            var bytes: [UInt8] = []
            while let byte = state.sending.take() { bytes.append(byte) }
            return bytes
        }
    }
    func receive(_ bytes: [UInt8]) -> Int {
        let count = state.withLock { state in bytes.prefix { state.received.put($0) }.count }
        if count > 0 { port?.lineChanged(hasRoom: false) }
        return count
    }

    // MARK: The thread's side

    // SAFETY: used by `start` before the thread runs, then by the thread alone.
    nonisolated(unsafe) private var connection: Int32 = -1

    private func accept(from socket: Int32) -> Int32? {
        let client = clinux_accept_nonblocking(socket)
        return client >= 0 ? client : nil
    }

    private func run() {
        Sandbox.enter(.console)
        var ending: Deadline?
        while true {
            let (hasOutput, hasRoom, isEnding) = state.withLock { state in
                (!state.sending.isEmpty, state.received.room > 0, state.isEnding)
            }
            let input = connectionInput
            let output = connectionOutput
            if isEnding {
                if ending == nil { ending = .after(seconds: 1) }
                if !hasOutput || output < 0 || ending?.isPast == true { break }
            }
            var waiting = [
                pollfd(fd: wake.raw, events: Int16(POLLIN), revents: 0),
                pollfd(fd: input >= 0 ? input : -1, events: hasRoom ? Int16(POLLIN) : 0, revents: 0),
                pollfd(fd: hasOutput ? output : -1, events: Int16(POLLOUT), revents: 0),
                pollfd(fd: listening, events: Int16(POLLIN), revents: 0),
            ]
            if poll(&waiting, nfds_t(waiting.count), ending?.millisecondsLeft ?? -1) < 0 { continue }
            if waiting[0].revents != 0 { _ = clinux_eventfd_take(wake.raw) }
            if waiting[1].revents != 0 { readInput(input) }
            if waiting[2].revents != 0, connectionOutput == output { writeOutput(output) }
            if waiting[3].revents != 0, case .listener(let socket) = peer, let client = accept(from: socket) {
                connection = client
                state.withLock { $0.isConnected = true }
            }
        }
        if connection >= 0 { close(connection) }
        if case .listener(let socket) = peer { close(socket) }
    }

    private var connectionInput: Int32 { if case .standard = peer { connection == -2 ? -1 : 0 } else { connection } }
    private var connectionOutput: Int32 { if case .standard = peer { 1 } else { connection } }
    /// The socket to accept from: one client at a time, the next waits until the first has gone.
    private var listening: Int32 { if case .listener(let socket) = peer, connection < 0 { socket } else { -1 } }

    private func readInput(_ input: Int32) {
        let room = state.withLock { $0.received.room }
        var buffer = [UInt8](repeating: 0, count: max(1, room))
        let count = Glibc.read(input, &buffer, buffer.count)
        if count < 0, errno == EAGAIN || errno == EINTR { return }
        guard count > 0 else { return disconnect() }
        if room > 0 { _ = receive(Array(buffer.prefix(count))) }
    }

    private func writeOutput(_ output: Int32) {
        // Copied out, so that the guest's next byte does not wait for the write.
        let bytes = state.withLock { state in state.sending.withFirstRun { Array($0.prefix(4096)) } }
        let count = Glibc.write(output, bytes, bytes.count)
        if count < 0 {
            if errno != EAGAIN, errno != EINTR { disconnect() }
            return
        }
        let hasRoomNews = state.withLock { state in
            state.sending.drop(count)
            defer { state.wasFull = false }
            return state.wasFull
        }
        if hasRoomNews { port?.lineChanged(hasRoom: true) }
    }

    private func disconnect() {
        if case .standard = peer {
            connection = -2  // input has ended; output goes on
            return
        }
        if connection >= 0 { close(connection) }
        connection = -1
        let wasFull = state.withLock { state in
            state.isConnected = false
            state.sending.clear()
            defer { state.wasFull = false }
            return state.wasFull
        }
        if wasFull { port?.lineChanged(hasRoom: true) }
    }
}
