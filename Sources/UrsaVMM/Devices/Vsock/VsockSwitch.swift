import CLinux
import Glibc
import UrsaBase

/// The thread of a vsock device: connections by their ports, packets to and from the guest, bytes to and from the host's
/// programs. Everything that a guest can make it keep is bounded.
final class VsockSwitch {
    private static let mostConnections = 256
    /// Resets for packets that belong to no connection; while so many wait, nothing more is taken from the guest.
    private static let mostResets = 64
    private static let pieceSize = 16 << 10
    private static let longestLine = 32

    private let thread: QueueThread
    private let cid: UInt64
    private let listener: SharedFD?
    private let outlet: VsockOutlet?
    private var connections: [VsockPorts: VsockConnection] = [:]
    private var byDescriptor: [Int32: VsockConnection] = [:]
    /// Programs of the host that have not said yet where to.
    private var callers: [Int32: SharedFD] = [:]
    private var resets: [VsockPorts] = []
    private var nextPort: UInt32 = 1 << 30
    private var piece = [UInt8](repeating: 0, count: VsockSwitch.pieceSize)
    /// The guest has no buffer left.
    private var isStarved = false

    init(_ thread: QueueThread, cid: UInt32, listener: SharedFD?, outlet: VsockOutlet?) {
        self.thread = thread
        self.cid = UInt64(cid)
        self.listener = listener
        self.outlet = outlet
        outlet?.restart()
    }

    func run(_ receive: ActiveQueue, _ transmit: ActiveQueue) {
        guard var input = try? receive.makeQueue(), var output = try? transmit.makeQueue() else { return }
        var chain = transmit.makeChain()
        if let listener { thread.watch(listener.raw) }
        if let broker = outlet?.descriptor { thread.watch(broker) }
        let events = UnsafeMutableBufferPointer<clinux_event>.allocate(capacity: 64)
        events.initialize(repeating: clinux_event())
        defer { events.deallocate() }
        while !thread.shouldEnd {
            guard takePackets(&output, &chain) else { return transmit.fail(output.fault ?? .badRequest) }
            transmit.publish(&output)
            guard givePackets(&input, &chain) else { return receive.fail(input.fault ?? .badRequest) }
            receive.publish(&input)
            if mayTake, output.enableNotifications() { continue }
            if isStarved, input.enableNotifications() { continue }
            for connection in connections.values { watch(connection) }
            let count = thread.wait(into: events)
            for event in events.prefix(count) { handle(event) }
        }
    }

    /// Whether what the guest sends can be taken: nothing that a packet makes wait has reached its bound.
    private var mayTake: Bool { resets.count < VsockSwitch.mostResets && outlet?.isFull != true }
    /// Whether one more connection can be.
    private var hasRoom: Bool {
        connections.count + callers.count + (outlet?.count ?? 0) < VsockSwitch.mostConnections
    }

    // MARK: The host's side

    private func handle(_ event: clinux_event) {
        if let listener, event.fd == listener.raw {
            while hasRoom {
                let fd = clinux_accept(listener.raw)
                guard fd >= 0 else { return }
                callers[fd] = SharedFD(OwnedFD(fd))
                thread.watch(fd)
            }
            // Too many: the newest is turned away.
            let fd = clinux_accept(listener.raw)
            if fd >= 0 { close(fd) }
        } else if let caller = callers[event.fd] {
            hear(caller)
        } else if let outlet, event.fd == outlet.descriptor {
            hear(outlet)
        } else if let connection = byDescriptor[event.fd] {
            // The host's program did not wait for the guest's answer.
            if !connection.isEstablished { return end(connection, tell: true) }
            if event.events & ~UInt32(CLINUX_EPOLL_WRITE) != 0 { connection.mayRead = true }
            flush(connection)
        }
    }

    /// What became of requests of the guest's.
    private func hear(_ outlet: VsockOutlet) {
        let broker = outlet.descriptor
        while let outcome = outlet.next() {
            switch outcome {
            case .refused(let ports): resets.append(ports)
            case .connected(let wish, let fd):
                let connection = VsockConnection(wish.ports, fd, isFromHost: false)
                connection.peerRoom = wish.room
                connection.peerForwarded = wish.forwarded
                connection.owesResponse = true
                add(connection)
            }
        }
        if outlet.descriptor == nil, let broker { thread.unwatch(broker) }
    }

