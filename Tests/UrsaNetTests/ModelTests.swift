import Glibc
import Testing
import UrsaBase

@testable import UrsaNet

/// Who reaches whom on a network of each model: docs/networking.md has the same table.
struct Reach: Sendable, Equatable {
    /// Guest to guest, guest to host, guest to the LAN.
    var guest = true
    var host = true
    var lan = true
    /// Host to guest, LAN to guest.
    var fromHost = true
    var fromLAN = false

    static let isolated = Reach(host: false, lan: false, fromHost: false)
    static let nat = Reach()
    static let open = Reach(fromLAN: true)
}

@Suite("the models of networks", .enabled(if: PrivateHost.isPossible, "needs root for network namespaces"))
struct ModelTests {
    /// Brings the guests up by DHCP and router advertisement.
    private static func addGuests(_ host: PrivateHost, _ wish: NetworkWish) throws {
        for member in wish.members {
            try host.addGuest(
                member.machine, on: wish.name, mac: member.mac.description,
                hostBridge: wish.isOnHost ? wish.bridgeName(host.home) : nil)
            let given = try host.dhcp(member.machine)
            #expect(given.contains("ip=\(member.address)\n"), "\(given)")
        }
        for member in wish.members {
            let address = try required(member.address6).description
            try #require(try host.wait(for: address, "ip -6 addr show dev eth0", in: member.machine))
            let isReachable = wish.hasWayOut
            if isReachable {
                try #require(try host.wait(for: "default", "ip -6 route", in: member.machine))
            } else {
                // Guests of a network without a way out must not wait for one.
                #expect(try !host.ip("-6 route", in: member.machine).contains("default"))
                #expect(try !host.ip("route", in: member.machine).contains("default"))
            }
        }
    }

    private static func reach(_ host: PrivateHost, _ wish: NetworkWish, isIPv6: Bool) throws -> Reach {
        let guests = try wish.members.map { isIPv6 ? try required($0.address6).description : "\($0.address)" }
        // The host's own address as this network's guests know it, else its address on the LAN.
        let own = isIPv6 ? "2001:db8::2" : "192.0.2.2"
        let neighbour = isIPv6 ? "2001:db8::9" : "192.0.2.9"
        return Reach(
            guest: try host.pings(guests[1], from: "g1"), host: try host.pings(own, from: "g1"),
            lan: try host.pings(neighbour, from: "g1"), fromHost: try host.pings(guests[0], from: nil),
            fromLAN: try host.pings(guests[0], from: "w"))
    }

    private static func check(_ wish: NetworkWish, _ expected: Reach, route: Bool = false) throws {
        try PrivateHost.run { host in
            try host.addLAN()
            if route {
                try host.ip("route add \(wish.subnet) via 192.0.2.2", in: "w")
                try host.ip("route add \(required(wish.subnet6)) via 2001:db8::2", in: "w")
            }
            try host.networks.converge([wish])
            let again = host.networks.plan([wish], try host.networks.observe()).map(\.line)
            #expect(again == [])
            #expect(host.networks.health(["net"]) == [:])
            try addGuests(host, wish)
            let reach4 = try reach(host, wish, isIPv6: false)
            #expect(reach4 == expected, "IPv4")
            let reach6 = try reach(host, wish, isIPv6: true)
            #expect(reach6 == expected, "IPv6")
            let found = host.networks.resolves(network: "net", name: "g2", seconds: 2)
            #expect(found == wish.members[1].address)
            let names = try File.readText(host.home.hostsFile)
            #expect(names.contains("g1.net.ursa.internal") == expected.fromHost)
            let last = host.networks.plan([wish], try host.networks.observe()).map(\.line)
            #expect(last == [])
            try host.networks.converge([])
            #expect(try host.leftovers() == [])
            #expect(try host.ip("neigh show proxy").isEmpty)
            #expect(try !host.ip("route").contains("192.0.2.66"))
            for setting in LANSettings.all("eth0") {
                #expect(Sysctl.read(setting.name) == (setting.name.hasSuffix("delay") ? "80" : "0"), "\(setting.name)")
            }
        }
    }

    @Test("isolated: guests reach each other and nobody else") func isolated() throws {
        try Self.check(modelWish(.isolated), .isolated)
    }

    @Test("nat: guests reach everybody, nobody outside reaches them") func nat() throws {
        try Self.check(modelWish(.nat), .nat)
        try Self.check(modelWish(.nat), .nat, route: true)
    }

    @Test("routed: with a route on the other side both ways are open") func routed() throws {
        try Self.check(modelWish(.routed), .open, route: true)
    }

    @Test("routed by proxy: nobody on the LAN needs a route") func routedProxy() throws {
        var wish = try modelWish(.routed, proxy: "eth0")
        wish.subnet6 = try required(IPv6Network("2001:db8::/64"))
        // The LAN's own IPv6 subnet can't be behind the host as well: IPv4 only.
        wish.subnet6 = nil
        for index in wish.members.indices { wish.members[index].address6 = nil }
        let only = wish
        try PrivateHost.run { host in
            try host.addLAN()
            try host.networks.converge([only])
            for member in only.members {
                try host.addGuest(member.machine, on: "net", mac: member.mac.description)
                _ = try host.dhcp(member.machine)
            }
            #expect(try Self.reach4(host, only) == .open)
            try host.networks.converge([])
            #expect(try host.leftovers() == [])
            #expect(try host.ip("neigh show proxy").isEmpty)
        }
    }

    private static func reach4(_ host: PrivateHost, _ wish: NetworkWish) throws -> Reach {
        Reach(
            guest: try host.pings("\(wish.members[1].address)", from: "g1"),
            host: try host.pings("192.0.2.2", from: "g1"), lan: try host.pings("192.0.2.9", from: "g1"),
            fromHost: try host.pings("\(wish.members[0].address)", from: nil),
            fromLAN: try host.pings("\(wish.members[0].address)", from: "w"))
    }

    @Test("lan: guests have addresses of the LAN without a bridge to it") func lan() throws {
        try Self.check(modelWish(.lan), .open)
    }

    @Test("a NAT network with its bridge on the host") func hostNAT() throws {
        try Self.check(modelWish(.nat, isOnHost: true), .nat)
    }

    @Test("a routed network with its bridge on the host") func hostRouted() throws {
        try Self.check(modelWish(.routed, isOnHost: true), .open, route: true)
    }
}
