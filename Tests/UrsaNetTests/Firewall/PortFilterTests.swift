import Testing
import UrsaBase

@testable import UrsaNet

@Suite("filters of guests' ports", .enabled(if: PrivateHost.isPossible, "needs root for network namespaces"))
struct PortFilterTests {
    private static func wish(_ change: (inout PortOptions) -> Void) throws -> NetworkWish {
        var wish = try labWish()
        wish.members[0].tap = "web"
        wish.members[1].tap = "db"
        change(&wish.members[0].port)
        return wish
    }

    @Test("a guarded port lets a guest speak from its own addresses only")
    func guarded() throws {
        try PrivateHost.run { host in
            let wish = try Self.wish { $0.isGuarded = true }
            let lines = try host.networks.converge([wish]).map(\.line)
            #expect(lines.contains("+ filters of ports in ursa-lab"))
            // DHCP, duplicate address detection and router advertisements pass.
            try host.addLabGuests()
            try host.sh("sysctl -qw net.ipv6.conf.eth0.accept_dad=1", in: "web")
            func pings(_ words: String, in guest: String = "web") throws -> Bool {
                try host.attempt("ping -c 1 -W 1 \(words)", in: guest).end.isSuccess
            }
            #expect(try pings("10.77.0.1") && pings("10.77.0.11"))
            let six = try required(wish.members[0].address6)
            let deadline = Deadline.after(seconds: 8)
            while try !host.ip("-6 addr show dev eth0 -tentative", in: "web").contains("\(six)"), !deadline.isPast {
                pause(milliseconds: 50)
            }
            // Neighbour discovery on a busy machine may take longer than one question waits.
            func reaches(_ words: String) throws -> Bool {
                let deadline = Deadline.after(seconds: 8)
                while try !pings(words) { if deadline.isPast { return false } }
                return true
            }
            #expect(try reaches("fd77:1:2:3::1") && reaches("-I \(six) fd77:1:2:3::1"))
            #expect(try pings("fe80::1%eth0"))
            // Another's address, another's Ethernet address, another's answer to ARP.
            try host.ip("addr add 10.77.0.50/24 dev eth0", in: "web")
            try host.ip("addr add fd77:1:2:3::50/64 dev eth0 nodad", in: "web")
            #expect(try !pings("-I 10.77.0.50 10.77.0.1") && !pings("-I fd77:1:2:3::50 fd77:1:2:3::1"))
            _ = try host.attempt("busybox arping -U -c 2 -w 1 -s 10.77.0.11 -I eth0 10.77.0.1", in: "web")
            #expect(try !host.ip("neigh show 10.77.0.11", in: "ursa-lab").contains("52:54:00:00:00:01"))
            _ = try host.attempt("busybox arping -U -c 2 -w 1 -s 10.77.0.11 -I eth0 10.77.0.1", in: "db")
            #expect(try pings("-I 10.77.0.10 10.77.0.1"))
            try host.ip("link set eth0 address 52:54:00:00:00:77", in: "web")
            #expect(try !pings("-I 10.77.0.10 10.77.0.1"))
            // The neighbour has no such guard.
            try host.ip("addr add 10.77.0.51/24 dev eth0", in: "db")
            #expect(try pings("-I 10.77.0.51 10.77.0.1", in: "db"))
            // Damage is mended; without the option the table goes.
            #expect(host.networks.plan([wish], try host.networks.observe()).map(\.line) == [])
            try host.sh("nft delete table bridge ursa", in: "ursa-lab")
            let mended = try host.networks.converge([wish]).map(\.line)
            #expect(mended == ["+ filters of ports in ursa-lab"])
            let free = try Self.wish { _ in }
            #expect(try host.networks.converge([free]).map(\.line) == ["- filters of ports in ursa-lab"])
            #expect(try host.sh("nft list tables bridge", in: "ursa-lab").isEmpty)
        }
    }

    @Test("a guest sends and receives no faster than agreed")
    func rates() throws {
        try PrivateHost.run { host in
            // Two megabytes a second, and half of it.
            let wish = try Self.wish {
                $0.sendRate = 2_000_000
                $0.receiveRate = 1_000_000
            }
            try host.networks.converge([wish])
            try host.addLabGuests()
            let servers = [try host.serve("web", port: 80), try host.serve("db", port: 80)]
            defer { withExtendedLifetime(servers) {} }
            for name in ["web", "db"] {
                try File.replace("\(host.folder)/www-\(name)/big", text: String(repeating: "x", count: 5_000_000))
            }
            func seconds(_ from: String, in guest: String) throws -> Double {
                let url = "http://\(from)/big"
                let text = try host.sh("curl -s -o /dev/null --max-time 30 -w %{time_total} \(url)", in: guest)
                return Double(text.trimmed) ?? 0
            }
            // A second's worth may come at once, and a little more; what is lost costs some of the rest.
            let received = try seconds("10.77.0.11", in: "web")
            let sent = try seconds("10.77.0.10", in: "db")
            #expect((3.7...10).contains(received), "5 MB at 1 MB/s in \(received) s")
            #expect((1.3...5).contains(sent), "5 MB at 2 MB/s in \(sent) s")
        }
    }
}
