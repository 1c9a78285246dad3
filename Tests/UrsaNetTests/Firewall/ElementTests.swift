import Testing
import UrsaBase
import UrsaFirewall

@testable import UrsaNet

@Suite("changes of the host's table", .enabled(if: PrivateHost.isPossible, "needs root for network namespaces"))
struct ElementTests {
    private static func wish(ports: Int) throws -> HostWish {
        var wish = HostWish(networks: [try labWish()])
        wish.networks[0].ports = (0..<ports).map { port(UInt16(10_000 + $0), of: wish.networks[0], $0 % 2) }
        return wish
    }

    @Test("one more published port changes its elements and nothing else")
    func elements() throws {
        try PrivateHost.run { host in
            let wish = try Self.wish(ports: 20)
            try host.networks.converge(wish)
            let handle = try host.sh("nft -a list chain inet ursa published")
            var more = wish
            more.networks[0].ports.append(port(80, of: wish.networks[0], 0))
            more.networks[0].ports[3].guestPort = 8888
            more.networks[0].ports.removeFirst()
            // Two elements each (IPv4 and IPv6): one new, one gone, one gone and new.
            #expect(try host.networks.converge(more).map(\.line) == ["~ table inet ursa: 8 elements"])
            #expect(host.networks.plan(more, try host.networks.observe()).map(\.line) == [])
            #expect(try host.sh("nft -a list chain inet ursa published") == handle)
            let map = try host.sh("nft list map inet ursa every4")
            #expect(map.contains("tcp . 80 : 10.77.0.10 . 80") && !map.contains("tcp . 10000 "))
            #expect(map.contains("tcp . 10003 : 10.77.0.11 . 8888"))
            try host.networks.converge(wish)
            #expect(host.networks.plan(wish, try host.networks.observe()).map(\.line) == [])
        }
    }

    @Test("each change has a stamp, and the former ones go with the next change that takes something out")
    func stamps() throws {
        try PrivateHost.run { host in
            var wish = try Self.wish(ports: 2)
            try host.networks.converge(wish)
            func stamps() throws -> [UInt32] {
                try required(FirewallTable.look(host.home.tableName, counting: true)).stamps.map(\.number).sorted()
            }
            #expect(try stamps() == [1])
            for number: UInt16 in 0..<3 {
                wish.networks[0].ports.append(port(80 + number, of: wish.networks[0], 0))
                #expect(try host.networks.converge(wish).map(\.line) == ["~ table inet ursa: 2 elements"])
            }
            #expect(try stamps() == [1, 2, 3, 4])
            #expect(host.networks.plan(wish, try host.networks.observe()).map(\.line) == [])
            wish.networks[0].ports.removeFirst()
            try host.networks.converge(wish)
            #expect(try stamps() == [5])
            for number: UInt16 in 0..<UInt16(Stamp.limit) + 2 {
                wish.networks[0].ports.append(port(200 + number, of: wish.networks[0], 0))
                try host.networks.converge(wish)
            }
            #expect(try stamps().count <= Stamp.limit)
            #expect(host.networks.plan(wish, try host.networks.observe()).map(\.line) == [])
            #expect(try host.sh("nft list set inet ursa stamp").contains("0x000000"))
        }
    }

    @Test("a table that is replaced is in force when the command comes back")
    func replaced() throws {
        try PrivateHost.run { host in
            var wish = try Self.wish(ports: 1)
            try host.networks.converge(wish)
            for level in [LogLevel.info, .warn, .info, .warn] {
                wish.firewall = Firewall(policies: [Policy(from: "any", to: "any", action: .reject, log: level)])
                try host.networks.converge(wish)
                #expect(host.networks.plan(wish, try host.networks.observe()).map(\.line) == [])
            }
        }
    }

