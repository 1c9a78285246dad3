import Glibc
import UrsaBase

/// Carries frames between a port of a network and an engine, both packet by packet. No allocation per frame; a frame that
/// the other side has no room for is lost, as on any Ethernet.
final class FrameCarrier {
    private let link: OwnedFD
    private let engine: OwnedFD
    private let loop: EventLoop
    private let whenEnded: () -> Void
    private var buffer: UnsafeMutableRawBufferPointer
    private var hasEnded = false
    /// Frames of one turn, so that a busy port does not starve the others.
    private static let turn = 64

    init(
        link: consuming OwnedFD, engine: consuming OwnedFD, loop: EventLoop, whenEnded: @escaping () -> Void
    ) throws(UrsaError) {
        self.link = link
        self.engine = engine
        self.loop = loop
        self.whenEnded = whenEnded
        // The largest frame: a full IP packet, Ethernet header and VLAN tag.
        buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65535 + 18, alignment: 16)
        try self.link.setNonBlocking()
        try self.engine.setNonBlocking()
        try loop.add(self.link.raw, .read) { [unowned self] _ in self.carry(from: self.link.raw, to: self.engine.raw) }
        try loop.add(self.engine.raw, .read) { [unowned self] _ in self.carry(from: self.engine.raw, to: self.link.raw)
        }
    }

    deinit { buffer.deallocate() }

    private func carry(from source: Int32, to target: Int32) {
        for _ in 0..<Self.turn {
            let count = recv(source, buffer.baseAddress, buffer.count, 0)
            if count < 0 {
                if errno == EINTR { continue }
                // ENETDOWN: the link is down for now.
                if errno == EAGAIN || errno == ENETDOWN || errno == ENOBUFS { return }
                return end()
            }
            // A packet of no length is the end of a sequenced socket; a frame has its header at least.
            if count == 0 { return source == engine.raw ? end() : () }
            if count < 14 { continue }
            if send(target, buffer.baseAddress, count, Int32(MSG_NOSIGNAL)) < 0,
                errno == EPIPE || errno == ECONNRESET || errno == ENXIO || errno == ENODEV
            {
                return end()
            }
        }
    }

    private func end() {
        guard !hasEnded else { return }
        hasEnded = true
        loop.remove(link.raw)
        loop.remove(engine.raw)
        whenEnded()
    }
}
