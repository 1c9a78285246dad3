import Glibc
import UrsaBase

/// The header of every packet (virtio 1.2 section 5.10.6): 44 bytes.
struct VsockHeader {
    static let size = 44
    /// The host's address.
    static let host: UInt64 = 2
    static let stream: UInt16 = 1

    enum Operation {
        static let request: UInt16 = 1
        static let response: UInt16 = 2
        static let reset: UInt16 = 3
        static let shutdown: UInt16 = 4
        static let data: UInt16 = 5
        static let creditUpdate: UInt16 = 6
        static let creditRequest: UInt16 = 7
    }

    var source: UInt64 = 0
    var destination: UInt64 = 0
    var sourcePort: UInt32 = 0
    var destinationPort: UInt32 = 0
    var length: UInt32 = 0
    var type: UInt16 = VsockHeader.stream
    var operation: UInt16 = 0
    var flags: UInt32 = 0
    /// Bytes that the sender has room for, and bytes that it has passed on.
    var room: UInt32 = 0
    var forwarded: UInt32 = 0

    init() {}

    /// Reads a header; nil when there are too few bytes.
    init?(_ chain: inout Chain) {
        guard chain.readableBytes >= VsockHeader.size else { return nil }
        source = chain.read() ?? 0
        destination = chain.read() ?? 0
        sourcePort = chain.read() ?? 0
        destinationPort = chain.read() ?? 0
        length = chain.read() ?? 0
        type = chain.read() ?? 0
        operation = chain.read() ?? 0
        flags = chain.read() ?? 0
        room = chain.read() ?? 0
        forwarded = chain.read() ?? 0
    }

    var bytes: [UInt8] {
        func little<T: FixedWidthInteger>(_ value: T) -> [UInt8] { withUnsafeBytes(of: value.littleEndian, Array.init) }
        return little(source) + little(destination) + little(sourcePort) + little(destinationPort) + little(length)
            + little(type) + little(operation) + little(flags) + little(room) + little(forwarded)
    }
}

/// The ports of a connection.
struct VsockPorts: Hashable {
    var host: UInt32
    var guest: UInt32
}

/// A connection between a program of the host and one of the guest.
final class VsockConnection {
    /// Bytes from the guest that may wait for the host's program.
    static let room = 64 << 10

    let ports: VsockPorts
    let fd: SharedFD
    /// The host's program began it, and hears of the guest's answer.
    let isFromHost: Bool
    var isEstablished: Bool

    /// Bytes from the guest that the host's program has not taken.
    var waiting: [UInt8] = []
    /// Bytes that went on to the host's program, and what the guest knows of that.
    var forwarded: UInt32 = 0
    var told: UInt32 = 0
    /// Bytes that went to the guest, and the guest's room and count.
    var sent: UInt32 = 0
    var peerRoom: UInt32 = 0
    var peerForwarded: UInt32 = 0

    /// Packets that wait for a buffer of the guest.
    var owesRequest = false
    var owesResponse = false
    var owesCredit = false
    var owesShutdown = false
    /// Directions that have ended.
    var hostEnded = false
    var guestEnded = false
    var guestHearsNothing = false
    /// What epoll watches.
    var watched: (read: Bool, write: Bool)?
    var mayRead = false

    init(_ ports: VsockPorts, _ fd: SharedFD, isFromHost: Bool) {
        self.ports = ports
        self.fd = fd
        self.isFromHost = isFromHost
        isEstablished = !isFromHost
    }

    /// Bytes that the guest has room for.
    var credit: Int {
        let way = sent &- peerForwarded
        return way >= peerRoom ? 0 : Int(peerRoom &- way)
    }

    var isOver: Bool { waiting.isEmpty && guestEnded && (hostEnded || guestHearsNothing) }
}
