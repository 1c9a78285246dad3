import CLinux
import Glibc
import UrsaBase

@testable import UrsaNet

extension Entry {
    /// What guests, name servers and the kernel send.
    static let network: [Entry] = [
        Entry("DNS", limit: 512) { (bytes) throws(Violation) in
            // The answer's own number is taken for the question's, or nothing would ever be read.
            let id = bytes.prefix(2).reduce(UInt16(0)) { $0 << 8 | UInt16($1) }
            if let address = DNSMessage.answer(bytes, id: id) {
                let isThere = bytes.indices.dropLast(3).contains { Array(bytes[$0..<$0 + 4]) == address.bytes }
                try need(isThere, "the address \(address) is not in the answer")
                try need(DNSMessage.answer(bytes, id: id ^ 1) == nil, "it answers another question")
            }
            let name = String(decoding: bytes, as: UTF8.self)
            if let query = DNSMessage.query(name, id: id) {
                try need(query.count <= 12 + 255 + 4, "a name of \(query.count - 16) bytes")
                try need(DNSMessage.answer(query, id: id) == nil, "a question was taken for an answer")
            }
        },

        Entry("DHCPLog") { (bytes) throws(Violation) in
            let mac = MACAddress(0x5254_0000_0001)
            let seen = DnsmasqProcess.dhcpState(log: String(decoding: bytes, as: UTF8.self), mac)
            // A line is what stands between line feeds, whatever else is in it.
            var expected = (requestSeen: false, answerSent: false)
            for line in bytes.split(separator: 10) {
                let alone = DnsmasqProcess.dhcpState(log: String(decoding: line, as: UTF8.self), mac)
                expected = (expected.requestSeen || alone.requestSeen, expected.answerSent || alone.answerSent)
            }
            try need(seen == expected, "together \(seen), line by line \(expected)")
        },

        Entry("Netlink", limit: 512) { (bytes) throws(Violation) in
            var end = 0
            for reply in NetlinkReply.split(bytes) {
                end += 16 + reply.payload.count
                try need(end <= bytes.count, "messages longer than what was received")
                for skip in [0, 8, 12, 16] {
                    for (type, value) in reply.attributes(after: skip) {
                        try need((0...0x3fff).contains(type), "the attribute \(type)")
                        _ = netlinkAttributes(value)
                        _ = value.terminatedText
                    }
                }
            }
            // One message of each kind, with the input in the place of the kernel's words.
            for type in [RTM_NEWLINK, RTM_NEWADDR, RTM_NEWROUTE] {
                let reply = NetlinkReply(type: Int(type), flags: 0, sequence: 1, payload: bytes[...])
                if let link = Link(reply) { try need(link.mac.count <= bytes.count, "a long address") }
                if let address = LinkAddress(reply) { try check(address.address) }
                if let route = Route(reply) {
                    try check(route.destination.address)
                    let taken = Subnets(taken: [Subnets.Taken(prefix: route.destination, what: "a route")])
                    _ = taken.collision(IPv4Network(IPv4Address(0x0a4d_0000), prefix: 24))
                    _ = taken.collision(IPv6Network(IPv6Address(high: 0xfd00 << 48, low: 0), prefix: 64))
                }
            }
            // What is written as a message is read as the same message.
            var message = NetlinkMessage(20, action: "fuzz")
            message.attribute(7, bytes)
            let replies = NetlinkReply.split(message.sealed(sequence: 5, flags: 0))
            try need(replies.count == 1, "a message became \(replies.count)")
            try need(replies.first?.attributes(after: 0)[7].map { Array($0) } == bytes, "an attribute changed")
        },

        Entry("Frames", limit: 1600) { (bytes) throws(Violation) in
            for length in [bytes.count, 0, 65_535] {
                let frame = CapturedFrame(time: .max, isOutgoing: false, length: length, bytes: bytes)
                let line = FrameText.line(frame)
                try need(!line.isEmpty && line.utf8.count <= 2600, "a line of \(line.utf8.count) bytes")
                // Texts in frames are strangers'.
                try need(
                    line.unicodeScalars.allSatisfy { $0.value >= 32 && $0.value < 127 }, "control characters: \(line)")
                let block = PcapngWriter.frame(frame, link: 0)
                try need(block.count % 4 == 0 && block.count >= bytes.count + 32, "a block of \(block.count) bytes")
            }
        },

        Entry("HostsFile") { (bytes) throws(Violation) in
            let home = HomeMark(id: "0123abcd", isDefault: true, folder: "/f", runFolder: "/r")
            let parts = HostsFile.split(bytes, home)
            let network = NetworkWish(
                name: "lab", subnet: IPv4Network(IPv4Address(0x0a4d_0000), prefix: 24),
                members: [
                    Member(machine: "web", mac: MACAddress(1), address: IPv4Address(0x0a4d_000a)),
                    Member(machine: "db", mac: MACAddress(2), address: IPv4Address(0x0a4d_000b)),
                ])
            let block = HostsFile.block([network], outside: parts.outside)
            try need(block.count == 2, "a block of \(block.count) lines")
            let edited = HostsFile.text(parts, block: block, home)
            let again = HostsFile.split(edited, home)
            try need(again.block == block, "the block reads back as \(again.block ?? [])")
            try need(again.outside == parts.outside, "the person's part of the file changed")
            try need(HostsFile.text(again, block: block, home) == edited, "the same block changes the file again")
            try need(HostsFile.text(again, block: [], home) == parts.outside, "taking the block away leaves something")
        },
    ]

    private static func check(_ address: IPAddress) throws(Violation) {
        try need(IPAddress(wire: address.wire[...]) == address, "\(address) has another wire form")
    }
}
