import UrsaBase

/// A packet that is made by hand: a TCP SYN, a UDP datagram or an ICMP echo request.
struct ProbePacket: Sendable, Hashable {
    enum Kind: Sendable, Hashable { case tcp, udp, ping }

    var kind: Kind
    var source: IPAddress
    var destination: IPAddress
    /// Source port, or the id of a ping: what it is found again by.
    var sourcePort: UInt16
    /// Destination port; not used by a ping.
    var port: UInt16
    /// What a UDP datagram carries.
    var data: [UInt8] = []

    /// The whole IP packet, checksums included (RFC 791, 793, 768, 792; RFC 8200, 4443).
    var bytes: [UInt8] {
        var body = transport
        let proto = self.proto
        let sum = ProbePacket.checksum(pseudo(proto, body.count) + body)
        let offset = kind == .tcp ? 16 : kind == .udp ? 6 : 2
        // A UDP checksum of 0 would mean that there is none.
        let shown = kind == .udp && sum == 0 ? 0xffff : sum
        body[offset] = UInt8(shown >> 8)
        body[offset + 1] = UInt8(shown & 0xff)
        return header(proto, body.count) + body
    }

    /// In an Ethernet frame.
    func frame(to: MACAddress, from: MACAddress) -> [UInt8] {
        to.bytes + from.bytes + (source.isIPv6 ? [0x86, 0xdd] : [0x08, 0x00]) + bytes
    }

    private var proto: UInt8 {
        switch kind {
        case .tcp: 6
        case .udp: 17
        case .ping: source.isIPv6 ? 58 : 1
        }
    }

    private func word(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 0xff)] }

    private var transport: [UInt8] {
        switch kind {
        case .tcp:
            // Sequence number, no acknowledgement, 5 words of header, SYN, window, checksum, urgent pointer.
            return word(sourcePort) + word(port) + [0x75, 0x72, 0x73, 0x61, 0, 0, 0, 0, 0x50, 0x02] + word(0xffff)
                + word(0) + word(0)
        case .udp: return word(sourcePort) + word(port) + word(UInt16(clamping: 8 + data.count)) + word(0) + data
        case .ping: return [source.isIPv6 ? 128 : 8, 0, 0, 0] + word(sourcePort) + word(1)
        }
    }

    /// What the checksum covers beside the packet's own bytes; ICMP of IPv4 has no such part.
    private func pseudo(_ proto: UInt8, _ length: Int) -> [UInt8] {
        if source.isIPv6 {
            return source.wire + destination.wire + [0, 0] + word(UInt16(clamping: length)) + [0, 0, 0, proto]
        }
        return kind == .ping ? [] : source.wire + destination.wire + [0, proto] + word(UInt16(clamping: length))
    }

    private func header(_ proto: UInt8, _ length: Int) -> [UInt8] {
        if source.isIPv6 {
            return [0x60, 0, 0, 0] + word(UInt16(clamping: length)) + [proto, 64] + source.wire + destination.wire
        }
        var header: [UInt8] =
            [0x45, 0] + word(UInt16(clamping: 20 + length)) + word(0x7572) + [0x40, 0, 64, proto, 0, 0]
            + source.wire + destination.wire
        let sum = ProbePacket.checksum(header)
        header[10] = UInt8(sum >> 8)
        header[11] = UInt8(sum & 0xff)
        return header
    }

    /// The internet checksum (RFC 1071).
    static func checksum(_ bytes: [UInt8]) -> UInt16 {
        var sum: UInt32 = 0
        for index in stride(from: 0, to: bytes.count, by: 2) {
            sum += UInt32(bytes[index]) << 8 | (index + 1 < bytes.count ? UInt32(bytes[index + 1]) : 0)
        }
        while sum >> 16 != 0 { sum = sum & 0xffff + sum >> 16 }
        return ~UInt16(truncatingIfNeeded: sum)
    }

    /// Whether a frame carries this packet, its addresses perhaps translated on the way.
    func isIn(_ frame: [UInt8]) -> Bool {
        var cursor = Cursor(frame[...])
        guard cursor.skip(12), let type = cursor.word() else { return false }
        var found: UInt8?
        if type == 0x0800, let first = cursor.byte(), cursor.skip(8), let value = cursor.byte(),
            cursor.skip(Int(first & 15) * 4 - 10)
        {
            found = value
        } else if type == 0x86dd, cursor.skip(6), let value = cursor.byte(), cursor.skip(33) {
            found = value
        }
        guard found == proto else { return false }
        if kind == .ping {
            return cursor.byte() == (source.isIPv6 ? 128 : 8) && cursor.skip(3) && cursor.word() == sourcePort
        }
        return cursor.word() == sourcePort
    }

    /// The nft match that finds it, in whatever namespace.
    var match: String {
        switch kind {
        case .tcp: "tcp sport \(sourcePort)"
        case .udp: "udp sport \(sourcePort)"
        case .ping:
            source.isIPv6
                ? "icmpv6 type echo-request icmpv6 id \(sourcePort)" : "icmp type echo-request icmp id \(sourcePort)"
        }
    }
}
