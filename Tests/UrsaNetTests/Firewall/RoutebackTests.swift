import Testing
import UrsaBase
import UrsaFirewall

@testable import UrsaNet

@Suite("published ports from everywhere", .enabled(if: PrivateHost.isPossible, "needs root for network namespaces"))
struct RoutebackTests {
    @Test(
        "a guest reaches its neighbour and itself by a published port, isolated ports or not",
        arguments: [false, true], [false, true])
    func hairpin(isIsolated: Bool, hasZones: Bool) throws {
        try PrivateHost.run { host in
            try host.addNeighbour()
            var wish = HostWish(networks: [try labWish()])
            wish.networks[0].ports = [
                port(8080, of: wish.networks[0], 1), port(8081, of: wish.networks[0], 0),
            ]
            if hasZones {
                wish.firewall = Firewall(policies: [Policy(from: "any", to: "any", action: .drop)])
            }
            for index in wish.networks[0].members.indices {
                wish.networks[0].members[index].tap = ["web", "db"][index]
                wish.networks[0].members[index].port.isIsolated = isIsolated
            }
            try host.networks.converge(wish)
            try host.addLabGuests()
            if isIsolated {
                for name in ["web", "db"] { try host.sh("bridge link set dev \(name) isolated on", in: "ursa-lab") }
            }
            let servers = [try host.serve("web", port: 80), try host.serve("db", port: 80)]
            defer { withExtendedLifetime(servers) {} }
            #expect((try host.fetch("10.77.0.11", in: "web") != nil) == !isIsolated)
            // By the address of the host that each of them knows.
            for own in ["192.0.2.2", "10.77.0.254", "[2001:db8::2]", "[fd77:1:2:3::ffff]"] {
                #expect(try host.fetch("\(own):8080", in: "web")?.hasPrefix("db ") == true, "\(own) to the neighbour")
                #expect(try host.fetch("\(own):8081", in: "web")?.hasPrefix("web ") == true, "\(own) to itself")
                #expect(try host.fetch("\(own):8080", in: "db")?.hasPrefix("db ") == true, "\(own) back to itself")
            }
            #expect(try host.fetch("192.0.2.2:8080", in: "w")?.hasPrefix("db ") == true)
            #expect(try host.fetch("127.0.0.1:8081")?.hasPrefix("web ") == true)
            // The detour over the router is closed to isolated guests.
            try host.ip("route add 10.77.0.11/32 via 10.77.0.1", in: "web")
            #expect((try host.fetch("10.77.0.11", in: "web") != nil) == !isIsolated)
        }
    }

    @Test("a published port may be on one uplink, or for some sources only")
    func restricted() throws {
        try PrivateHost.run { host in
            try host.addNeighbour()
            try host.ip("addr add 192.0.2.10/24 dev eth0", in: "w")
            try host.ip("addr add 192.0.2.3/24 dev eth0")
            var wish = HostWish(networks: [try labWish()])
            wish.uplinks = [
                UplinkWish(
                    name: "wired", number: 1, interface: "eth0", gateway: IPv4Address("192.0.2.9"),
                    address: IPv4Address("192.0.2.2"))
            ]
            var some = port(8080, of: wish.networks[0], 0)
            some.sources = ["192.0.2.10", "2001:db8::/64"].compactMap { AddressPrefix($0) }
            var one = port(8081, of: wish.networks[0], 0)
            one.uplink = "wired"
            wish.networks[0].ports = [some, one]
            try host.networks.converge(wish)
            try host.addLabGuests()
            let server = try host.serve("web", port: 80)
            defer { withExtendedLifetime(server) {} }
            func fetch(_ url: String, from source: String) throws -> Bool {
                try host.attempt("curl -s -g --max-time 2 --interface \(source) http://\(url)/cgi-bin/who", in: "w").end
                    .isSuccess
            }
            #expect(try fetch("192.0.2.2:8080", from: "192.0.2.10"))
            #expect(try !fetch("192.0.2.2:8080", from: "192.0.2.9"))
            #expect(try fetch("[2001:db8::2]:8080", from: "2001:db8::9"))
            #expect(try fetch("192.0.2.2:8081", from: "192.0.2.9"))
            #expect(try !fetch("192.0.2.3:8081", from: "192.0.2.9"))
            #expect(try fetch("[2001:db8::2]:8081", from: "2001:db8::9"))
            #expect(host.networks.plan(wish, try host.networks.observe()).map(\.line) == [])
        }
    }
}
