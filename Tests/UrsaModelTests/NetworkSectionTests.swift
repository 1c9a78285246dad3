import Testing
import UrsaBase
import UrsaFirewall

@testable import UrsaModel

@Suite("Reading networks, uplinks and the firewall")
struct NetworkSectionTests {
    private func spec() throws -> Spec {
        try SpecReader.read(File.readText("\(fixtures)/valid/networks.yaml"), file: "f.yaml")
    }

    @Test("every model is read with its options")
    func models() throws {
        let networks = try spec().networks
        #expect(networks.map(\.model) == [.nat, .isolated, .routed, .bridged, .bridged, .lan, .routed, .user])
        #expect(networks[0].uplinks == ["wired"] && networks[0].placement == .host)
        #expect(networks[2].proxy == "eth1" && networks[2].subnet6 == IPv6Network("2001:db8:5::/64"))
        #expect(networks[3].interface == "eth2" && networks[3].fallback == .lan)
        #expect(networks[4].bridge == "br0" && networks[4].mtu == 9000)
        #expect(networks[5].interface == "wlan0" && networks[5].mtu == nil)
    }

    @Test("uplinks are read, checks by address or map")
    func uplinks() throws {
        let uplinks = try spec().uplinks
        #expect(
            uplinks[0]
                == UplinkSpec(
                    name: "wired", interface: "eth0", gateway: IPv4Address("172.20.1.1"),
                    gateway6: IPv6Address("fe80::1"), weight: 2,
                    check: IPAddress("203.0.113.9").map { UplinkSpec.Check(target: $0) }))
        #expect(uplinks[1].isFallback && uplinks[1].address == IPv4Address("172.20.1.130"))
        #expect(uplinks[1].check?.interval == 2 && uplinks[1].check?.threshold == 5)
    }

    @Test("bare lists of zones find out what is a network and what an uplink")
    func zones() throws {
        let zones = try spec().firewall.zones
        #expect(zones[0].members == [.uplink("wired"), .uplink("backup")])
        #expect(zones[1].members == [.network("lan"), .network("lab")])
        let prefixes = ["192.0.2.0/26", "2001:db8:7::/48"].compactMap { AddressPrefix($0) }
        #expect(zones[2].members == [.hosts(prefixes, behind: "wired")])
        #expect(zones[3].members == [.machine("db")])
        let mixed = """
            uplinks: { b: { interface: eth0 } }
            networks: { a: nat, c: nat }
            zones: { all: [a, b, c] }
            policy: [{ from: any, to: any, action: drop }]
            """
        let all = try SpecReader.read(mixed, file: "f").firewall.zones[0]
        #expect(all.members == [.uplink("b"), .network("a"), .network("c")])
    }

    @Test("policies and rules are read whole")
    func rules() throws {
        let firewall = try spec().firewall
        #expect(firewall.policies.map(\.action) == [.accept, .drop, .reject])
        #expect(firewall.policies[1].log == .info)
        let source = try #require(AddressPrefix("198.51.100.0/24"))
        let destination = try #require(AddressPrefix("192.0.2.66"))
        #expect(
            firewall.rules[0]
                == Rule(
                    from: "net", to: "dmz", transport: .tcp, ports: [80...80, 443...443, 8000...8100],
                    sources: [source], destinations: [destination], action: .accept, log: .info,
                    limit: RateLimit(count: 10, unit: .minute, burst: 20)))
        #expect(firewall.rules[1].transport == .icmp && firewall.rules[1].limit?.burst == 5)
        #expect(firewall.rules[2].transport == .any && firewall.rules[2].ports == [5432...5432])
        #expect(firewall.admins.map(\.short) == ["192.0.2.7", "2001:db8::7"])
    }

    @Test("forwards are read, and ranges lead to as many ports")
    func forwards() throws {
        let forwards = try spec().forwards
        #expect(forwards[0] == ForwardSpec(uplink: "wired", ports: 2222...2222, to: "web", port: 22))
        #expect(forwards[1].sources.count == 2)
        #expect(forwards[2].transport == .udp && forwards[2].guestPort(of: 6010) == 16010)
        #expect(ForwardSpec(ports: 80...90, to: "web").guestPort(of: 85) == 85)
    }

    @Test("options of cards are read")
    func cards() throws {
        let cards = try #require(try spec().machines.first).networks
        #expect(cards[0].address6 == IPv6Address("2001:db8:5::66") && cards[0].isIsolated && cards[0].isGuarded)
        #expect(cards[0].sendRate == BitRate(bitsPerSecond: 100_000_000) && cards[0].receiveRate == cards[0].sendRate)
        #expect(cards[1].sendRate?.bytesPerSecond == 1_250_000 && cards[1].receiveRate == nil && cards[1].mtu == 1400)
    }

    @Test("on the same port, other uplinks and other addresses are no collision")
    func otherPlaces() {
        let head = """
            uplinks:
              a: { interface: eth0, gateway: 192.0.2.1, address: 192.0.2.9 }
              b: { interface: eth1 }
            machines: { web: { image: tiny, publish: ["198.51.100.5:80:80"] } }
            forwards:

            """
        func faults(_ forwards: String...) -> Int {
            errors(head + forwards.map { "  - { \($0), to: web }\n" }.joined()).count
        }
        #expect(faults("uplink: a, port: 80", "uplink: b, port: 80") == 0)
        #expect(faults("uplink: a, port: 80", "address: 192.0.2.8, port: 80") == 0)
        #expect(faults("uplink: a, port: 80", "address: 192.0.2.9, port: 80") == 1)
        #expect(faults("port: 80, proto: udp") == 0)
        #expect(faults("port: 79-81") == 1)
        #expect(faults("address: 198.51.100.5, port: 80") == 1)
        #expect(faults("address: 0.0.0.0, port: 80") == 1)
        #expect(faults("address: '2001:db8::1', port: 80") == 0)
    }

    @Test("a catch-all at the end may be one that nothing is left for")
    func lastWord() {
        let text = """
            networks: { lan: nat }
            policy:
              - { from: any, to: lan, action: drop }
              - { from: any, to: net, action: accept }
              - { from: any, to: host, action: accept }
              - { from: any, to: any, action: reject }
            """
        #expect(errors(text).isEmpty)
    }

    @Test("the largest spec of networks, zones and rules is judged in a moment")
    func large() {
        var text = "networks:\n"
        for index in 0..<300 { text += "  n\(index): { nat: {}, subnet: 10.\(index / 256).\(index % 256).0/24 }\n" }
        text += "rules:\n"
        for index in 0..<2000 {
            text += "  - { from: n\(index % 300), to: net, proto: tcp, ports: [\(index + 1)], action: accept }\n"
        }
        text += "policy: [{ from: any, to: any, action: drop }]\n"
        var found: [UrsaError] = []
        let time = ContinuousClock().measure { found = errors(text) }
        #expect(found.isEmpty, "\(found)")
        #expect(time < .seconds(20))
        print("2,000 rules over 300 networks are judged in \(time)")
    }

    @Test(
        "rates are read back as they are written",
        arguments: [("10M", 10_000_000), ("8000", 8000), ("1500k", 1_500_000), ("2Gbit", 2_000_000_000), ("9K", 9000)])
    func rates(_ text: String, _ bits: UInt64) {
        let rate = BitRate(text)
        #expect(rate?.bitsPerSecond == bits)
        #expect(rate.flatMap { BitRate("\($0)") } == rate)
    }

    @Test("no rate", arguments: ["", "M", "-1M", "1.5M", "10MB", "10 M", "010M", "1T", "99999999999999999999", "1e6"])
    func noRate(_ text: String) { #expect(BitRate(text) == nil) }
}
