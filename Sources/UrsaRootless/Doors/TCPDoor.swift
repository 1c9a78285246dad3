import Glibc
import UrsaBase

/// A TCP port: connections that come in on the real host are carried to the same port inside.
final class TCPDoor {
    private let listeners: [SharedFD]
    private let target: SocketAddress
    private let family: Int32
    private let loop: EventLoop
    private var connections: [ObjectIdentifier: Connection] = [:]
    /// Most connections at once; more wait in the listener's queue.
    private static let most = 1000

    init(_ door: Door, listeners: [SharedFD], loop: EventLoop) throws(UrsaError) {
        self.listeners = listeners
        self.loop = loop
        target = SocketAddress(door.target, door.port)
        family = door.target.socketFamily
        for listener in listeners {
            try loop.add(listener.raw, .read) { [unowned self] _ in self.welcome(listener.raw) }
        }
    }

    /// Takes no more connections; those that there are end.
    func close() {
        for listener in listeners { loop.remove(listener.raw) }
        for connection in connections.values { connection.stop() }
        connections = [:]
    }

    private func welcome(_ listener: Int32) {
        guard connections.count < Self.most else { return pause(milliseconds: 1) }
        let caller = accept(listener, nil, nil)
        guard caller >= 0 else { return }
        let outside = OwnedFD(caller)
        _ = fcntl(caller, F_SETFD, FD_CLOEXEC)
        let inside = OwnedFD(makeSocket(family, isUDP: false))
        guard inside.raw >= 0, (try? outside.setNonBlocking()) != nil else { return }
        let result = target.with { connect(inside.raw, $0, $1) }
        guard result == 0 || errno == EINPROGRESS else { return }
        guard
            let connection = try? Connection(
                outside, inside, loop,
                { [weak self] ended in
                    self?.connections[ObjectIdentifier(ended)] = nil
                })
        else { return }
        connections[ObjectIdentifier(connection)] = connection
    }
}

/// Two sockets whose bytes are carried both ways, each end told when the other has said all.
private final class Connection {
    private let outside: OwnedFD
    private let inside: OwnedFD
    private let loop: EventLoop
    private let whenEnded: (Connection) -> Void
    private var inward = Pump()
    private var outward = Pump()
    private var isOpen = true

    init(
        _ outside: consuming OwnedFD, _ inside: consuming OwnedFD, _ loop: EventLoop,
        _ whenEnded: @escaping (Connection) -> Void
    ) throws(UrsaError) {
        self.outside = outside
        self.inside = inside
        self.loop = loop
        self.whenEnded = whenEnded
        for fd in [self.outside.raw, self.inside.raw] {
            var on: Int32 = 1
            setsockopt(fd, Int32(IPPROTO_TCP), TCP_NODELAY, &on, 4)
        }
        try loop.add(self.outside.raw, .read) { [unowned self] _ in self.turn() }
        try loop.add(self.inside.raw, [.read, .write]) { [unowned self] _ in self.turn() }
    }

    private func turn() {
        inward.run(outside.raw, inside.raw)
        outward.run(inside.raw, outside.raw)
        if inward.hasFailed || outward.hasFailed || (inward.isDone && outward.isDone) {
            stop()
            return whenEnded(self)
        }
        watch(outside.raw, reads: inward, writes: outward)
        watch(inside.raw, reads: outward, writes: inward)
    }

    private func watch(_ fd: Int32, reads: borrowing Pump, writes: borrowing Pump) {
        var interest: EventLoop.Interest = []
        if reads.wantsInput { interest.insert(.read) }
        if writes.wantsRoom { interest.insert(.write) }
        loop.change(fd, interest)
    }

    func stop() {
        guard isOpen else { return }
        isOpen = false
        loop.remove(outside.raw)
        loop.remove(inside.raw)
    }
}

/// One direction of a connection, with its buffer.
private struct Pump: ~Copyable {
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65536, alignment: 16)
    private var start = 0
    private var end = 0
    private var sawEnd = false
    private(set) var isDone = false
    private(set) var hasFailed = false

    deinit { buffer.deallocate() }

    /// Only an empty buffer is filled: while the other side takes nothing, asking for input would never sleep.
    var wantsInput: Bool { !sawEnd && start == end }
    var wantsRoom: Bool { start < end }

    /// Carries what can be carried now; a bounded number of rounds, so that one connection does not hold up the others.
    mutating func run(_ source: Int32, _ target: Int32) {
        for _ in 0..<8 {
            if start < end {
                let count = send(target, buffer.baseAddress.map { $0 + start }, end - start, Int32(MSG_NOSIGNAL))
                if count > 0 {
                    start += count
                } else if errno == EAGAIN || errno == ENOTCONN {
                    return
                } else if errno
                    != EINTR
                {
                    return hasFailed = true
                }
                if start < end { continue }
                (start, end) = (0, 0)
            }
            if sawEnd {
                if !isDone { shutdown(target, Int32(SHUT_WR)) }
                return isDone = true
            }
            let count = recv(source, buffer.baseAddress, buffer.count, 0)
            if count > 0 {
                end = count
            } else if count == 0 {
                sawEnd = true
            } else if errno == EAGAIN
                || errno == ENOTCONN
            {
                return
            } else if errno != EINTR {
                return hasFailed = true
            }
        }
    }
}