    @Test("a change that was cut short, or a foreign hand in the table, loads the whole again")
    func foreignHand() throws {
        try PrivateHost.run { host in
            let wish = try Self.wish(ports: 3)
            try host.networks.converge(wish)
            let noted = try File.readText(host.home.tableFile)
            var more = wish
            more.networks[0].ports.append(port(80, of: wish.networks[0], 0))
            try host.networks.converge(more)
            // Killed after the kernel's change and before the note of it.
            try File.replace(host.home.tableFile, text: noted)
            #expect(try host.networks.converge(wish).map(\.line).first?.contains("somebody changed it") == true)
            for damage in [
                "delete element inet ursa every4 { tcp . 10001 }", "add element inet ursa stems { \"x\" }",
                "add rule inet ursa forward_in drop", "flush set inet ursa stamp",
                "delete element inet ursa stamp { ::/0 }", "flush chain inet ursa pass",
            ] {
                guard try host.attempt("nft \(damage)").end.isSuccess else { continue }
                let lines = try host.networks.converge(wish).map(\.line)
                #expect(lines.first?.contains("somebody changed it") == true, "\(damage): \(lines)")
                #expect(host.networks.plan(wish, try host.networks.observe()).map(\.line) == [])
            }
        }
    }

    @Test("zones that get another link, address or admin change elements only")
    func zones() throws {
        try PrivateHost.run { host in
            var wish = try Self.wish(ports: 1)
            wish.firewall = Firewall(
                zones: [Zone(name: "kvm", members: [.network("lab")])],
                policies: [Policy(from: "any", to: "any", action: .accept)])
            try host.networks.converge(wish)
            wish.firewall.admins = [try required(AddressPrefix("192.0.2.7")), try required(AddressPrefix("::/0"))]
            #expect(try host.networks.converge(wish).map(\.line) == ["~ table inet ursa: 3 elements"])
            #expect(host.networks.plan(wish, try host.networks.observe()).map(\.line) == [])
            wish.firewall.policies.insert(Policy(from: "kvm", to: "net", action: .drop, log: .info), at: 0)
            #expect(try host.networks.converge(wish).map(\.line).first?.contains("what is wanted changed") == true)
        }
    }

    @Test("every rule of a loud firewall is what nft understands")
    func loud() throws {
        try PrivateHost.run { host in
            var wish = try Self.wish(ports: 1)
            wish.firewall = Firewall(
                zones: [Zone(name: "kvm", members: [.network("lab")])],
                policies: [Policy(from: "any", to: "any", action: .reject, log: .warn)],
                rules: [
                    Rule(
                        from: "net", to: "kvm", transport: .tcp, ports: [22...22], action: .accept, log: .info,
                        limit: RateLimit(count: 10, unit: .minute, burst: 3, isPerSource: true))
                ])
            try host.networks.converge(wish)
            let text = try host.sh("nft list table inet ursa")
            #expect(
                text.contains("log prefix \"ursa net-kvm accept: \"")
                    || text.contains("log prefix \"ursa net-kvm accept: \" level info"))
            #expect(
                text.contains("log prefix \"ursa kvm-host reject: \" level warn")
                    || text.contains("log prefix \"ursa kvm-host reject: \""))
            #expect(text.contains("limit rate 10/minute burst 3 packets"))
            #expect(text.contains("reject with tcp reset") && text.contains("reject with icmpx admin-prohibited"))
            #expect(host.networks.plan(wish, try host.networks.observe()).map(\.line) == [])
        }
    }

    @Test("a limit lets through what it says")
    func limit() throws {
        try PrivateHost.run { host in
            try host.addNeighbour()
            var wish = try Self.wish(ports: 0)
            wish.firewall = Firewall(
                policies: [
                    Policy(from: "net", to: "any", action: .drop), Policy(from: "any", to: "any", action: .accept),
                ],
                rules: [
                    Rule(
                        from: "net", to: "host", transport: .tcp, ports: [81...81], action: .accept,
                        limit: RateLimit(count: 1, unit: .hour, burst: 3, isPerSource: true))
                ])
            try host.networks.converge(wish)
            try host.ip("addr add 192.0.2.10/24 dev eth0", in: "w")
            let server = try host.serve(nil, port: 81)
            defer { withExtendedLifetime(server) {} }
            func fetches(_ source: String) throws -> [Bool] {
                try (0..<5).map { _ in
                    try host.attempt(
                        "curl -s --max-time 0.5 --interface \(source) http://192.0.2.2:81/cgi-bin/who", in: "w"
                    )
                    .end.isSuccess
                }
            }
            #expect(try fetches("192.0.2.9") == [true, true, true, false, false])
            #expect(try fetches("192.0.2.10") == [true, true, true, false, false])
        }
    }
}
