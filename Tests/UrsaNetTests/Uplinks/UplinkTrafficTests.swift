import Glibc
import Testing
import UrsaBase

@testable import UrsaNet

@Suite("packets over several uplinks", .enabled(if: PrivateHost.isPossible, "needs root for network namespaces"))
struct UplinkTrafficTests {
    @Test("of two providers on one interface each gets the answers to what came by it, a hundred flows each")
    func shared() throws {
        try PrivateHost.run { host in
            try host.addSharedProviders()
            var wish = try labWish(machines: ["web"])
            wish.ports = [port(8080, of: wish, 0)]
            let server = try host.serve(nil, port: 81)
            defer { withExtendedLifetime(server) {} }
            // What the test would prove is not so without us: answers to `wb` go to `a`, who does not know it.
            #expect(try host.answered(1, "172.20.1.130:81", in: "wb") == 0)
            try host.networks.converge(HostWish(networks: [wish], uplinks: host.sharedUplinks()))
            try host.addGuest("web", on: "lab", mac: "52:54:00:00:00:01")
            _ = try host.dhcp("web")
            let guest = try host.serve("web", port: 80)
            defer { withExtendedLifetime(guest) {} }
            for world in ["wa", "wb"] {
                #expect(try host.answered(100, "172.20.1.130:81", in: world) == 100, "the host to \(world)")
                #expect(try host.answered(100, "172.20.1.130:8080", in: world) == 100, "the machine to \(world)")
            }
            // Another router takes b's place: seen by its Ethernet address as soon as the table follows.
            try host.ip("link set eth0 down", in: "b")
            try host.ip("link set eth0 address 52:54:00:99:99:99", in: "b")
            try host.ip("link set eth0 up", in: "b")
            try host.sh("ping -q -c 1 -W 5 172.20.1.130", in: "b", seconds: 10)
            try host.ip("neigh flush dev eth0")
            let steps = try host.networks.converge(HostWish(networks: [wish], uplinks: host.sharedUplinks()))
            #expect(steps.count == 1, "\(steps.map(\.line))")
            #expect(try host.answered(20, "172.20.1.130:8080", in: "wb") == 20)
            #expect(
                host.networks.plan(
                    HostWish(networks: [wish], uplinks: try host.sharedUplinks()), try host.networks.observe()
                ).map(\.line) == [])
            try host.networks.converge([])
            #expect(try host.leftovers() == [])
            #expect(try host.ip("rule").split(separator: "\n").count == 3)
            #expect(try host.ip("route show table all").contains("500") == false)
        }
    }

    @Test("new connections of guests and host are shared by weight, and leave with the address of their uplink")
    func balance() throws {
        try PrivateHost.run { host in
            try host.addSeparateProviders()
            let wish = try labWish(machines: ["web"])
            let server = try host.serve("w", port: 80)
            defer { withExtendedLifetime(server) {} }
            var uplinks = try host.separateUplinks(weights: (3, 1))
            func converge() throws {
                try host.networks.converge(HostWish(networks: [wish], uplinks: uplinks))
            }
            try converge()
            try host.addGuest("web", on: "lab", mac: "52:54:00:00:00:01")
            _ = try host.dhcp("web")
            func share(_ namespace: String?) throws -> (Int, Int) {
                let answers = try host.answers(200, "203.0.113.9", in: namespace)
                return (
                    answers.count { $0.contains("192.0.2.2") }, answers.count { $0.contains("198.18.0.2") }
                )
            }
            for namespace in ["web", nil] {
                let (one, two) = try share(namespace)
                // 150 ± 50 is eight standard deviations.
                #expect(one + two == 200 && (100...197).contains(one), "\(namespace ?? "host"): \(one) and \(two)")
            }
            // What is bound to the second uplink's address leaves there.
            let bound = try host.sh("curl -s --interface 198.18.0.2 http://203.0.113.9/cgi-bin/who")
            #expect(bound.contains("198.18.0.2"))
            // Near things stay near, whatever the mark.
            #expect(try host.answered(10, "203.0.113.9", in: "web") == 10)
            // One that is not healthy gets nothing new; fallbacks stand by until all others are.
            uplinks[0].isHealthy = false
            try converge()
            #expect(try share("web") == (0, 200))
            uplinks[0].isHealthy = true
            uplinks[1].isFallback = true
            try converge()
            #expect(try share("web") == (200, 0))
            uplinks[0].isHealthy = false
            try converge()
            #expect(try share(nil) == (0, 200))
            try host.networks.converge([])
            #expect(try host.leftovers() == [])
        }
    }

    @Test("guests pinned to an uplink use no other, also when it is gone")
    func pinned() throws {
        try PrivateHost.run { host in
            try host.addSeparateProviders()
            var wish = try labWish(machines: ["web"])
            wish.uplinks = ["two"]
            let server = try host.serve("w", port: 80)
            defer { withExtendedLifetime(server) {} }
            let uplinks = try host.separateUplinks()
            try host.networks.converge(HostWish(networks: [wish], uplinks: uplinks))
            try host.addGuest("web", on: "lab", mac: "52:54:00:00:00:01")
            _ = try host.dhcp("web")
            let answers = try host.answers(50, "203.0.113.9", in: "web")
            #expect(answers.count == 50 && answers.allSatisfy { $0.contains("198.18.0.2") })
            try host.ip("link del eth1")
            try host.networks.converge(HostWish(networks: [wish], uplinks: uplinks))
            #expect(try host.networks.problems(of: uplinks) == ["two": "this host has no interface eth1"])
            #expect(try host.answered(3, "203.0.113.9", in: "web") == 0)
            #expect(try host.answered(3, "203.0.113.9") == 3, "the other uplink works")
        }
    }

    @Test("a strict path filter is loosened for as long as there are uplinks")
    func filter() throws {
        try PrivateHost.run { host in
            try host.addSeparateProviders()
            for link in ["all", "eth0", "eth1"] { try host.sh("sysctl -qw net.ipv4.conf.\(link).rp_filter=1") }
            let server = try host.serve(nil, port: 81)
            defer { withExtendedLifetime(server) {} }
            let uplinks = try host.separateUplinks()
            try host.ip("route del 192.0.2.0/24 via 10.99.1.1", in: "w")
            #expect(try host.answered(1, "198.18.0.2:81", in: "w") == 0)
            let steps = try host.networks.converge(HostWish(uplinks: uplinks))
            #expect(steps.contains { $0.line.contains("net/ipv4/conf/eth1/rp_filter 1 → 2") }, "\(steps.map(\.line))")
            #expect(try host.answered(5, "198.18.0.2:81", in: "w") == 5)
            try host.networks.converge(HostWish(uplinks: [uplinks[0]]))
            #expect(Sysctl.read("ipv4/conf/eth1/rp_filter") == "1" && Sysctl.read("ipv4/conf/eth0/rp_filter") == "2")
            try host.networks.converge(HostWish())
            #expect(Sysctl.read("ipv4/conf/eth0/rp_filter") == "1")
            #expect(try host.leftovers() == [])
        }
    }

    @Test("rules and routes of others are left alone, also inside the band")
    func others() throws {
        try PrivateHost.run { host in
            try host.addSeparateProviders()
            try host.ip("rule add pref 10002 fwmark 0x20000/0xff0000 lookup 5002")
            try host.ip("route add 198.51.100.0/24 via 192.0.2.1 table 5002")
            try host.networks.converge(HostWish(uplinks: host.separateUplinks()))
            try host.networks.converge(HostWish())
            #expect(try host.ip("rule").contains("10002:"))
            #expect(try host.ip("route show table 5002") == "198.51.100.0/24 via 192.0.2.1 dev eth0 \n")
            #expect(try host.ip("rule").split(separator: "\n").count == 4)
        }
    }

    @Test("damage to routes, rules and table is mended by just the missing steps")
    func damage() throws {
        try PrivateHost.run { host in
            try host.addSeparateProviders()
            let wish = HostWish(uplinks: try host.separateUplinks())
            try host.networks.converge(wish)
            #expect(host.networks.plan(wish, try host.networks.observe()).map(\.line) == [])
            try host.ip("rule del pref 10002")
            try host.ip("route flush table 5001")
            let steps = try host.networks.converge(wish).map(\.line)
            #expect(
                steps == [
                    "+ IPv6 default route to nowhere in table 5001 (uplink one)",
                    "+ default route by 192.0.2.1 in table 5001 (uplink one)",
                    "+ default route to nowhere in table 5001 (uplink one)",
                    "+ rule 10002: mark 0x00020000 → table 5002 (uplink two)",
                ] || steps.count == 3, "\(steps)")
            #expect(host.networks.plan(wish, try host.networks.observe()).map(\.line) == [])
            // A new address moves what is bound to it.
            try host.ip("addr del 198.18.0.2/24 dev eth1")
            try host.ip("addr add 198.18.0.3/24 dev eth1")
            try host.networks.converge(wish)
            #expect(try host.ip("rule").contains("from 198.18.0.3 lookup 5002"))
            #expect(try !host.ip("rule").contains("198.18.0.2"))
            try host.networks.converge(HostWish())
            #expect(try host.leftovers() == [])
        }
    }
}
