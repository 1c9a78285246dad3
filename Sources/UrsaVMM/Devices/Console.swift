import CLinux
import Glibc
public import UrsaBase

extension VirtioDeviceType {
    /// Section 5.3; PCI class "communication controller, other".
    public static let console = VirtioDeviceType(3, name: "console", pciClass: 0x07_8000)
}

/// A console (virtio 1.2 section 5.3) on a listening unix socket: one client at a time, others wait.
///
/// What the guest writes while nobody listens, or faster than the client reads, is kept up to 64 KiB; then the oldest goes.
/// Waiting instead would stop the guest, whose driver turns in a circle until its output is taken.
public final class ConsoleDevice: VirtioDevice, @unchecked Sendable {
    // SAFETY: `threads` is touched by `activate` and `deactivate` only; `line` by the thread of the active device only.

    private static let receiveQueue = 0
    private static let transmitQueue = 1
    private let line: ConsoleLine
    private var thread: QueueThread?

    /// A console whose client connects to a socket.
    ///
    /// - Parameter listener: a stream socket that listens.
    public init(listener: consuming OwnedFD) throws(UrsaError) {
        try listener.setNonBlocking()
        line = ConsoleLine(SharedFD(listener))
        super.init(type: .console, queueSizes: [64, 64], configurationSize: 12)
    }

    /// Starts the thread of both queues.
    public override func activate(_ queues: [ActiveQueue], features: VirtioFeatures) throws(UrsaError) {
        guard let receive = queues.first(where: { $0.index == ConsoleDevice.receiveQueue }),
            let transmit = queues.first(where: { $0.index == ConsoleDevice.transmitQueue })
        else { return }
        let line = line
        thread = try QueueThread(receive, others: [transmit], name: type.name) { thread in
            line.run(thread, receive, transmit)
        }
    }

    /// Ends the thread; a client stays connected.
    public override func deactivate() {
        thread?.stop()
        thread = nil
    }
}

/// The host's side of a console.
private final class ConsoleLine: @unchecked Sendable {
    // SAFETY: used by one thread at a time.

    private static let most = 64 << 10
    private let listener: SharedFD
    private var client: SharedFD?
    /// Output that nobody has taken yet.
    private var backlog: [UInt8] = []

    init(_ listener: SharedFD) { self.listener = listener }

    func run(_ thread: QueueThread, _ receive: ActiveQueue, _ transmit: ActiveQueue) {
        guard var input = try? receive.makeQueue(), var output = try? transmit.makeQueue() else { return }
        var chain = transmit.makeChain()
        while !thread.shouldEnd {
            if client == nil { accept() }
            switch write(&output, &chain) {
            case .broken: return transmit.fail(output.fault ?? .badRequest)
            default: transmit.publish(&output)
            }
            flush(thread)
            let received = read(&input, &chain, thread)
            if received == .broken { return receive.fail(input.fault ?? .badRequest) }
            receive.publish(&input)
            let isStarved = received == .none
            if output.enableNotifications() { continue }
            if isStarved, input.enableNotifications() { continue }
            if let client {
                thread.unwatch(listener.raw)
                thread.watch(client.raw, read: !isStarved, write: !backlog.isEmpty)
            } else {
                thread.watch(listener.raw)
            }
            thread.wait()
        }
        thread.unwatch(listener.raw)
        if let client { thread.unwatch(client.raw) }
    }

    private func accept() {
        let fd = clinux_accept(listener.raw)
        if fd >= 0 { client = SharedFD(OwnedFD(fd)) }
    }

    private func drop(_ thread: QueueThread) {
        if let client { thread.unwatch(client.raw) }
        client = nil
    }

    /// What the guest writes, into the backlog.
    private func write(_ queue: inout Queue, _ chain: inout Chain) -> Queue.Next {
        for _ in 0..<256 {
            let next = queue.next(into: &chain)
            guard case .chain = next else { return next }
            // Of more than the backlog holds only the end would be left.
            if chain.readableBytes > ConsoleLine.most { _ = chain.skip(chain.readableBytes - ConsoleLine.most) }
            for piece in chain.readable {
                backlog += UnsafeRawBufferPointer(start: piece.iov_base, count: piece.iov_len)
            }
            if backlog.count > ConsoleLine.most { backlog.removeFirst(backlog.count - ConsoleLine.most) }
            queue.add(chain.head, written: 0)
        }
        return .chain
    }

    private func flush(_ thread: QueueThread) {
        guard let client, !backlog.isEmpty else { return }
        switch sendSome(client.raw, backlog[...]) {
        case .bytes(let count): backlog.removeFirst(count)
        case .later: break
        case .ended: drop(thread)
        }
    }

    /// What the client says, into the guest's buffers. `.none` when there is no buffer.
    private func read(_ queue: inout Queue, _ chain: inout Chain, _ thread: QueueThread) -> Queue.Next {
        while let client {
            let next = queue.next(into: &chain)
            guard case .chain = next else { return next }
            guard let pieces = chain.writable.baseAddress else {
                queue.add(chain.head, written: 0)
                continue
            }
            let count = clinux_readv(client.raw, pieces, Int32(min(chain.writable.count, 1024)))
            if count > 0 {
                queue.add(chain.head, written: UInt32(truncatingIfNeeded: count))
                continue
            }
            queue.untake()
            if count != -Int64(EAGAIN), count != -Int64(EINTR) {
                drop(thread)
                accept()
                continue
            }
            return .chain
        }
        return .chain
    }
}
