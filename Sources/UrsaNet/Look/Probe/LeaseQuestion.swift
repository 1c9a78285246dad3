import UrsaBase

/// A DHCPDISCOVER in a machine's name (RFC 2131): which address would it be offered? It takes none.
struct LeaseQuestion: Sendable {
    var mac: MACAddress
    let id = UInt32.random(in: 0...UInt32.max)

    /// The frame, sent by another card; the answer is asked for as a broadcast, so that this card gets it.
    func frame(from card: MACAddress) -> [UInt8] {
        var boot: [UInt8] = [1, 1, 6, 0] + withUnsafeBytes(of: id.bigEndian) { Array($0) } + [0, 0, 0x80, 0]
        boot += [UInt8](repeating: 0, count: 16) + mac.bytes + [UInt8](repeating: 0, count: 10 + 64 + 128)
        boot += [0x63, 0x82, 0x53, 0x63, 53, 1, 1, 255]
        boot += [UInt8](repeating: 0, count: max(0, 300 - boot.count))
        let packet = ProbePacket(
            kind: .udp, source: .v4(IPv4Address(0)), destination: .v4(IPv4Address(0xffff_ffff)), sourcePort: 68,
            port: 67,
            data: boot)
        return packet.frame(to: MACAddress(0xffff_ffff_ffff), from: card)
    }

    /// The address that a frame offers in answer, nil when it is none.
    func offer(_ frame: [UInt8]) -> IPv4Address? {
        var cursor = Cursor(frame[...])
        guard cursor.skip(12), cursor.word() == 0x0800, let first = cursor.byte(), cursor.skip(8), cursor.byte() == 17,
            cursor.skip(Int(first & 15) * 4 - 10), cursor.word() == 67, cursor.word() == 68, cursor.skip(4),
            cursor.byte() == 2, cursor.skip(3), cursor.long() == id, cursor.skip(8)
        else { return nil }
        return cursor.ipv4()
    }

    /// Asks on the first link of that name in the calling thread's namespace.
    func ask(by name: String, seconds: Double = 2) throws(UrsaError) -> IPv4Address? {
        let netlink = try NetlinkSocket()
        guard let link = try netlink.link(name), link.mac.count == 6 else { return nil }
        let socket = try PacketSocket(link: link.index)
        let question = frame(from: MACAddress(link.mac.reduce(0) { $0 << 8 | UInt64($1) }))
        let deadline = Deadline.after(seconds: seconds)
        var buffer = [UInt8](repeating: 0, count: 2048)
        while !deadline.isPast {
            try socket.send(question)
            let next = min(deadline, .after(seconds: 0.7))
            while !next.isPast {
                while let frame = try socket.receive(&buffer) { if let address = offer(frame.bytes) { return address } }
                pause(milliseconds: 5)
            }
        }
        return nil
    }
}
