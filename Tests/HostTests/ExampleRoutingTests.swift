import Glibc
import TestSupport
import Testing
import UrsaBase

/// The examples of zones and of several uplinks, each run as it stands and tried with packets.
@Suite(.enabled(if: Can.guests, "needs root, QEMU, dnsmasq and nft"), .timeLimit(.minutes(120)))
struct ExampleRoutingTests {
    @Test func zonesAndForwards() throws {
        let example = try Example("zones-and-forwards")
        try example.addLAN("eth0", "192.0.2.2/24", [("router", "192.0.2.1/24"), ("stranger", "192.0.2.9/24")])
        try example.host.run("ip", ["route", "add", "default", "via", "192.0.2.1"])
        try example.up()
        // The table of the example's README.
        #expect(try example.machine("desk", "wget -qO- http://192.0.2.9/cgi-bin/who").contains("saw 192.0.2.2"))
        #expect(try example.machine("desk", "timeout 3 wget -qO- http://10.80.2.10/").contains("web"))
        #expect(try example.machine("desk", "timeout 3 wget -qO- http://10.80.2.20/").contains("db"))
        #expect(try example.machine("desk", "nc -w2 10.80.2.20 22 </dev/null").contains("refused"))
        #expect(try example.machine("web", "timeout 3 wget -qO- http://192.0.2.9/cgi-bin/who").contains("refused"))
        #expect(try example.machine("web", "timeout 3 wget -qO- http://10.80.1.10/").contains("refused"))
        #expect(try example.machine("web", "timeout 3 wget -qO- http://10.80.2.20/").contains("db"), "one network")
        #expect(try example.machine("web", "ping -c1 -W2 192.0.2.2").contains("bytes from"))
        #expect(try example.fetch("http://10.80.2.10/")?.contains("web") == true)
        // Forwards, one of them for one neighbour only.
        for neighbour in ["w-router", "w-stranger"] {
            #expect(try example.fetch("http://192.0.2.2:8080/", from: neighbour)?.contains("web") == true)
        }
        #expect(try example.fetch("http://192.0.2.2:8081/", from: "w-router")?.contains("db") == true)
        #expect(try example.fetch("http://192.0.2.2:8081/", from: "w-stranger") == nil)
        #expect(
            try example.machine("web", "timeout 3 wget -qO- http://192.0.2.2:8080/").contains("web"), "its own forward")
        try example.down()
    }

    @Test func twoUplinks() throws {
        let example = try Example("two-uplinks")
        try example.addLAN("eth0", "192.0.2.2/24", [("fast", "192.0.2.1/24")])
        try example.addLAN("eth1", "198.51.100.2/24", [("slow", "198.51.100.1/24")])
        try example.host.run("ip", ["route", "add", "default", "via", "192.0.2.1"])
        // Both reach one address of the Internet.
        for name in ["w-fast", "w-slow"] {
            try example.inside(name, "ip", "address", "add", "203.0.113.9/32", "dev", "lo")
        }
        try example.up()
        let seen = try example.machine(
            "web", "for n in $(seq 24); do timeout 3 wget -qO- http://203.0.113.9/cgi-bin/who; done")
        #expect(seen.contains("w-fast saw 192.0.2.2") && seen.contains("w-slow saw 198.51.100.2"))
        let pinned = try example.machine(
            "post", "for n in $(seq 8); do timeout 3 wget -qO- http://203.0.113.9/cgi-bin/who; done")
        #expect(pinned.contains("w-slow saw 198.51.100.2") && !pinned.contains("w-fast"))
        #expect(try example.fetch("http://198.51.100.2:8080/", from: "w-slow")?.contains("web") == true)
        #expect(try example.fetch("http://192.0.2.2:8080/", from: "w-fast") == nil)
        // One provider fails: the other one takes over.
        try example.inside("w-fast", "ip", "link", "set", "eth0", "down")
        let deadline = Deadline.after(seconds: 20)
        var all = ""
        repeat {
            all = try example.machine(
                "web", "for n in 1 2 3 4 5 6; do timeout 3 wget -qO- http://203.0.113.9/cgi-bin/who; done")
        } while all.ranges(of: "w-slow").count < 6 && !deadline.isPast
        #expect(all.ranges(of: "w-slow").count == 6)
        try example.down()
        #expect(try !example.host.run("ip", ["rule"]).contains("fwmark"))
    }

    @Test func laptop() throws {
        let example = try Example("laptop")
        try example.addLAN(
            "eth0", "172.20.1.130/24", [("router", "172.20.1.1/24"), ("firewall", "172.20.1.254/24")])
        try example.host.run("ip", ["route", "add", "default", "via", "172.20.1.1"])
        for name in ["w-router", "w-firewall"] {
            // Somebody far behind each provider.
            try example.inside(name, "ip", "address", "add", "203.0.113.9/32", "dev", "lo")
        }
        try example.up()
        #expect(
            try example.machine("test", "timeout 3 wget -qO- http://203.0.113.9/cgi-bin/who").contains(
                "w-router saw 172.20.1.130"))
        #expect(try example.machine("test", "wget -qO- http://lists/").contains("lists"))
        #expect(try example.fetch("http://wiki.kvm.ursa.internal/")?.contains("wiki") == true)
        // From far away, through each provider: the answer has to go back the same way.
        for name in ["w-router", "w-firewall"] {
            let words = ["curl", "-sS", "--max-time", "5", "--interface", "203.0.113.9", "http://172.20.1.130:8080/"]
            let result = try example.host.program("ip", ["netns", "exec", name] + words).run(seconds: 20)
            #expect(result.text.contains("lists"), "by \(name): \(result.errors)")
        }
        try example.down()
    }
}
