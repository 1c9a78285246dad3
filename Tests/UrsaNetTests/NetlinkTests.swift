import CLinux
import Glibc
import Testing
import UrsaBase

@testable import UrsaNet

@Suite("netlink messages")
struct NetlinkTests {
    @Test("an address request is encoded as rtnetlink(7) says")
    func address() throws {
        let address = IPAddress.v4(try required(IPv4Address("10.77.0.1")))
        let message = RouteRequest.addAddress(address, prefix: 24, link: 7).sealed(
            sequence: 5, flags: UInt16(NLM_F_ACK))
        #expect(
            hexadecimal(message)
                == "28000000"  // length 40
                + "1400"  // RTM_NEWADDR
                + "0506"  // request, ack, create, exclusive
                + "05000000" + "00000000"  // sequence 5, to the kernel
                + "02180000" + "07000000"  // ifaddrmsg: AF_INET, /24, no flags, scope 0, link 7
                + "0800" + "0200" + "0a4d0001"  // IFA_LOCAL
                + "0800" + "0100" + "0a4d0001")  // IFA_ADDRESS
    }

    @Test("nested attributes carry their own length, texts their NUL and padding")
    func nested() throws {
        var message = NetlinkMessage(16, action: "test")
        message.nest(18) { $0.attribute(1, text: "veth") }
        let bytes = message.sealed(sequence: 1, flags: 0)
        #expect(
            hexadecimal(bytes.dropFirst(16))
                == "1000" + "1200"  // 16 bytes, IFLA_LINKINFO
                + "0900" + "0100" + "7665746800" + "000000")  // 9 bytes and 3 of padding: "veth"
        #expect(bytes.count % 4 == 0 && bytes[0] == UInt8(bytes.count))
    }

    @Test("replies of any content are read without a trap")
    func hostile() throws {
        // A whole link message cut at every length, with every length field bent.
        var message = NetlinkMessage(Int(RTM_NEWLINK), action: "test")
        message.put(fixed: ifinfomsg())
        message.attribute(Int(IFLA_IFNAME), text: "eth0")
        message.nest(Int(IFLA_LINKINFO)) { $0.attribute(Int(IFLA_INFO_KIND), text: "veth") }
        let whole = message.sealed(sequence: 1, flags: 0)
        #expect(NetlinkReply.split(whole).compactMap { Link($0) }.first?.kind == "veth")
        for length in 0...whole.count {
            for reply in NetlinkReply.split(Array(whole.prefix(length))) { _ = Link(reply) }
        }
        for place in whole.indices {
            for value in [0, 1, 3, 4, 0x7f, 0xff] as [UInt8] {
                var bent = whole
                bent[place] = value
                for reply in NetlinkReply.split(bent) {
                    _ = Link(reply)
                    _ = Route(reply)
                    _ = LinkAddress(reply)
                }
            }
        }
    }

    @Test(
        "the kernel's own words are part of an error",
        .enabled(if: PrivateHost.isPossible, "needs root for a network namespace"))
    func words() throws {
        try PrivateHost.run { _ in
            let socket = try NetlinkSocket()
            let far = IPAddress.v4(try required(IPv4Address("10.1.1.1")))
            var request = NetlinkMessage(Int(RTM_NEWROUTE), flags: NLM_F_CREATE, action: "add a route")
            var header = rtmsg()
            header.rtm_family = UInt8(AF_INET)
            header.rtm_table = 254
            header.rtm_type = UInt8(RTN_UNICAST)
            request.put(fixed: header)
            request.attribute(Int(RTA_GATEWAY.rawValue), far.wire)
            let error = #expect(throws: UrsaError.self) { try socket.transact([request]) }
            #expect(
                error?.message.contains("the kernel says: Nexthop has invalid gateway") == true,
                "\(error?.message ?? "")")
        }
    }

    @Test(
        "a batch goes on after a tolerated error, and reports the first other one",
        .enabled(if: PrivateHost.isPossible, "needs root for a network namespace"))
    func batch() throws {
        try PrivateHost.run { _ in
            let socket = try NetlinkSocket()
            let bridge = LinkRequest.addBridge("br9", mac: [0xfe, 0, 0, 0, 0, 1], mtu: 1500)
            try socket.transact([LinkRequest.delete(.name("none"))] + bridge + bridge)
            #expect(try socket.link("br9")?.kind == "bridge")
            // More requests than fit one send.
            let names = (0..<300).map { "v\($0)" }
            let home = HomeMark(id: "00000000", isDefault: true, folder: "/nowhere", runFolder: "/nowhere")
            let own = try NetworkNamespace.current()
            try socket.transact(
                names.map {
                    LinkRequest.addVeth(
                        $0, mac: home.mac($0), peer: "p\($0)", peerMAC: home.mac("p" + $0), peerNamespace: own.raw,
                        mtu: 1500)
                })
            #expect(try socket.links().count >= 602)
            try socket.deleteLinks(socket.links().filter { $0.kind == "veth" }.map(\.index))
            #expect(try socket.links().filter { $0.kind == "veth" } == [])
        }
    }
}
