import Glibc
import UrsaBase

/// A UDP port: each caller gets a socket of its own inside, so that answers find the way back.
final class UDPDoor {
    private struct Flow {
        let inside: SharedFD
        let listener: Int32
        var lastUse: Deadline
    }
    private let listeners: [SharedFD]
    private let target: SocketAddress
    private let family: Int32
    private let loop: EventLoop
    private var flows: [SocketAddress: Flow] = [:]
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65536, alignment: 16)
    private var sweep: UInt64 = 0
    /// Seconds without a packet after which a flow is forgotten, as the kernel's connection tracking does.
    private static let patience = 60.0
    private static let most = 1024

    init(_ door: Door, listeners: [SharedFD], loop: EventLoop) throws(UrsaError) {
        self.listeners = listeners
        self.loop = loop
        target = SocketAddress(door.target, door.port)
        family = door.target.socketFamily
        for listener in listeners {
            try loop.add(listener.raw, .read) { [unowned self] _ in self.carryIn(listener.raw) }
        }
        sweep = loop.after(seconds: Self.patience) { [unowned self] in self.forget() }
    }

    deinit { buffer.deallocate() }

    func close() {
        loop.cancel(sweep)
        for listener in listeners { loop.remove(listener.raw) }
        for flow in flows.values { loop.remove(flow.inside.raw) }
        flows = [:]
    }

    private func carryIn(_ listener: Int32) {
        for _ in 0..<64 {
            var name = sockaddr_storage()
            var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
            let count = withUnsafeMutablePointer(to: &name) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    recvfrom(listener, buffer.baseAddress, buffer.count, 0, $0, &length)
                }
            }
            guard count >= 0 else { return }
            let caller = SocketAddress(
                bytes: withUnsafeBytes(of: &name) { Array($0.prefix(min(Int(length), $0.count))) })
            guard let inside = flow(caller, listener) else { continue }
            _ = send(inside, buffer.baseAddress, count, Int32(MSG_NOSIGNAL))
        }
    }

    private func flow(_ caller: SocketAddress, _ listener: Int32) -> Int32? {
        if let known = flows[caller] {
            flows[caller]?.lastUse = .now
            return known.inside.raw
        }
        guard flows.count < Self.most else { return nil }
        let fd = makeSocket(family, isUDP: true)
        guard fd >= 0 else { return nil }
        let inside = SharedFD(OwnedFD(fd))
        guard target.with({ connect(fd, $0, $1) }) == 0,
            (try? loop.add(fd, .read, { [unowned self] _ in self.carryOut(caller) })) != nil
        else { return nil }
        flows[caller] = Flow(inside: inside, listener: listener, lastUse: .now)
        return fd
    }

    private func carryOut(_ caller: SocketAddress) {
        guard let flow = flows[caller] else { return }
        for _ in 0..<64 {
            let count = recv(flow.inside.raw, buffer.baseAddress, buffer.count, 0)
            // A refusal from inside (ICMP) is an error of the socket once; the flow goes on.
            guard count >= 0 else { break }
            _ = caller.with { sendto(flow.listener, buffer.baseAddress, count, Int32(MSG_NOSIGNAL), $0, $1) }
        }
        flows[caller]?.lastUse = .now
    }

    private func forget() {
        let now = Deadline.now
        for (caller, flow) in flows where now.seconds(since: flow.lastUse) > Self.patience {
            loop.remove(flow.inside.raw)
            flows[caller] = nil
        }
        sweep = loop.after(seconds: Self.patience) { [unowned self] in self.forget() }
    }
}
