import Glibc
import UrsaBase

/// Carries frames between a packet socket and passt's stream, on which each frame is preceded by its length as a 32-bit
/// number in network order (passt(1), "socket"; the same as QEMU's stream back end).
final class FrameStream {
    private let link: OwnedFD
    private let stream: OwnedFD
    private let loop: EventLoop
    private let whenEnded: () -> Void
    private static let largest = 65535 + 18
    /// Bytes from the stream that make no whole frame yet.
    private let incoming: UnsafeMutableRawBufferPointer
    private var held = 0
    /// A frame with its length, of which `sent` bytes are on the stream already; the stream can't be cut inside one.
    private let outgoing: UnsafeMutableRawBufferPointer
    private var pending = 0
    private var sent = 0
    private static let turn = 64

    init(
        link: consuming OwnedFD, stream: consuming OwnedFD, loop: EventLoop, whenEnded: @escaping () -> Void
    ) throws(UrsaError) {
        self.link = link
        self.stream = stream
        self.loop = loop
        self.whenEnded = whenEnded
        incoming = .allocate(byteCount: 4 * (Self.largest + 4), alignment: 16)
        outgoing = .allocate(byteCount: Self.largest + 4, alignment: 16)
        try self.stream.setNonBlocking()
        try loop.add(self.link.raw, .read) { [unowned self] _ in self.send() }
        try loop.add(self.stream.raw, .read) { [unowned self] ready in
            if ready.contains(.write) { self.flush() }
            if ready.contains(.read) || ready.contains(.hangUp) { self.receive() }
        }
    }

    deinit {
        incoming.deallocate()
        outgoing.deallocate()
    }

    /// Link → stream.
    private func send() {
        for _ in 0..<Self.turn where pending == 0 {
            let count = recv(link.raw, outgoing.baseAddress.map { $0 + 4 }, Self.largest, 0)
            if count < 0, errno == EINTR { continue }
            guard count >= 14 else { return }
            outgoing.storeBytes(of: UInt32(count).bigEndian, as: UInt32.self)
            pending = count + 4
            sent = 0
            flush()
        }
    }

    private func flush() {
        while sent < pending {
            let count = Glibc.send(
                stream.raw, outgoing.baseAddress.map { $0 + sent }, pending - sent, Int32(MSG_NOSIGNAL))
            if count > 0 {
                sent += count
            } else if errno == EAGAIN {
                // Meanwhile the link's own queue fills and drops; that is what TCP's senders look for.
                loop.change(link.raw, [])
                loop.change(stream.raw, [.read, .write])
                return
            } else if errno != EINTR {
                return end()
            }
        }
        if pending > 0 {
            pending = 0
            loop.change(link.raw, .read)
            loop.change(stream.raw, .read)
        }
    }

    /// Stream → link.
    private func receive() {
        let count = recv(stream.raw, incoming.baseAddress.map { $0 + held }, incoming.count - held, 0)
        if count == 0 { return end() }
        if count < 0 { return errno == EAGAIN || errno == EINTR ? () : end() }
        held += count
        var start = 0
        while held - start >= 4 {
            let length = Int(UInt32(bigEndian: incoming.loadUnaligned(fromByteOffset: start, as: UInt32.self)))
            guard (14...Self.largest).contains(length) else { return end() }
            guard held - start >= 4 + length else { break }
            // A link without room loses the frame.
            _ = Glibc.send(link.raw, incoming.baseAddress.map { $0 + start + 4 }, length, Int32(MSG_NOSIGNAL))
            start += 4 + length
        }
        if start > 0, let base = incoming.baseAddress {
            held -= start
            memmove(base, base + start, held)
        }
    }

    private func end() {
        loop.remove(link.raw)
        loop.remove(stream.raw)
        whenEnded()
    }
}
