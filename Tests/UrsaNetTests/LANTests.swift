import Glibc
import Testing
import UrsaBase

@testable import UrsaNet

@Suite("guests on a LAN without a bridge", .enabled(if: PrivateHost.isPossible, "needs root for network namespaces"))
struct LANTests {
    /// Milliseconds that the first echo takes, or nil when none comes.
    private static func first(_ host: PrivateHost, _ address: String, from namespace: String) throws -> Double? {
        let text = try host.attempt("ping -n -c 1 -W 2 \(address)", in: namespace).text
        guard let time = text.split(separator: "time=").dropFirst().first else { return nil }
        return Double(time.prefix { $0 == "." || $0.isNumber })
    }

    private static func proxies(_ host: PrivateHost) throws -> String { try host.ip("neigh show proxy") }

    @Test("the first packet from the LAN comes at once, and entries vanish with the guest")
    func entries() throws {
        try PrivateHost.run { host in
            try host.addLAN()
            var wish = try modelWish(.lan)
            try host.networks.converge([wish])
            for member in wish.members { try host.addGuest(member.machine, on: "net", mac: member.mac.description) }
            _ = try host.dhcp("g1")
            // A guest that knows nothing but one address and its router.
            let address6 = try required(wish.members[1].address6).description
            try host.sh("sysctl -qw net.ipv6.conf.eth0.accept_ra=0", in: "g2")
            try host.ip("addr flush dev eth0 scope global", in: "g2")
            try host.ip("addr add \(address6)/128 dev eth0", in: "g2")
            try host.ip("route replace default via fe80::1 dev eth0", in: "g2")
            // It is up when it reaches its own router.
            try #require(try host.pings("fe80::1%eth0", from: "g2", tries: 10))
            let answers = try [Self.first(host, "192.0.2.66", from: "w"), Self.first(host, address6, from: "w")]
            for time in answers { #expect((time ?? .infinity) < 50, "\(answers) ms") }
            #expect(try Self.proxies(host).contains("192.0.2.66 dev eth0"))
            wish.members.removeFirst()
            try host.networks.converge([wish])
            #expect(try !Self.proxies(host).contains("192.0.2.66"))
            #expect(try !host.ip("route").contains("192.0.2.66"))
            #expect(try !host.ip("route", in: "ursa-net").contains("192.0.2.66"))
            try host.ip("neigh flush all", in: "w")
            #expect(try !host.pings("192.0.2.66", from: "w"))
            #expect(host.networks.plan([wish], try host.networks.observe()).map(\.line) == [])
        }
    }

    @Test("an address that somebody on the LAN has is refused, and nothing is left")
    func taken() throws {
        try PrivateHost.run { host in
            try host.addLAN()
            try host.ip("netns add x")
            try host.sh("sysctl -qw net.ipv6.conf.default.accept_dad=0", in: "x")
            try host.plug("eth0", "x", "192.0.2.66/24")
            let wish = try modelWish(.lan)
            let refused = #expect(throws: UrsaError.self) { try host.networks.converge([wish]) }
            #expect(refused?.code == .conflict && refused?.message.contains("192.0.2.66 is in use") == true)
            #expect(try host.leftovers() == [] && Self.proxies(host).isEmpty)
            try host.ip("addr flush dev eth0", in: "x")
            try host.ip("addr add \(required(wish.members[1].address6))/64 dev eth0 nodad", in: "x")
            let refused6 = #expect(throws: UrsaError.self) { try host.networks.converge([wish]) }
            #expect(refused6?.message.contains("fe00:2 is in use") == true, "\(refused6?.message ?? "")")
            try host.ip("netns del x")
            var own = wish
            own.members[0].address = try required(IPv4Address("192.0.2.2"))
            let mine = #expect(throws: UrsaError.self) { try host.networks.converge([own]) }
            #expect(mine?.message.contains("this host's own") == true)
            #expect(try host.leftovers() == [] && Self.proxies(host).isEmpty)
        }
    }

    @Test("neighbours that knew another holder of the address learn the new one at once")
    func announced() throws {
        try PrivateHost.run { host in
            try host.addLAN()
            let wish = try modelWish(.lan)
            // Somebody who has left the LAN a moment ago.
            try host.ip("neigh replace 192.0.2.66 lladdr 52:54:00:99:99:99 dev eth0 nud reachable", in: "w")
            try host.networks.converge([wish])
            try host.addGuest("g1", on: "net", mac: wish.members[0].mac.description)
            _ = try host.dhcp("g1")
            #expect(try host.pings("192.0.2.66", from: "w", tries: 3))
        }
    }

    @Test("what others publish, and entries of nobody's, are left alone")
    func foreign() throws {
        try PrivateHost.run { host in
            try host.addLAN()
            try host.ip("neigh add proxy 192.0.2.99 dev eth0")
            try host.sh("sysctl -qw net.ipv6.conf.eth0.proxy_ndp=1")
            try host.networks.converge([modelWish(.lan)])
            // Left by a home that was wiped out: no route of any home leads there.
            try host.ip("neigh add proxy 192.0.2.98 dev eth0 protocol 85")
            try host.networks.converge([modelWish(.lan)])
            let entries = try Self.proxies(host)
            #expect(entries.contains("192.0.2.99") && !entries.contains("192.0.2.98"))
            try host.networks.converge([])
            #expect(try Self.proxies(host).split(separator: "\n").count == 1)
            #expect(Sysctl.read("ipv6/conf/eth0/proxy_ndp") == "1")
        }
    }

    @Test("a LAN's interface that is missing is told by name; one that goes away later leaves the rest alone")
    func missing() throws {
        try PrivateHost.run { host in
            let missing = #expect(throws: UrsaError.self) { try host.networks.converge([modelWish(.lan)]) }
            #expect(missing?.code == .notFound && missing?.message.contains("eth0") == true)
            try host.addLAN()
            try host.networks.converge([modelWish(.lan)])
            try host.ip("link del eth0")
            try host.networks.converge([modelWish(.lan)])
            try host.networks.converge([])
            #expect(try host.leftovers() == [])
        }
    }

    @Test("frames are written as RFC 5227 and RFC 4861 say, and strange ones are no claims")
    func frames() throws {
        let mac: [UInt8] = [0x52, 0x54, 0, 0, 0, 1]
        let four = try required(IPAddress("192.0.2.66"))
        let six = try required(IPAddress("2001:db8::66"))
        #expect(
            hexadecimal(LANFrame.question(four, from: mac))
                == "ffffffffffff" + "525400000001" + "0806" + "0001080006040001" + "525400000001" + "00000000"
                + "000000000000" + "c0000242")
        let solicitation = LANFrame.question(six, from: mac)
        #expect(
            hexadecimal(solicitation.prefix(54))
                == "3333ff000066" + "525400000001" + "86dd" + "60000000" + "0018" + "3aff"
                + "00000000000000000000000000000000" + "ff0200000000000000000001ff000066")
        for frame in [LANFrame.question(four, from: mac), LANFrame.announcement(four, of: mac)] {
            #expect(LANFrame.claim(frame)?.address == four)
        }
        for frame in [solicitation, LANFrame.announcement(six, of: mac)] {
            #expect(LANFrame.claim(frame)?.address == six && LANFrame.claim(frame)?.mac.bytes == mac)
            for length in frame.indices { _ = LANFrame.claim(Array(frame.prefix(length))) }
            for place in frame.indices {
                for value in UInt8.min...UInt8.max {
                    var bent = frame
                    bent[place] = value
                    _ = LANFrame.claim(bent)
                }
            }
        }
    }
}
