import UrsaBase

/// One client of the keeper's socket: JSON lines in, JSON lines out, one request at a time.
final class ControlConnection {
    /// Most bytes of a request.
    static let requestLimit = 65536
    /// Most bytes of answers a client may leave unread; one that leaves more is dropped.
    static let outputLimit = 4 << 20

    let fd: SharedFD
    /// When the connection was made, to find the one that idles longest.
    let since = Deadline.now
    /// Whether a request is being worked on; the next one waits.
    private(set) var isBusy = false
    /// Called when it is over.
    var onClose: () -> Void = {}

    private let loop: EventLoop
    private var lines = LineBuffer(limit: ControlConnection.requestLimit)
    private var output: ArraySlice<UInt8> = []
    private var isReading = true
    private var closesWhenSent = false
    private var isClosed = false
    /// Whether the loop over held requests runs already, further up the stack.
    private var isTaking = false
    private let onRequest: (ControlConnection, JSON) -> Void

    init(
        loop: EventLoop, fd: consuming OwnedFD, onRequest: @escaping (ControlConnection, JSON) -> Void
    ) throws(UrsaError) {
        try fd.setNonBlocking()
        self.loop = loop
        self.fd = SharedFD(fd)
        self.onRequest = onRequest
        try loop.add(self.fd.raw, .read) { [self] interest in
            if interest.contains(.write) { flush() }
            if interest.contains(.read) { receive() }
            // Nobody is left to hear an answer; a half-closed client does not come here.
            if !interest.isDisjoint(with: .hangUp), isBusy || !isReading || closesWhenSent { close() }
        }
    }

    /// Sends a line that is not the last of this answer.
    func progress(_ words: String) { send(["progress": .string(words)]) }

    /// Ends the answer to the current request.
    func finish(_ result: Result<JSON, UrsaError>) {
        switch result {
        case .success(let value): send(["ok": value])
        case .failure(let error): send(["error": error.json])
        }
        isBusy = false
        if !isTaking { takeRequests() }
    }

    /// Ends the answer to the current request and gives the socket away to a stream of raw bytes; returns what was sent
    /// after the request.
    func release(answer: JSON) -> [UInt8] {
        send(answer)
        isClosed = true
        loop.remove(fd.raw)
        onClose()
        return lines.takeRest()
    }

    /// Sends what is left, then closes.
    func closeWhenSent() {
        closesWhenSent = true
        flush()
    }

    /// Closes at once.
    func close() {
        guard !isClosed else { return }
        isClosed = true
        loop.remove(fd.raw)
        onClose()
    }

    private func send(_ message: JSON) {
        guard !isClosed else { return }
        output = Array(output + message.line)[...]
        flush()
        if output.count > ControlConnection.outputLimit { close() }
    }

    private func receive() {
        var buffer = [UInt8](repeating: 0, count: 16384)
        switch receiveSome(fd.raw, into: &buffer) {
        case .bytes(let count):
            lines.append(buffer[..<count])
            takeRequests()
        case .later: break
        case .ended:
            isReading = false
            if isBusy || !output.isEmpty { watch() } else { close() }
        }
    }

    private func takeRequests() {
        isTaking = true
        defer { isTaking = false }
        while !isBusy, !isClosed, !closesWhenSent {
            do throws(UrsaError) {
                guard let line = try lines.next() else { break }
                if line.isEmpty { continue }
                let request = try JSON.parse(line, depth: 16)
                isBusy = true
                onRequest(self, request)
            } catch {
                send(["error": UrsaError(.usage, "this is no request: \(error.message)").json])
                closeWhenSent()
            }
        }
        if !isReading, !isBusy { closeWhenSent() }
        watch()
    }

    private func flush() {
        guard !isClosed else { return }
        while !output.isEmpty {
            switch sendSome(fd.raw, output) {
            case .bytes(let count): output = output.dropFirst(count)
            case .later: return watch()
            case .ended: return close()
            }
        }
        if closesWhenSent { return close() }
        watch()
    }

    private func watch() {
        guard !isClosed else { return }
        // While a request is worked on nothing more is read: the client's own socket buffer holds the rest.
        var interest: EventLoop.Interest = []
        if isReading, !isBusy { interest.insert(.read) }
        if !output.isEmpty { interest.insert(.write) }
        loop.change(fd.raw, interest)
    }
}
