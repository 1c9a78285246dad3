import Testing
import UrsaBase

@testable import UrsaNet

private let home = HomeMark(id: "0a1b2c3d", isDefault: true, folder: "/h", runFolder: "/r", hostsFile: "/hosts")
private let otherHome = HomeMark(id: "11112222", isDefault: false, folder: "/h", runFolder: "/r", hostsFile: "/hosts")

@Suite("texts that other programs read")
struct TextTests {
    @Test("the table holds every port in a map, and its digest in a comment")
    func ruleset() throws {
        var wish = try labWish()
        wish.ports = [port(8080, of: wish, 0), port(53, of: wish, 1, to: 5353, udp: true)]
        wish.ports[1].hostAddress = IPAddress("192.0.2.2")
        let ruleset = Ruleset(home, [wish])
        for line in [
            "table inet ursa {", "comment \"\(ruleset.comment)\"",
            "set stems { type ifname; elements = { \"ursa-lab\" }; }",
            "map every4 { type inet_proto . inet_service : ipv4_addr . inet_service; elements = { tcp . 8080 : 10.77.0.10 . 80 }; }",
            "elements = { tcp . 8080 : fd77:1:2:3:5054:ff:fe00:1 . 80 }",
            "elements = { udp . 192.0.2.2 . 53 : 10.77.0.11 . 5353 }",
        ] {
            #expect(ruleset.text.contains(line), "\(line)")
        }
        #expect(ruleset.chains["published"] == 8 && ruleset.elements["every4"] == 1)
        #expect(ruleset.comment == Ruleset(home, [wish]).comment)
        wish.ports.removeLast()
        #expect(ruleset.comment == Ruleset(home, [wish]).comment && ruleset.digest != Ruleset(home, [wish]).digest)
        #expect(Ruleset(otherHome, [wish]).text.contains("table inet ursa-11112222 {"))
    }

