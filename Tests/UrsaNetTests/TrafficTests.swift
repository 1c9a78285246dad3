import Glibc
import Testing
import UrsaBase

@testable import UrsaNet

@Suite("packets on a NAT network", .enabled(if: PrivateHost.isPossible, "needs root for network namespaces"))
struct TrafficTests {
    @Test("guests get their addresses and names by DHCP, strangers get none")
    func dhcp() throws {
        try PrivateHost.run { host in
            let wish = try labWish()
            try host.networks.converge([wish])
            try host.addGuest("web", on: "lab", mac: "52:54:00:00:00:01")
            let before = host.networks.dhcpState(network: "lab", mac: wish.members[0].mac)
            #expect(before == (false, false))
            let given = try host.dhcp("web")
            for line in [
                "ip=10.77.0.10", "router=10.77.0.1", "dns=10.77.0.1", "mtu=1500", "domain=lab.ursa.internal",
                "hostname=web",
            ] {
                #expect(given.contains(line + "\n"), "\(line) is missing")
            }
            let after = host.networks.dhcpState(network: "lab", mac: wish.members[0].mac)
            #expect(after == (true, true))
            try host.addGuest("stranger", on: "lab", mac: "52:54:00:00:00:99")
            let refused = try host.attempt(
                "busybox udhcpc -i eth0 -n -q -f -t 2 -T 1 -s /bin/true", in: "stranger")
            #expect(!refused.end.isSuccess)
        }
    }

