import CLinux
import Glibc
import UrsaBase

/// A socket that takes in and sends whole Ethernet frames of one link (packet(7)). It belongs to the network namespace of
/// the thread that opened it.
struct PacketSocket: ~Copyable {
    private let fd: OwnedFD
    /// For poll(2).
    var raw: Int32 { fd.raw }

    /// Opens it on a link; with `isSending`, no frame is taken in. Needs CAP_NET_RAW.
    init(link: Int32, isSending: Bool = false) throws(UrsaError) {
        fd = OwnedFD(try check(clinux_packet_open(link, isSending ? 0 : 1), "open a packet socket"))
    }

    /// The next frame, or nil when there is none now.
    ///
    /// - Parameter buffer: where it is read to; its size is the most that is kept of a frame.
    func receive(_ buffer: inout [UInt8]) throws(UrsaError) -> CapturedFrame? {
        var frame = clinux_frame()
        let result = clinux_packet_receive(fd.raw, &buffer, UInt32(buffer.count), &frame)
        // A link that went down says so once and goes on when it is up again.
        if result == -EAGAIN || result == -ENETDOWN { return nil }
        try check(result, "receive a frame")
        var bytes = Array(buffer.prefix(Int(frame.stored)))
        var length = Int(frame.length)
        if frame.has_tag == 1, bytes.count >= 12 {
            // The kernel hands VLAN tags over beside the frame (hardware takes them off).
            let tag = [frame.tag_protocol, frame.tag].flatMap { [UInt8($0 >> 8), UInt8($0 & 0xff)] }
            bytes.insert(contentsOf: tag, at: 12)
            length += 4
        }
        let time = frame.seconds.multipliedReportingOverflow(by: 1_000_000_000).partialValue &+ frame.nanoseconds
        return CapturedFrame(
            time: UInt64(max(0, time)), isOutgoing: frame.outgoing == 1, length: length, bytes: bytes)
    }

    /// Sends a frame as it is.
    func send(_ frame: [UInt8]) throws(UrsaError) {
        try retrying("send a frame") {
            frame.withUnsafeBytes { Glibc.send(fd.raw, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        }
    }

    /// Frames seen, and frames lost because nobody read them in time, since the last call.
    func statistics() -> (seen: Int, lost: Int) {
        var seen: UInt32 = 0
        var lost: UInt32 = 0
        guard clinux_packet_statistics(fd.raw, &seen, &lost) == 0 else { return (0, 0) }
        return (Int(seen), Int(lost))
    }
}

/// One Ethernet frame that passed a link.
public struct CapturedFrame: Sendable, Hashable {
    /// Nanoseconds since 1970.
    public var time: UInt64
    /// Whether the host sent it over the link; else it came in there.
    public var isOutgoing: Bool
    /// Bytes it had.
    public var length: Int
    /// Its first bytes.
    public var bytes: [UInt8]

    /// A frame.
    public init(time: UInt64, isOutgoing: Bool, length: Int, bytes: [UInt8]) {
        self.time = time
        self.isOutgoing = isOutgoing
        self.length = length
        self.bytes = bytes
    }
}
