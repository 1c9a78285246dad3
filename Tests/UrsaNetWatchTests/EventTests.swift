import CLinux
import Glibc
import Testing
import UrsaBase

@testable import UrsaNetWatch

/// Builds netlink messages as the kernel sends them.
private struct Message {
    var bytes: [UInt8] = []
    private mutating func put<T: FixedWidthInteger>(_ value: T) {
        withUnsafeBytes(of: value) { bytes.append(contentsOf: $0) }
    }

    init(_ type: Int, fixed: [UInt8], _ attributes: [(Int, [UInt8])] = []) {
        put(UInt32(0))
        put(UInt16(truncatingIfNeeded: type))
        put(UInt16(0))
        put(UInt32(0))
        put(UInt32(0))
        bytes += fixed
        for (kind, payload) in attributes {
            put(UInt16(truncatingIfNeeded: 4 + payload.count))
            put(UInt16(truncatingIfNeeded: kind))
            bytes += payload
            while bytes.count % 4 != 0 { bytes.append(0) }
        }
        let length = UInt32(truncatingIfNeeded: bytes.count)
        withUnsafeBytes(of: length) { for (index, byte) in $0.enumerated() { bytes[index] = byte } }
    }

    static func table(_ kind: UInt32, _ attributes: [(Int, [UInt8])]) -> Message {
        Message(Int(NFNL_SUBSYS_NFTABLES) << 8 | Int(kind), fixed: [1, 0, 0, 0], attributes)
    }
}

private func text(_ words: String) -> [UInt8] { Array(words.utf8) + [0] }

private let orders = WatchOrders(
    settle: ["/usr/bin/ursa", "settle"], eventsPath: "/x/events.jsonl", table: "ursa", links: ["ursa-lab"],
    interfaces: ["eth0"], needsForwarding: true, watchesOthers: true,
    uplinks: [
        .init(
            name: "wired", interface: "eth0", mark: 0x10000,
            router: .init(
                address: IPv4Address(0xac14_0101), mac: MACAddress(0x5254_0000_0001), asker: IPv4Address(0xac14_0182)),
            check: .init(target: .v4(IPv4Address(0xcb00_7109)), interval: 2, threshold: 4))
    ], deadline: .init(boot: "b", seconds: 12.5))

@Suite("what the watcher hears")
struct EventTests {
    private let removal = Message.table(NFT_MSG_DELTABLE.rawValue, [(1, text("ursa"))])
    private let making = Message.table(NFT_MSG_NEWTABLE.rawValue, [(1, text("ursa"))])
    private let ruleGone = Message.table(NFT_MSG_DELRULE.rawValue, [(1, text("ursa"))])
    private let foreign = Message.table(NFT_MSG_NEWRULE.rawValue, [(1, text("filter"))])

    private func end(_ name: String) -> Message {
        Message.table(
            NFT_MSG_NEWGEN.rawValue, [(1, [0, 0, 0, 9]), (2, [0, 0, 0x10, 0x01]), (3, text(name))])
    }

    private func meanings(_ messages: [Message]) -> [String] {
        var events = TableEvents()
        return messages.flatMap { KernelMessage.split($0.bytes[...]) }.compactMap { events.meaning($0, orders) }
    }