    @Test("dnsmasq is told the network, the known machines and nothing of the host's names")
    func dnsmasq() throws {
        let wish = try labWish()
        let text = DnsmasqConfiguration(
            wish, folder: "/r/net/lab", .init(resolvFile: "/etc/resolv.conf", hasIPv6Default: false, user: "nobody"))
        let lines = text.main.split(separator: "\n").map(String.init)
        for line in [
            "no-hosts", "domain=lab.ursa.internal", "local=/ursa.internal/", "dhcp-ignore=tag:!known", "user=nobody",
            "dhcp-range=10.77.0.0,static,255.255.255.0,12h", "dhcp-range=fd77:1:2:3::,static,slaac,64,12h",
            "host-record=host.ursa.internal,10.77.0.254,fd77:1:2:3::ffff", "dns-loop-detect", "domain-needed",
            "ra-param=br0,mtu:1500,60,0", "dhcp-option=option:mtu,1500",
        ] {
            #expect(lines.contains(line), "\(line)")
        }
        #expect(text.leases["web"] == "52:54:00:00:00:01,10.77.0.10,[fd77:1:2:3:5054:ff:fe00:1],web,12h\n")
        #expect(text.names["web"]?.hasPrefix("10.77.0.10 web.lab.ursa.internal web\n") == true)
        #expect(
            !DnsmasqConfiguration(wish.withoutIPv6, folder: "/r", .init(resolvFile: "/x", hasIPv6Default: true)).main
                .contains("ra-param"))
    }

    @Test("names of links, namespaces and tables fit the kernel and tell homes apart")
    func names() {
        let long = "a-network-with-quite-a-long-name"
        for mark in [home, otherHome] {
            for name in ["lab", long] {
                #expect(mark.stemName(name).utf8.count <= 15)
                #expect(mark.network(namespace: mark.namespaceName(name)) == name)
                #expect(mark.network(alias: mark.alias(name)) == name)
            }
        }
        #expect(home.stemName("lab") == "ursa-lab" && home.namespaceName("lab") == "ursa-lab")
        #expect(home.stemName(long) != otherHome.stemName(long))
        #expect(otherHome.network(namespace: "ursa-lab") == nil && otherHome.network(alias: home.alias("lab")) == nil)
        #expect(home.network(namespace: otherHome.namespaceName("lab")) == nil)
    }

    @Test("the block of the names file is put in and taken out without touching another byte")
    func hostsFile() throws {
        let block = HostsFile.block([try labWish()], outside: [])
        let added = Array("10.1.1.1 mine\n".utf8)
        let originals = [
            "", "127.0.0.1 localhost\n", "127.0.0.1 localhost", "\n\n# end", "a\r\nb\r\n", "unfinished\r",
        ]
        // And a byte that is no UTF-8: \u{e9} as editors of the last century wrote it.
        for original in originals.map({ Array($0.utf8) }) + [[0x23, 0xe9, 10]] {
            let with = HostsFile.text(HostsFile.split(original, home), block: block, home)
            let parts = HostsFile.split(with, home)
            #expect(parts.block == block && parts.outside == original)
            #expect(HostsFile.text(parts, block: block, home) == with)
            #expect(HostsFile.text(parts, block: [], home) == original)
            // Two homes, and lines added by hand behind the blocks.
            let both = HostsFile.text(HostsFile.split(with, otherHome), block: block, otherHome) + added
            let mine = HostsFile.text(HostsFile.split(both, home), block: [], home)
            #expect(HostsFile.split(mine, otherHome).block == block && mine.suffix(added.count).elementsEqual(added))
        }
        // Somebody cut the end marker: what is not ours stays.
        let cut = "# ursa 0a1b2c3d begin\n10.77.0.10 web.lab.ursa.internal web\n10.1.1.1 mine\n"
        #expect(HostsFile.split(Array(cut.utf8), home).outside == added)
        // An editor gave all lines CR LF: the block is still found, and is not put in a second time.
        let windows = Array(cut.replacing("\n", with: "\r\n").utf8)
        #expect(HostsFile.split(windows, home).block == ["10.77.0.10 web.lab.ursa.internal web"])
        #expect(HostsFile.block([try labWish()], outside: windows).allSatisfy { !$0.hasSuffix(" web") })
    }

    @Test("DNS questions are written and answers read as RFC 1035 says")
    func dns() throws {
        #expect(
            hexadecimal(try required(DNSMessage.query("web.lab", id: 0x1234)))
                == "1234" + "0100" + "0001" + "0000" + "0000" + "0000" + "03776562" + "036c6162" + "00" + "0001"
                + "0001")
        #expect(DNSMessage.query(String(repeating: "x", count: 64), id: 1) == nil)
        #expect(DNSMessage.query("", id: 1) == nil)
        #expect(DNSMessage.query(String(repeating: "abc.", count: 80), id: 1) == nil)
        let question = try required(DNSMessage.query("web.lab", id: 0x1234))
        var answer = question
        answer.replaceSubrange(2..<8, with: [0x81, 0x80, 0, 1, 0, 2])
        // A CNAME record first, then the address; both names are pointers to byte 12.
        answer += [0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 9, 0, 2, 0xc0, 12]
        answer += [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 10, 77, 0, 10]
        #expect(DNSMessage.answer(answer, id: 0x1234)?.description == "10.77.0.10")
        #expect(DNSMessage.answer(answer, id: 0x1235) == nil)
        #expect(DNSMessage.answer(question, id: 0x1234) == nil)
        for length in 0..<answer.count { #expect(DNSMessage.answer(Array(answer.prefix(length)), id: 0x1234) == nil) }
        for place in answer.indices {
            for value in UInt8.min...UInt8.max {
                var bent = answer
                bent[place] = value
                _ = DNSMessage.answer(bent, id: 0x1234)
            }
        }
    }

    @Test("the DHCP log tells who asked and who was answered")
    func log() throws {
        let web = MACAddress(0x5254_0000_0001)
        let asked = "Nov 21 02:22:12 dnsmasq-dhcp[7]: 3232 DHCPDISCOVER(br0) 52:54:00:00:00:01\n"
        let given = "Nov 21 02:22:12 dnsmasq-dhcp[7]: 3232 DHCPACK(br0) 10.77.0.10 52:54:00:00:00:01 web\n"
        #expect(DnsmasqProcess.dhcpState(log: "", web) == (false, false))
        #expect(DnsmasqProcess.dhcpState(log: asked, web) == (true, false))
        #expect(DnsmasqProcess.dhcpState(log: asked + given, web) == (true, true))
        // CR LF ends a line too, though Swift takes it for one character that is no line feed.
        let mixed = asked + "Nov DHCPACK(br0)\r\n" + given.replacing("DHCPACK", with: "DHCPNAK")
        #expect(DnsmasqProcess.dhcpState(log: mixed, web) == (true, false))
        #expect(DnsmasqProcess.dhcpState(log: asked + given, MACAddress(0x5254_0000_0002)) == (false, false))
    }

    @Test("resolver files: only servers count")
    func resolver() {
        #expect(
            Upstream.servers("# nameserver 1.1.1.1\nnameserver 127.0.0.53\noptions edns0\nnameserver\t::1\n") == [
                "127.0.0.53", "::1",
            ])
    }
}