    /// The line `CONNECT port`.
    private func hear(_ caller: SharedFD) {
        var line = [UInt8](repeating: 0, count: VsockSwitch.longestLine)
        let count = recv(caller.raw, &line, line.count, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT))
        if count < 0, errno == EAGAIN || errno == EINTR { return }
        let end = line.prefix(max(0, count)).firstIndex(of: 10)
        if end == nil, count > 0, count < VsockSwitch.longestLine { return }
        callers[caller.raw] = nil
        thread.unwatch(caller.raw)
        guard let end else { return }
        _ = recv(caller.raw, &line, end + 1, Int32(MSG_DONTWAIT))
        let words = String(decoding: line[..<end], as: UTF8.self).split(separator: " ")
        guard words.count == 2, words[0] == "CONNECT", let port = UInt32(words[1]) else { return }
        var ports = VsockPorts(host: nextPort, guest: port)
        while connections[ports] != nil { ports.host &+= 1 }
        nextPort = ports.host == 0xffff_fffe ? 1 << 30 : ports.host &+ 1
        let connection = VsockConnection(ports, caller, isFromHost: true)
        connection.owesRequest = true
        add(connection)
    }

    private func add(_ connection: VsockConnection) {
        connections[connection.ports] = connection
        byDescriptor[connection.fd.raw] = connection
    }

    /// Forgets a connection; its socket closes.
    private func end(_ connection: VsockConnection, tell: Bool) {
        if connection.watched != nil { thread.unwatch(connection.fd.raw) }
        connections[connection.ports] = nil
        byDescriptor[connection.fd.raw] = nil
        if tell { resets.append(connection.ports) }
    }

    private func watch(_ connection: VsockConnection) {
        guard connection.isEstablished else {
            // Nothing is taken before the guest's answer, but that the program went away is told whatever is watched.
            if connection.watched == nil { thread.watch(connection.fd.raw, read: false) }
            connection.watched = (false, false)
            return
        }
        let wanted = (
            read: !connection.hostEnded && !connection.mayRead,
            write: !connection.waiting.isEmpty
        )
        guard connection.watched?.read != wanted.read || connection.watched?.write != wanted.write else { return }
        if wanted.read || wanted.write {
            thread.watch(connection.fd.raw, read: wanted.read, write: wanted.write)
            connection.watched = wanted
        } else if connection.watched != nil {
            thread.unwatch(connection.fd.raw)
            connection.watched = nil
        }
    }

    /// Passes what waits on to the host's program.
    private func flush(_ connection: VsockConnection) {
        while !connection.waiting.isEmpty {
            switch sendSome(connection.fd.raw, connection.waiting[...]) {
            case .bytes(let count):
                connection.waiting.removeFirst(count)
                passed(count, connection)
            case .later: return
            case .ended: return end(connection, tell: true)
            }
        }
        if connection.guestEnded { shutdown(connection.fd.raw, Int32(SHUT_WR)) }
        if connection.isOver { end(connection, tell: true) }
    }

    private func passed(_ count: Int, _ connection: VsockConnection) {
        connection.forwarded &+= UInt32(truncatingIfNeeded: count)
        if connection.forwarded &- connection.told >= UInt32(VsockConnection.room / 2) { connection.owesCredit = true }
    }

    // MARK: From the guest

    private func takePackets(_ queue: inout Queue, _ chain: inout Chain) -> Bool {
        queue.disableNotifications()
        while mayTake, !thread.shouldEnd {
            switch queue.next(into: &chain) {
            case .none: return true
            case .broken: return false
            case .chain:
                if let header = VsockHeader(&chain) { take(header, &chain) }
                queue.add(chain.head, written: 0)
            }
        }
        return true
    }

    private func take(_ header: VsockHeader, _ chain: inout Chain) {
        guard header.source == cid, header.destination == VsockHeader.host else { return }
        let ports = VsockPorts(host: header.destinationPort, guest: header.sourcePort)
        guard header.type == VsockHeader.stream else { return resets.append(ports) }
        guard let connection = connections[ports] else {
            if let outlet, outlet.isWaiting(for: ports) {
                // Before its answer a driver can only take a request back.
                outlet.cancel(ports)
                if header.operation != VsockHeader.Operation.reset { resets.append(ports) }
            } else if header.operation == VsockHeader.Operation.request {
                connect(ports, header)
            } else if header.operation != VsockHeader.Operation.reset {
                resets.append(ports)
            }
            return
        }
        connection.peerRoom = header.room
        connection.peerForwarded = header.forwarded
        switch header.operation {
        case VsockHeader.Operation.response where connection.isFromHost && !connection.isEstablished:
            connection.isEstablished = true
            if case .ended = sendSome(connection.fd.raw, ArraySlice("OK \(ports.host)\n".utf8)) {
                end(connection, tell: true)
            }
        case VsockHeader.Operation.data where connection.isEstablished && !connection.guestEnded:
            takeData(header, &chain, connection)
        case VsockHeader.Operation.creditUpdate: break
        case VsockHeader.Operation.creditRequest: connection.owesCredit = true
        case VsockHeader.Operation.shutdown:
            // Bit 0: receives no more; bit 1: sends no more.
            if header.flags & 1 != 0 { connection.guestHearsNothing = true }
            if header.flags & 2 != 0 { connection.guestEnded = true }
            flush(connection)
        case VsockHeader.Operation.reset: end(connection, tell: false)
        default: end(connection, tell: true)
        }
    }

    /// A program of the guest wants a port of the host.
    private func connect(_ ports: VsockPorts, _ header: VsockHeader) {
        let wish = VsockOutlet.Wish(ports: ports, room: header.room, forwarded: header.forwarded)
        guard let outlet, hasRoom, outlet.ask(wish) else { return resets.append(ports) }
    }

    private func takeData(_ header: VsockHeader, _ chain: inout Chain, _ connection: VsockConnection) {
        let length = Int(header.length)
        // More than it says it has, or than there is room for: the guest does not keep to its credit.
        guard length <= chain.readableBytes, connection.waiting.count + length <= VsockConnection.room else {
            return end(connection, tell: true)
        }
        var left = length
        while left > 0 {
            let part = min(left, piece.count)
            let isRead = piece.withUnsafeMutableBytes { buffer in
                buffer.baseAddress.map { chain.read(into: $0, part) } ?? false
            }
            guard isRead else { return end(connection, tell: true) }
            connection.waiting += piece[..<part]
            left -= part
        }
        flush(connection)
    }

    // MARK: To the guest

    private func givePackets(_ queue: inout Queue, _ chain: inout Chain) -> Bool {
        queue.disableNotifications()
        isStarved = false
        while let ports = resets.first {
            var header = header(ports)
            header.operation = VsockHeader.Operation.reset
            guard let isGiven = give(header, &queue, &chain) else { return false }
            guard isGiven else { return true }
            resets.removeFirst()
        }
        for connection in Array(connections.values) {
            guard let isGiven = giveAll(connection, &queue, &chain) else { return false }
            guard isGiven else { return true }
        }
        return true
    }

    /// What a connection owes the guest, and then its data. False when there is no buffer, nil when the driver broke the rules.
    private func giveAll(_ connection: VsockConnection, _ queue: inout Queue, _ chain: inout Chain) -> Bool? {
        func owed(
            _ flag: ReferenceWritableKeyPath<VsockConnection, Bool>, _ operation: UInt16, flags: UInt32 = 0
        ) -> Bool? {
            guard connection[keyPath: flag] else { return true }
            var header = header(connection)
            header.operation = operation
            header.flags = flags
            guard let isGiven = give(header, &queue, &chain) else { return nil }
            if isGiven { connection[keyPath: flag] = false }
            return isGiven
        }
        guard let request = owed(\.owesRequest, VsockHeader.Operation.request) else { return nil }
        guard request else { return false }
        guard let response = owed(\.owesResponse, VsockHeader.Operation.response) else { return nil }
        guard response else { return false }
        guard let credit = owed(\.owesCredit, VsockHeader.Operation.creditUpdate) else { return nil }
        guard credit else { return false }
        while connection.mayRead, connection.isEstablished, !connection.hostEnded, connection.credit > 0 {
            // Looks for a buffer before it takes bytes that would have no place.
            switch queue.next(into: &chain) {
            case .none:
                isStarved = true
                return false
            case .broken: return nil
            case .chain: break
            }
            let most = min(connection.credit, chain.writableBytes - VsockHeader.size, piece.count)
            guard most > 0 else {
                queue.add(chain.head, written: 0)
                continue
            }
            let count = connection.guestHearsNothing ? 0 : recv(connection.fd.raw, &piece, most, Int32(MSG_DONTWAIT))
            guard count > 0 else {
                queue.untake()
                if count < 0, errno == EAGAIN || errno == EINTR {
                    connection.mayRead = false
                } else {
                    connection.hostEnded = true
                    connection.owesShutdown = true
                }
                break
            }
            var header = header(connection)
            header.operation = VsockHeader.Operation.data
            header.length = UInt32(count)
            connection.sent &+= UInt32(count)
            _ = chain.write(header.bytes)
            piece.withUnsafeBytes { buffer in
                if let start = buffer.baseAddress { _ = chain.write(start, count) }
            }
            queue.add(chain.head, written: UInt32(VsockHeader.size + count))
        }
        guard let ended = owed(\.owesShutdown, VsockHeader.Operation.shutdown, flags: 2) else { return nil }
        guard ended else { return false }
        if connection.isOver { end(connection, tell: true) }
        return true
    }

    /// One packet; false when there is no buffer, nil when the driver broke the rules.
    private func give(_ header: VsockHeader, _ queue: inout Queue, _ chain: inout Chain) -> Bool? {
        while true {
            switch queue.next(into: &chain) {
            case .none:
                isStarved = true
                return false
            case .broken: return nil
            case .chain: break
            }
            guard chain.write(header.bytes) else {
                queue.add(chain.head, written: 0)
                continue
            }
            queue.add(chain.head, written: UInt32(VsockHeader.size))
            return true
        }
    }

    private func header(_ ports: VsockPorts) -> VsockHeader {
        var header = VsockHeader()
        header.source = VsockHeader.host
        header.destination = cid
        header.sourcePort = ports.host
        header.destinationPort = ports.guest
        return header
    }

    private func header(_ connection: VsockConnection) -> VsockHeader {
        var result = header(connection.ports)
        result.room = UInt32(VsockConnection.room)
        result.forwarded = connection.forwarded
        connection.told = connection.forwarded
        return result
    }
}