    @Test("names resolve both ways for guests and host")
    func names() throws {
        try PrivateHost.run { host in
            try host.networks.converge([labWish()])
            try host.addLabGuests()
            for name in ["db", "db.lab.ursa.internal"] {
                let answer = try host.sh("busybox nslookup \(name) 10.77.0.1", in: "web")
                #expect(answer.contains("10.77.0.11"))
            }
            #expect(
                try host.sh("busybox nslookup -type=aaaa db.lab.ursa.internal 10.77.0.1", in: "web").contains(
                    "fd77:1:2:3:"))
            #expect(try host.sh("busybox nslookup 10.77.0.11 10.77.0.1", in: "web").contains("db.lab.ursa.internal"))
            #expect(
                try host.sh("busybox nslookup host.ursa.internal 10.77.0.1", in: "web").contains("10.77.0.254"))
            // Names of the domain that nobody has are answered here and not asked outside.
            let none = try host.attempt("busybox nslookup nobody.lab.ursa.internal 10.77.0.1", in: "web")
            #expect(none.text.contains("NXDOMAIN") || none.errors.contains("NXDOMAIN"))
            #expect(
                host.networks.resolves(network: "lab", name: "web.lab.ursa.internal", seconds: 2)?.description
                    == "10.77.0.10")
            #expect(host.networks.resolves(network: "lab", name: "nobody", seconds: 0.3) == nil)
            #expect(
                try File.readText(host.home.hostsFile)
                    == """
                    127.0.0.1 localhost
                    # ursa 0a1b2c3d begin
                    10.77.0.11 db.lab.ursa.internal db
                    fd77:1:2:3:5054:ff:fe00:2 db.lab.ursa.internal db
                    10.77.0.10 web.lab.ursa.internal web
                    fd77:1:2:3:5054:ff:fe00:1 web.lab.ursa.internal web
                    # ursa 0a1b2c3d end

                    """)
        }
    }

    @Test("guests reach host, each other and outside, masqueraded; outside reaches only published ports")
    func reach() throws {
        try PrivateHost.run { host in
            try host.addNeighbour()
            var wish = try labWish()
            wish.ports = [port(8080, of: wish, 0), port(5353, of: wish, 1, to: 53, udp: true)]
            try host.networks.converge([wish])
            try host.addLabGuests()
            let servers = [
                try host.serve("web", port: 80), try host.serve("db", port: 80), try host.serve("w", port: 80),
                try host.serve(nil, port: 81),
            ]
            defer { withExtendedLifetime(servers) {} }
            // Guest to guest, host, outside.
            #expect(try host.fetch("10.77.0.11", in: "web")?.contains("10.77.0.10") == true)
            #expect(try host.fetch("10.77.0.254:81", in: "web") != nil)
            #expect(try host.fetch("192.0.2.9", in: "web")?.contains("192.0.2.2") == true)
            // Host to guest, seen as the host's own address in the subnet.
            #expect(try host.fetch("10.77.0.10")?.contains("10.77.0.254") == true)
            // Published: from host by every address of its own, from the LAN, from the neighbours (routeback).
            for address in ["127.0.0.1", "192.0.2.2", "10.77.0.254"] {
                #expect(try host.fetch("\(address):8080")?.hasPrefix("web") == true, "\(address)")
            }
            let fromLAN = try host.fetch("192.0.2.2:8080", in: "w")
            #expect(fromLAN?.hasPrefix("web") == true && fromLAN?.contains("192.0.2.9") == true)
            #expect(try host.fetch("192.0.2.2:8080", in: "db")?.hasPrefix("web") == true)
            #expect(try host.fetch("192.0.2.2:8080", in: "web")?.hasPrefix("web") == true)
            #expect(try host.fetch("10.77.0.254:8080", in: "db")?.hasPrefix("web") == true)
            // [::1] is refused at once, so that clients go on to 127.0.0.1.
            #expect(try host.fetch("localhost:8080")?.hasPrefix("web") == true)
            #expect(try host.attempt("curl -s -g --max-time 2 http://[::1]:8080/").end == .exited(7))
            // Not published: the LAN can't get in, even with a route.
            try host.ip("route add 10.77.0.0/24 via 192.0.2.2", in: "w")
            #expect(try host.fetch("10.77.0.10", in: "w") == nil)
            #expect(host.networks.accepts(address: try required(IPv4Address("10.77.0.10")), port: 80, seconds: 2))
            #expect(!host.networks.accepts(address: try required(IPv4Address("10.77.0.10")), port: 82, seconds: 0.2))
        }
    }

    @Test("IPv6: SLAAC, masquerade, published ports, host and neighbours")
    func reach6() throws {
        try PrivateHost.run { host in
            try host.addNeighbour()
            var wish = try labWish()
            wish.ports = [port(8080, of: wish, 0)]
            try host.networks.converge([wish])
            try host.addLabGuests()
            let address = "fd77:1:2:3:5054:ff:fe00:1"
            let deadline = Deadline.after(seconds: 10)
            while try !host.ip("-6 addr show dev eth0", in: "web").contains(address)
                || !host.ip("-6 addr show dev eth0", in: "db").contains("fe00:2")
                || !host.ip("-6 route", in: "db").contains("default")
            {
                try #require(!deadline.isPast, "no router advertisement arrived")
                pause(milliseconds: 20)
            }
            let servers = [
                try host.serve("web", port: 80), try host.serve("w", port: 80),
                try host.serve(nil, port: 81),
            ]
            defer { withExtendedLifetime(servers) {} }
            #expect(try host.fetch("[\(address)]", in: "db") != nil)
            #expect(try host.fetch("[\(address)]")?.contains("fd77:1:2:3::ffff") == true)
            #expect(try host.fetch("[fd77:1:2:3::ffff]:81", in: "web") != nil)
            #expect(try host.fetch("[2001:db8::9]", in: "web")?.contains("2001:db8::2") == true)
            #expect(try host.fetch("[2001:db8::2]:8080")?.hasPrefix("web") == true)
            #expect(try host.fetch("[2001:db8::2]:8080", in: "w")?.contains("2001:db8::9") == true)
            #expect(try host.fetch("[2001:db8::2]:8080", in: "db")?.hasPrefix("web") == true)
            #expect(try host.fetch("[2001:db8::2]:8080", in: "web")?.hasPrefix("web") == true)
            try host.ip("route add fd77:1:2:3::/64 via 2001:db8::2", in: "w")
            #expect(try host.fetch("[\(address)]", in: "w") == nil)
        }
    }
}