@Suite("plans")
struct PlanTests {
    private let networks = HostNetworks(home: home)

    @Test("a plan of nothing for nothing is empty, and a plan says the same twice")
    func pure() throws {
        #expect(networks.plan([], NetObservation()).isEmpty)
        let wish = try labWish()
        let first = networks.plan([wish], NetObservation()).map(\.line)
        #expect(
            first == [
                "+ table inet ursa: 1 network, 0 published ports", "+ namespace ursa-lab",
                "+ bridge br0 10.77.0.1/24, fd77:1:2:3::1/64 in ursa-lab",
                "+ stem ursa-lab 10.77.0.254, fd77:1:2:3::ffff, route to 10.77.0.0/24", "+ dnsmasq for lab, 2 machines",
                "+ /hosts: 4 lines of machine names",
            ])
        #expect(networks.plan([wish], NetObservation()).map(\.line) == first)
    }

    @Test("what can't be is refused with all reasons before anything is done")
    func refused() throws {
        var wish = try labWish()
        wish.name = "Lab\nuser=root"
        wish.members[1].address = wish.gateway
        wish.members[1].mac = wish.members[0].mac
        wish.members[0].machine = "we b"
        wish.ports = [port(80, of: wish, 0), port(80, of: wish, 1), port(0, of: wish, 1)]
        let steps = networks.plan([wish, wish], NetObservation())
        #expect(steps.count == 1)
        let error = #expect(throws: UrsaError.self) { try networks.apply(steps) }
        let text = error.map { "\($0)" } ?? ""
        for words in [
            "network name must be", "two networks of this name", "overlaps", "same Ethernet address",
            "can't have the address 10.77.0.1", "machine name must be", "port * 80/tcp is published", "port 0 can't",
        ] {
            #expect(text.contains(words), "\(words)")
        }
    }

    @Test("addresses of a subnet: gateway first, host last, SLAAC from the card")
    func addresses() throws {
        let wish = try labWish()
        #expect(wish.gateway.description == "10.77.0.1" && wish.hostEnd.description == "10.77.0.254")
        #expect(wish.gateway6?.description == "fd77:1:2:3::1" && wish.hostEnd6?.description == "fd77:1:2:3::ffff")
        #expect(
            wish.subnet6?.slaacAddress(of: MACAddress(0x5254_0012_3456))?.description == "fd77:1:2:3:5054:ff:fe12:3456")
        #expect(!wish.isFreeForMachines(wish.hostEnd) && wish.isFreeForMachines(wish.subnet[2]))
    }
}