    @Test("a table that is removed is damage, named with who did it; one that is replaced is not")
    func tables() {
        #expect(
            meanings([ruleGone, removal, end("nft")]) == ["the table ursa was removed by nft (pid 4097)"])
        #expect(meanings([removal, making, end("nft")]) == [])
        #expect(meanings([ruleGone, end("nft")]) == ["the table ursa was changed by nft (pid 4097)"])
        #expect(meanings([ruleGone, end("ursa")]) == [])
        #expect(meanings([foreign, end("dockerd")]) == ["other tables were changed by dockerd (pid 4097)"])
        #expect(meanings([end("nft")]) == [])
        // Each transaction stands for itself.
        #expect(meanings([removal, making, end("nft"), removal, end("nft")]).count == 1)
    }

    @Test("a link that goes or goes down is damage, its making is not")
    func links() {
        func link(_ type: Int32, up: Bool) -> Message {
            let flags: UInt8 = up ? 1 : 0
            return Message(
                Int(type), fixed: [0, 0, 1, 0, 7, 0, 0, 0, flags, 0, 0, 0, 0, 0, 0, 0],
                [(Int(IFLA_IFNAME), text("ursa-lab"))])
        }
        var events = RouteEvents()
        func meaning(_ message: Message) -> String? {
            KernelMessage.split(message.bytes[...]).compactMap { events.meaning($0, orders) }.first
        }
        #expect(meaning(link(Int32(RTM_NEWLINK), up: false)) == nil)
        #expect(meaning(link(Int32(RTM_NEWLINK), up: true)) == nil)
        #expect(meaning(link(Int32(RTM_NEWLINK), up: false)) == "the link ursa-lab is down")
        #expect(events.down(orders) == ["ursa-lab"])
        #expect(meaning(link(Int32(RTM_DELLINK), up: false)) == "the link ursa-lab was removed")
    }

    @Test("news of any content are read without a trap")
    func hostile() {
        let whole = [
            removal, end("nft"),
            Message(
                Int(RTM_NEWLINK), fixed: [UInt8](repeating: 1, count: 16), [(Int(IFLA_IFNAME), text("ursa-lab"))]),
            Message(
                Int(RTM_NEWNEIGH), fixed: [UInt8](repeating: 2, count: 12),
                [(Int(NDA_DST), [172, 20, 1, 1]), (Int(NDA_LLADDR), [1, 2, 3, 4, 5, 6])]),
            Message(
                Int(RTM_DELROUTE), fixed: [2, 0, 0, 0, 0, 85, 0, 1, 0, 0, 0, 0],
                [(Int(RTA_TABLE.rawValue), [0x89, 0x13, 0, 0])]),
            Message(Int(RTM_NEWNETCONF), fixed: [2, 0, 0, 0], [(1, [255, 255, 255, 255]), (2, [0, 0, 0, 0])]),
        ].flatMap(\.bytes)
        var tables = TableEvents()
        var routes = RouteEvents()
        func read(_ bytes: [UInt8]) -> [String] {
            KernelMessage.split(bytes[...]).flatMap {
                [tables.meaning($0, orders), routes.meaning($0, orders)].compactMap { $0 }
            }
        }
        #expect(
            read(whole).dropFirst() == [
                "the gateway 172.20.1.1 of uplink wired has another Ethernet address, 01:02:03:04:05:06",
                "a route of table 5001 was removed", "forwarding was turned off",
            ])
        for length in 0..<whole.count { _ = read(Array(whole.prefix(length))) }
        for place in whole.indices {
            for value in [0, 1, 3, 4, 0x7f, 0xff] as [UInt8] {
                var bent = whole
                bent[place] = value
                _ = read(bent)
            }
        }
    }

    @Test("orders read back as they were written; strange ones are refused or cut to bounds")
    func roundTrip() throws {
        #expect(try WatchOrders(json: JSON.parse(orders.json.text)) == orders)
        #expect(throws: UrsaError.self) { try WatchOrders(json: JSON.parse("{}")) }
        let bent = try WatchOrders(
            json: JSON.parse(
                """
                {"table": "t", "events": "/e", "uplinks": [{"name": "a", "interface": "e", "mark": 1,
                "check": {"target": "192.0.2.1", "interval": -5, "threshold": 0}}, {"name": 3}, 7]}
                """))
        #expect(bent.uplinks.count == 1 && bent.uplinks[0].check?.interval == 1)
    }

    @Test("a deadline of another boot is over, one of this boot when its time has come")
    func deadlines() {
        #expect(WatchOrders.Deadline(boot: "another", seconds: 1e12).secondsLeft == 0)
        #expect(WatchOrders.Deadline.after(seconds: 60).secondsLeft > 59)
        #expect(WatchOrders.Deadline.after(seconds: -1).secondsLeft == 0)
    }

    @Test("the checksum of an echo request is RFC 1071's")
    func checksum() {
        // The example of RFC 1071, section 3.
        #expect(EchoSocket.checksum([0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]) == ~0xddf2)
    }
}
