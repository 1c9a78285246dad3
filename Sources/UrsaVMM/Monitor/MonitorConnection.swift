import Glibc
import UrsaBase

/// One client of a monitor, driven by the event loop.
final class MonitorConnection {
    /// Bytes of answers a client may leave unread before its requests wait.
    static let patience = 65536
    /// Bytes of answers and events a client may leave unread before it is dropped.
    static let outputLimit = 1 << 20
    /// Requests that are carried out in one turn of the loop.
    static let turn = 16

    private let loop: EventLoop
    private let fd: SharedFD
    private var session = MonitorSession()
    private var output: [UInt8] = []
    /// Bytes of `output` that have left.
    private var sent = 0
    private var hasInput = true
    private var isClosed = false
    /// Whether requests may be held because the client does not take its answers.
    private var isHeld = false
    /// Set while others have their turn.
    private var nextTurn: UInt64?
    private unowned let server: MonitorServer

    init(loop: EventLoop, fd: consuming OwnedFD, server: MonitorServer) throws(UrsaError) {
        try fd.setNonBlocking()
        self.loop = loop
        self.fd = SharedFD(fd)
        self.server = server
        try loop.add(self.fd.raw, .read) { [self] interest in
            if interest.contains(.write) { flush() }
            if interest.contains(.read) { receive() }
            if !interest.isDisjoint(with: .hangUp), !interest.contains(.read) { close() }
            watch()
        }
        output = MonitorSession.greeting
        flush()
        watch()
    }

    /// Bytes that wait to be sent.
    var pending: Int { output.count - sent }

    /// Tells an event, when the client has ended its negotiation.
    func tell(_ event: [UInt8]) {
        guard session.isReady, !isClosed else { return }
        send(event)
        watch()
    }

    /// Sends what the client takes right now.
    func flush() {
        while sent < output.count {
            switch sendSome(fd.raw, output[sent...]) {
            case .bytes(let count): sent += count
            case .later: return
            case .ended: return close()
            }
        }
        output.removeAll(keepingCapacity: output.capacity <= MonitorConnection.patience)
        sent = 0
    }

    private func send(_ bytes: [UInt8]) {
        output += bytes
        flush()
        if pending > MonitorConnection.outputLimit { close() }
    }

    private func receive() {
        guard hasInput, !isHeld, nextTurn == nil, !isClosed else { return }
        var buffer = [UInt8](repeating: 0, count: 8192)
        switch receiveSome(fd.raw, into: &buffer) {
        case .bytes(let count): session.append(buffer[..<count])
        case .later: return
        case .ended: hasInput = false
        }
        work()
    }

    /// Carries out what is held, a bounded number at a time so that one client can't hold up the others.
    private func work() {
        isHeld = false
        for _ in 0..<MonitorConnection.turn {
            guard !isClosed else { return }
            guard pending < MonitorConnection.patience else {
                isHeld = true
                return
            }
            guard let answer = session.next(server.machine) else { return }
            // What the command made happen is told before its answer, as QEMU does.
            server.deliver()
            send(answer.line)
        }
        nextTurn = loop.after(seconds: 0) { [weak self] in
            guard let self else { return }
            self.nextTurn = nil
            self.work()
            self.watch()
        }
    }

    private func watch() {
        guard !isClosed else { return }
        if isHeld, nextTurn == nil, pending < MonitorConnection.patience { work() }
        guard !isClosed else { return }
        let isIdle = !isHeld && nextTurn == nil
        if pending == 0, isIdle, session.isBroken || !hasInput { return close() }
        var interest: EventLoop.Interest = []
        if hasInput, isIdle, !session.isBroken { interest.insert(.read) }
        if pending > 0 { interest.insert(.write) }
        loop.change(fd.raw, interest)
    }

    private func close() {
        guard !isClosed else { return }
        isClosed = true
        loop.remove(fd.raw)
        if let nextTurn { loop.cancel(nextTurn) }
        server.forget(self)
    }
}
