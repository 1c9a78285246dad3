import UrsaBase

/// The Ethernet frames by which stations of a LAN find out and tell who has an address: ARP (RFC 826, as RFC 5227 uses
/// it) and neighbour discovery (RFC 4861). What comes in is a stranger's: every length is checked.
enum LANFrame {
    static let arp: UInt16 = 0x0806
    static let ipv6: UInt16 = 0x86dd

    private static let everybody = [UInt8](repeating: 0xff, count: 6)

    /// Asks who has an address, without claiming to have it: the sender's address is zero.
    static func question(_ address: IPAddress, from mac: [UInt8]) -> [UInt8] {
        switch address {
        case .v4(let address): arp(sender: mac, IPv4Address(0), target: address)
        case .v6(let address): solicitation(address, mac)
        }
    }

    /// Tells everybody that the address is with this Ethernet address now.
    static func announcement(_ address: IPAddress, of mac: [UInt8]) -> [UInt8] {
        switch address {
        case .v4(let address): arp(sender: mac, address, target: address)
        case .v6(let address): advertisement(address, mac)
        }
    }

    /// Whose frame it is and which address it says that it has or is about to take; nil when it says nothing of the kind.
    static func claim(_ frame: [UInt8]) -> (address: IPAddress, mac: MACAddress)? {
        guard frame.count >= 42 else { return nil }
        let type = UInt16(frame[12]) << 8 | UInt16(frame[13])
        if type == arp {
            // Hardware type 1, protocol 0x0800, lengths 6 and 4, operation 1 or 2.
            guard Array(frame[14..<20]) == [0, 1, 8, 0, 6, 4], frame[20] == 0, frame[21] == 1 || frame[21] == 2,
                let mac = ethernet(frame[22..<28]), let sender = IPAddress(wire: frame[28..<32]),
                let target = IPAddress(wire: frame[38..<42])
            else { return nil }
            // A sender of zero is a probe: it is about to take the target.
            let isProbe = sender == .v4(IPv4Address(0)) && frame[21] == 1
            return (isProbe ? target : sender, mac)
        }
        // IPv6 without extension headers, ICMPv6 neighbour advertisement (136) or solicitation (135) from ::.
        guard type == ipv6, frame.count >= 78, frame[14] >> 4 == 6, frame[20] == 58,
            let mac = ethernet(frame[6..<12]), let target = IPAddress(wire: frame[62..<78])
        else { return nil }
        let isProbe = frame[54] == 135 && frame[22..<38].allSatisfy { $0 == 0 }
        return frame[54] == 136 || isProbe ? (target, mac) : nil
    }

    private static func ethernet(_ bytes: ArraySlice<UInt8>) -> MACAddress? {
        MACAddress(bytes.reduce(UInt64(0)) { $0 << 8 | UInt64($1) })
    }

    private static func arp(sender mac: [UInt8], _ sender: IPv4Address, target: IPv4Address) -> [UInt8] {
        everybody + mac + [0x08, 0x06] + [0, 1, 8, 0, 6, 4, 0, 1] + mac + sender.bytes
            + [UInt8](repeating: 0, count: 6) + target.bytes
    }

    /// A neighbour solicitation for duplicate address detection (RFC 4862, 5.4): from ::, to the address's own group.
    private static func solicitation(_ address: IPv6Address, _ mac: [UInt8]) -> [UInt8] {
        let tail = Array(address.bytes.suffix(3))
        let group: [UInt8] = [0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff] + tail
        return packet(
            from: mac, to: [0x33, 0x33, 0xff] + tail, source: [UInt8](repeating: 0, count: 16), destination: group,
            message: [135, 0, 0, 0, 0, 0, 0, 0] + address.bytes)
    }

    /// An unsolicited neighbour advertisement to all nodes, which overrides what they knew.
    private static func advertisement(_ address: IPv6Address, _ mac: [UInt8]) -> [UInt8] {
        let all: [UInt8] = [0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
        return packet(
            from: mac, to: [0x33, 0x33, 0, 0, 0, 1], source: address.bytes, destination: all,
            // Router and override flags; option 2: the target's link-layer address.
            message: [136, 0, 0, 0, 0xa0, 0, 0, 0] + address.bytes + [2, 1] + mac)
    }

    private static func packet(
        from mac: [UInt8], to group: [UInt8], source: [UInt8], destination: [UInt8], message: [UInt8]
    ) -> [UInt8] {
        var message = message
        let length = UInt8(truncatingIfNeeded: message.count)
        // The checksum also covers addresses, length and next header (RFC 8200, 8.1).
        let sum = checksum(source + destination + [0, 0, 0, length, 0, 0, 0, 58] + message)
        message[2] = UInt8(sum >> 8)
        message[3] = UInt8(sum & 0xff)
        return group + mac + [0x86, 0xdd] + [0x60, 0, 0, 0, 0, length, 58, 255] + source + destination + message
    }

    private static func checksum(_ bytes: [UInt8]) -> UInt16 {
        var sum: UInt32 = 0
        for index in stride(from: 0, to: bytes.count, by: 2) {
            sum &+= UInt32(bytes[index]) << 8 | (index + 1 < bytes.count ? UInt32(bytes[index + 1]) : 0)
        }
        while sum > 0xffff { sum = (sum & 0xffff) &+ (sum >> 16) }
        return ~UInt16(truncatingIfNeeded: sum)
    }
}
