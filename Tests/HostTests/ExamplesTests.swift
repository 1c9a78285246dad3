import Glibc
import TestSupport
import Testing
import UrsaBase

/// Every example is run as it stands, on a private host with neighbours, and what its model promises is tried with
/// packets. The neighbours live in namespaces named `w-…`, which Ursa has to leave alone.
@Suite(.enabled(if: Can.guests, "needs root, QEMU, dnsmasq and nft"), .timeLimit(.minutes(20)))
struct ExamplesTests {
    /// A host with a LAN on `eth0`: itself is 192.0.2.2, the router `w-router` 192.0.2.1.
    private struct Example {
        let host: PrivateHost
        let file: String

        init(_ name: String) throws {
            host = try PrivateHost()
            try SharedImages.lend(to: host.home)
            file = Path.parent(Path.parent(Path.parent(#filePath))) + "/examples/\(name)/ursa.yaml"
        }

        /// Puts `interface` of the host on a cable with one or more neighbours, which serve a page that names them.
        func addLAN(_ interface: String, _ address: String, _ neighbours: [(name: String, address: String)]) throws {
            let cable = "c-" + interface
            try host.run("ip", ["netns", "add", "w-" + cable])
            try inside("w-" + cable, "ip", "link", "add", "sw", "type", "bridge")
            try inside("w-" + cable, "ip", "link", "set", "sw", "up")
            try host.run(
                "ip", ["link", "add", interface, "type", "veth", "peer", "name", "p0", "netns", "w-" + cable])
            try inside("w-" + cable, "ip", "link", "set", "p0", "master", "sw", "up")
            try host.run("ip", ["address", "add", address, "dev", interface])
            try host.run("ip", ["link", "set", interface, "up"])
            for (index, neighbour) in neighbours.enumerated() {
                let name = "w-" + neighbour.name
                try host.run("ip", ["netns", "add", name])
                try inside(
                    "w-" + cable, "ip", "link", "add", "p\(index + 1)", "type", "veth", "peer", "name", "eth0", "netns",
                    name)
                try inside("w-" + cable, "ip", "link", "set", "p\(index + 1)", "master", "sw", "up")
                try inside(name, "ip", "address", "add", neighbour.address, "dev", "eth0")
                try inside(name, "ip", "link", "set", "lo", "up")
                try inside(name, "ip", "link", "set", "eth0", "up")
                try serve(name)
            }
        }

        /// The usual LAN.
        func addLAN() throws {
            try addLAN("eth0", "192.0.2.2/24", [("router", "192.0.2.1/24")])
            try host.run("ip", ["route", "add", "default", "via", "192.0.2.1"])
        }

        /// Serves a page on port 80 of a neighbour that says who it is and who asked.
        private func serve(_ name: String) throws {
            let folder = "\(host.folder)/www-\(name)"
            try File.makeDirectory(folder + "/cgi-bin")
            try File.replace(
                folder + "/cgi-bin/who",
                text: """
                    #!/bin/busybox sh
                    /bin/busybox printf 'Content-Type: text/plain\\r\\n\\r\\n'
                    echo "\(name) saw $REMOTE_ADDR"

                    """, mode: 0o755)
            try inside(name, "busybox", "httpd", "-p", "0.0.0.0:80", "-h", folder)
        }

        /// Runs a program at a neighbour's.
        @discardableResult
        func inside(_ name: String, _ words: String...) throws -> String {
            try host.run("ip", ["netns", "exec", name] + words)
        }

        func up() throws { try host.ursaOK("up", "-f", file, "--wait", "--timeout", "120", seconds: 180) }

        /// Takes the example down and looks for what it left.
        func down(sysctls: [String: String]? = nil) throws {
            try host.ursaOK("down", "-f", file, "--rm", "--kill")
            let deadline = Deadline.after(seconds: 10)
            while try !left().isEmpty, !deadline.isPast { pause(milliseconds: 50) }
            #expect(try left() == [])
        }

        private func left() throws -> [String] {
            try host.present().filter { line in
                !line.contains(" eth0@") && !line.contains(" eth1@") && !line.contains("namespace w-")
                    && !line.contains("busybox httpd") && !line.contains("dnsmasq --conf-file=/dev/null")
            }
        }

        /// What a machine's shell says to a command.
        func machine(_ name: String, _ command: String) throws -> String {
            try host.ursaOK(
                "console", name, "--no-replay", "--send", "\(command); echo it-is-''over\\n", "--until", "it-is-over",
                "--timeout", "60")
        }

        /// Whether a page can be fetched from the host or a neighbour, and what it says.
        func fetch(_ url: String, from name: String? = nil) throws -> String? {
            let words = ["curl", "-sS", "-g", "--max-time", "3", url]
            let result =
                try name.map { try host.program("ip", ["netns", "exec", $0] + words).run(seconds: 20) }
                ?? host.program("curl", Array(words.dropFirst())).run(seconds: 20)
            return result.end.isSuccess ? result.text : nil
        }
    }

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

    @Test func user() throws {
        let example = try Example("user")
        try example.addLAN()
        try example.up()
        #expect(try example.fetch("http://127.0.0.1:8080/")?.contains("web") == true)
        #expect(try example.machine("web", "wget -qO- http://192.0.2.1/cgi-bin/who").contains("saw 192.0.2.2"))
        try example.down()
    }

    @Test func zonesAndForwards() throws {
        let example = try Example("zones-and-forwards")
        try example.addLAN("eth0", "192.0.2.2/24", [("router", "192.0.2.1/24"), ("stranger", "192.0.2.9/24")])
        try example.host.run("ip", ["route", "add", "default", "via", "192.0.2.1"])
        try example.up()
        // The table of the example's README.
        #expect(try example.machine("desk", "wget -qO- http://192.0.2.9/cgi-bin/who").contains("saw 192.0.2.2"))
        #expect(try example.machine("desk", "wget -T3 -qO- http://10.80.2.10/").contains("web"))
        #expect(try example.machine("desk", "wget -T3 -qO- http://10.80.2.20/").contains("db"))
        #expect(try example.machine("desk", "nc -w2 10.80.2.20 22 </dev/null").contains("refused"))
        #expect(try example.machine("web", "wget -T3 -qO- http://192.0.2.9/cgi-bin/who").contains("refused"))
        #expect(try example.machine("web", "wget -T3 -qO- http://10.80.1.10/").contains("refused"))
        #expect(try example.machine("web", "wget -T3 -qO- http://10.80.2.20/").contains("db"), "one network")
        #expect(try example.machine("web", "ping -c1 -W2 192.0.2.2").contains("bytes from"))
        #expect(try example.fetch("http://10.80.2.10/")?.contains("web") == true)
        // Forwards, one of them for one neighbour only.
        for neighbour in ["w-router", "w-stranger"] {
            #expect(try example.fetch("http://192.0.2.2:8080/", from: neighbour)?.contains("web") == true)
        }
        #expect(try example.fetch("http://192.0.2.2:8081/", from: "w-router")?.contains("db") == true)
        #expect(try example.fetch("http://192.0.2.2:8081/", from: "w-stranger") == nil)
        #expect(try example.machine("web", "wget -T3 -qO- http://192.0.2.2:8080/").contains("web"), "its own forward")
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
            "web", "for n in $(seq 24); do wget -T3 -qO- http://203.0.113.9/cgi-bin/who; done")
        #expect(seen.contains("w-fast saw 192.0.2.2") && seen.contains("w-slow saw 198.51.100.2"))
        let pinned = try example.machine(
            "post", "for n in $(seq 8); do wget -T3 -qO- http://203.0.113.9/cgi-bin/who; done")
        #expect(pinned.contains("w-slow saw 198.51.100.2") && !pinned.contains("w-fast"))
        #expect(try example.fetch("http://198.51.100.2:8080/", from: "w-slow")?.contains("web") == true)
        #expect(try example.fetch("http://192.0.2.2:8080/", from: "w-fast") == nil)
        // One provider fails: the other one takes over.
        try example.inside("w-fast", "ip", "link", "set", "eth0", "down")
        let deadline = Deadline.after(seconds: 20)
        var all = ""
        repeat {
            all = try example.machine(
                "web", "for n in 1 2 3 4 5 6; do wget -T1 -qO- http://203.0.113.9/cgi-bin/who; done")
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
            try example.machine("test", "wget -T3 -qO- http://203.0.113.9/cgi-bin/who").contains(
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
