import Glibc
import TestSupport
import Testing
import UrsaBase

/// Every example is run as it stands, and what its model promises is tried with packets.
@Suite(.enabled(if: Can.guests, "needs root, QEMU, dnsmasq and nft"), .timeLimit(.minutes(120)))
struct ExamplesTests {
    @Test func nat() throws {
        let example = try Example("nat")
        try example.addLAN()
        try example.up()
        // Outside by the host's address, in by the published port, by name from the host and from a neighbour.
        #expect(try example.machine("web", "wget -qO- http://192.0.2.1/cgi-bin/who").contains("saw 192.0.2.2"))
        #expect(try example.machine("web", "wget -qO- http://db/").contains("db"))
        #expect(try example.fetch("http://192.0.2.2:8080/", from: "w-router")?.contains("web") == true)
        #expect(try example.fetch("http://127.0.0.1:8080/")?.contains("web") == true)
        #expect(try example.fetch("http://db.lab.ursa.internal/")?.contains("db") == true)
        try example.down()
    }

    @Test func user() throws {
        let example = try Example("user")
        try example.addLAN()
        try example.up()
        #expect(try example.fetch("http://127.0.0.1:8080/")?.contains("web") == true)
        #expect(try example.machine("web", "wget -qO- http://192.0.2.1/cgi-bin/who").contains("saw 192.0.2.2"))
        try example.down()
    }

    @Test func isolated() throws {
        let example = try Example("isolated")
        try example.addLAN()
        try example.up()
        #expect(try example.machine("one", "wget -qO- http://two/").contains("two"))
        let out = try example.machine("one", "ping -c1 -W2 192.0.2.1; ping -c1 -W2 192.0.2.2")
        #expect(!out.contains("bytes from"))
        try example.down()
    }

    @Test func routed() throws {
        let example = try Example("routed")
        try example.addLAN()
        try example.inside("w-router", "ip", "route", "add", "10.78.0.0/24", "via", "192.0.2.2")
        try example.up()
        // As itself, by the router's route; and by proxy without one.
        #expect(try example.machine("app", "wget -qO- http://192.0.2.1/cgi-bin/who").contains("saw 10.78.0.10"))
        #expect(try example.fetch("http://10.78.0.10/", from: "w-router")?.contains("app") == true)
        #expect(try example.machine("web", "wget -qO- http://192.0.2.1/cgi-bin/who").contains("saw 192.0.2.66"))
        #expect(try example.fetch("http://192.0.2.66/", from: "w-router")?.contains("web") == true)
        try example.down()
        #expect(try !example.host.run("ip", ["neigh", "show", "proxy"]).contains("192.0.2.66"))
    }

    @Test func bridged() throws {
        let example = try Example("bridged")
        try example.addLAN()
        // The LAN's own router gives out addresses.
        try example.inside(
            "w-router", "dnsmasq", "--conf-file=/dev/null", "--port=0", "--interface=eth0", "--bind-interfaces",
            "--dhcp-range=192.0.2.100,192.0.2.120,1h", "--dhcp-leasefile=\(example.host.folder)/lan.leases",
            "--pid-file=\(example.host.folder)/lan.pid")
        let before = try example.host.run("ip", ["-4", "address", "show", "dev", "eth0"])
        let routes = try example.host.run("ip", ["route"])
        try example.up()
        #expect(try example.fetch("http://192.0.2.1/cgi-bin/who") != nil, "the host is still on the LAN")
        let seen = try example.machine("web", "wget -qO- http://192.0.2.1/cgi-bin/who")
        let address = try #require(seen.firstMatch(of: /saw (192\.0\.2\.1[0-9][0-9])/)).1
        #expect(try example.fetch("http://\(address)/", from: "w-router")?.contains("web") == true)
        #expect(try example.fetch("http://\(address)/")?.contains("web") == true)
        try example.down()
        #expect(try example.host.run("ip", ["-4", "address", "show", "dev", "eth0"]) == before)
        #expect(try example.host.run("ip", ["route"]) == routes)
    }

    @Test func lan() throws {
        let example = try Example("lan")
        try example.addLAN()
        try example.up()
        #expect(try example.machine("web", "wget -qO- http://192.0.2.1/cgi-bin/who").contains("saw 192.0.2.60"))
        #expect(try example.fetch("http://192.0.2.60/", from: "w-router")?.contains("web") == true)
        #expect(try example.fetch("http://192.0.2.60/")?.contains("web") == true)
        try example.down()
        #expect(try !example.host.run("ip", ["neigh", "show", "proxy"]).contains("192.0.2.60"))
    }
}
