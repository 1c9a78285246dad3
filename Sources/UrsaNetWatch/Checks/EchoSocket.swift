import Glibc
import UrsaBase

/// A raw ICMP socket that asks over one uplink: bound to its interface, its packets marked for its table.
struct EchoSocket: ~Copyable {
    private let fd: OwnedFD
    private let target: IPAddress
    private let id: UInt16
    /// For the loop.
    var descriptor: Int32 { fd.raw }

    /// Needs CAP_NET_RAW and CAP_NET_ADMIN. Throws when the interface is missing.
    init(_ target: IPAddress, interface: String, mark: UInt32, id: UInt16) throws(UrsaError) {
        self.target = target
        self.id = id
        let family = target.isIPv6 ? AF_INET6 : AF_INET
        let proto = target.isIPv6 ? Int32(IPPROTO_ICMPV6) : Int32(IPPROTO_ICMP)
        let type = Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        let opened = OwnedFD(try retrying("open an ICMP socket") { socket(family, type, proto) })
        let raw = opened.raw
        try retrying("use the interface \(interface)") {
            setsockopt(raw, SOL_SOCKET, SO_BINDTODEVICE, interface, socklen_t(interface.utf8.count))
        }
        var mark = mark
        try retrying("mark packets") { setsockopt(raw, SOL_SOCKET, SO_MARK, &mark, 4) }
        // A ping of others on this host fills no more than this.
        var size: Int32 = 16384
        setsockopt(raw, SOL_SOCKET, SO_RCVBUF, &size, 4)
        fd = opened
    }

    /// Sends an echo request (RFC 792, RFC 4443); false when it can't even leave.
    func ask(_ sequence: UInt16) -> Bool {
        var packet: [UInt8] = [target.isIPv6 ? 128 : 8, 0, 0, 0]
        packet += [UInt8(id >> 8), UInt8(id & 0xff), UInt8(sequence >> 8), UInt8(sequence & 0xff)]
        packet += Array("ursa uplink check".utf8) + [0]
        if !target.isIPv6 {
            // The kernel writes the checksum of ICMPv6 by itself.
            let sum = EchoSocket.checksum(packet)
            packet[2] = UInt8(sum >> 8)
            packet[3] = UInt8(sum & 0xff)
        }
        switch target {
        case .v4(let address):
            var name = sockaddr_in()
            name.sin_family = sa_family_t(AF_INET)
            name.sin_addr.s_addr = address.value.bigEndian
            return send(packet, &name)
        case .v6(let address):
            var name = sockaddr_in6()
            name.sin6_family = sa_family_t(AF_INET6)
            withUnsafeMutableBytes(of: &name.sin6_addr) { $0.copyBytes(from: address.bytes) }
            return send(packet, &name)
        }
    }

    private func send<Name>(_ packet: [UInt8], _ name: inout Name) -> Bool {
        withUnsafePointer(to: &name) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                sendto(fd.raw, packet, packet.count, 0, $0, socklen_t(MemoryLayout<Name>.size)) == packet.count
            }
        }
    }

    /// The sequence numbers of our answers that have come.
    func answers() -> [UInt16] {
        var result: [UInt16] = []
        var buffer = [UInt8](repeating: 0, count: 2048)
        for _ in 0..<64 {
            let count = recv(fd.raw, &buffer, buffer.count, 0)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { break }
            if let sequence = sequence(of: buffer[0..<count]) { result.append(sequence) }
        }
        return result
    }

    /// Of a raw IPv4 socket the header comes along, of an IPv6 one it does not.
    private func sequence(of packet: ArraySlice<UInt8>) -> UInt16? {
        var message = packet
        if case .v4(let address) = target {
            guard packet.count >= 20, let first = packet.first,
                Array(packet[(packet.startIndex + 12)..<(packet.startIndex + 16)]) == address.bytes
            else { return nil }
            message = packet.dropFirst(Int(first & 15) * 4)
        }
        let bytes = Array(message.prefix(8))
        guard bytes.count == 8, bytes[0] == (target.isIPv6 ? 129 : 0), UInt16(bytes[4]) << 8 | UInt16(bytes[5]) == id
        else { return nil }
        return UInt16(bytes[6]) << 8 | UInt16(bytes[7])
    }

    /// The internet checksum (RFC 1071) of an even number of bytes.
    static func checksum(_ bytes: [UInt8]) -> UInt16 {
        var sum: UInt32 = 0
        for index in stride(from: 0, to: bytes.count - 1, by: 2) {
            sum += UInt32(bytes[index]) << 8 | UInt32(bytes[index + 1])
        }
        while sum >> 16 != 0 { sum = sum & 0xffff + sum >> 16 }
        return ~UInt16(truncatingIfNeeded: sum)
    }
}
