import UrsaBase

/// A firewall with two interfaces from the file that a person writes to rules in the kernel, against Shorewall with the
/// same zones, policies and rules; and what the way through a network costs a guest's packets, against a plain bridge.
enum FirewallFamily: Family {
    static let name = "firewall"

    static func measure(_ bench: Bench) throws(UrsaError) -> [Figure] {
        try ip("link add eth0 type veth peer name up0")
        try ip("link set up0 up")
        try ip("link add br0 type bridge")
        try ip("addr add 198.51.100.2/24 dev eth0")
        try ip("link set eth0 up")
        try ip("link set br0 up")
        try ip("addr add 192.168.60.1/24 dev br0")
        try ip("route add default via 198.51.100.1")
        let rules = try rules(bench)
        return try [rules] + path(bench)
    }

    private static func ip(_ words: String) throws(UrsaError) { try run("ip \(words)") }

    @discardableResult
    private static func run(_ words: String) throws(UrsaError) -> String {
        let vector = words.split(separator: " ").map(String.init)
        return try Program(vector[0], Array(vector.dropFirst())).require("run \(words)", seconds: 60)
    }

    private static let spec = """
        uplinks:
          wan: { interface: eth0, gateway: 198.51.100.1 }
        networks:
          loc: { nat: {}, subnet: 192.168.50.0/24, start: always }
        zones:
          net: { uplinks: [wan] }
          kvm: { networks: [loc] }
        policy:
          - { from: kvm, to: net, action: accept }
          - { from: kvm, to: host, action: accept }
          - { from: host, to: any, action: accept }
          - { from: net, to: any, action: drop, log: info }
          - { from: any, to: any, action: reject, log: info }
        rules:
          - { from: kvm, to: host, proto: udp, ports: [53], action: accept }
          - { from: kvm, to: host, proto: tcp, ports: [22, 53], action: accept }
          - { from: kvm, to: host, proto: icmp, action: accept }
          - { from: net, to: host, proto: icmp, action: drop }
          - { from: net, to: kvm, proto: tcp, ports: [80, 2222], action: accept }

        """

    /// From the spec to loaded rules. On both sides the links are there. Ours is given another firewall each time,
    /// which replaces the table whole; the peer's rules are cleared before.
    private static func rules(_ bench: Bench) throws(UrsaError) -> Figure {
        let shorewall = try Shorewall(scratch: bench.scratch)
        let file = try bench.spec("two-interface", spec)
        try bench.ursa("up", "-f", file)
        var level = "info"
        func ours() throws(UrsaError) -> Double {
            level = level == "info" ? "notice" : "info"
            try File.replace(file, text: spec.replacing("log: info", with: "log: \(level)"))
            let time = try milliseconds { () throws(UrsaError) in try bench.ursa("up", "-f", file) }
            let rules = try run("nft list ruleset")
            // nft leaves out the level that is the usual one, which is none of these two.
            guard rules.contains("chain net.kvm"), rules.contains("level \(level)"), rules.contains("masquerade") else {
                throw UrsaError(.bug, "`ursa up` left no rules of its zones")
            }
            return time
        }
        func peer() throws(UrsaError) -> Double {
            let time = try milliseconds { () throws(UrsaError) in try shorewall.start() }
            guard try run("iptables -S").contains("-A net-loc") else {
                throw UrsaError(.bug, "`shorewall start` left no rules of its zones")
            }
            try shorewall.clear()
            return time
        }
        bench.note("firewall: a first run of each, not counted")
        _ = try (ours(), peer())
        let times = try bench.alternate(ours: ours, peer: peer)
        try bench.ursa("down", "-f", file)
        return Figure(
            name: "firewall.two-interface",
            meaning: "`ursa up` of zones, policies and rules over links that are there; `shorewall start` of the same",
            ours: times.ours, peer: times.peer, unit: "ms", goal: .ratio(0.05))
    }

    /// A guest's packets to the host: through the network's namespace and stem, and over a bridge of the host.
    private static func path(_ bench: Bench) throws(UrsaError) -> [Figure] {
        let file = try bench.spec("path", "networks:\n  lab: { nat: {}, subnet: 10.77.1.0/24, start: always }\n")
        try bench.ursa("up", "-f", file)
        let namespace = File.list("/run/netns").first { $0.hasSuffix("lab") }
        try guest("ours", bridge: "br0", namespace: namespace, address: "10.77.1.10/24")
        try ip("-n ours route add default via 10.77.1.1")
        try guest("plain", bridge: "br0", namespace: nil, address: "192.168.60.10/24")
        let servers = try ["10.77.1.254", "192.168.60.1"].map { (address: String) throws(UrsaError) -> Int32 in
            var program = Program("iperf3", ["-s", "-B", address, "--logfile", "/dev/null"])
            program.diesWithParent = true
            return try program.start().pid
        }
        let script = "\(bench.scratch)/echo.py"
        try File.replace(script, text: echo)
        var echoServer = Program("python3", [script])
        echoServer.diesWithParent = true
        let echoing = try echoServer.start().pid
        defer { for pid in servers + [echoing] { _ = try? Program("kill", ["\(pid)"]).run(seconds: 5) } }
        pause(milliseconds: 300)
        func transfer(_ guest: String, _ address: String) throws(UrsaError) -> Double {
            try milliseconds { () throws(UrsaError) in
                try run("ip netns exec \(guest) iperf3 -c \(address) -n 4G")
            }
        }
        func roundTrip(_ guest: String, _ address: String) throws(UrsaError) -> Double {
            let text = try run("ip netns exec \(guest) python3 \(script) \(address)")
            guard let microseconds = Double(text.trimmed) else {
                throw UrsaError(.io, "no round trip in: \(text)")
            }
            return microseconds
        }
        _ = try (transfer("ours", "10.77.1.254"), transfer("plain", "192.168.60.1"))
        let transfers = try bench.alternate(
            ours: { () throws(UrsaError) in try transfer("ours", "10.77.1.254") },
            peer: { () throws(UrsaError) in try transfer("plain", "192.168.60.1") })
        let trips = try bench.alternate(
            ours: { () throws(UrsaError) in try roundTrip("ours", "10.77.1.254") },
            peer: { () throws(UrsaError) in try roundTrip("plain", "192.168.60.1") })
        return [
            Figure(
                name: "firewall.transfer",
                meaning: "4 GiB by TCP from a guest's port to the host through a NAT network; over a plain bridge",
                ours: transfers.ours, peer: transfers.peer, unit: "ms", goal: .ratio(1.1)),
            Figure(
                name: "firewall.round-trip",
                meaning: "one byte there and back by TCP on the same ways, the median of many",
                ours: trips.ours, peer: trips.peer, unit: "µs", goal: .ratio(1.1)),
        ]
    }

    /// Answers every byte on port 7777; given an address, asks there and prints the median in microseconds.
    private static let echo = """
        import socket, sys, time
        if len(sys.argv) == 1:
            listener = socket.socket()
            listener.bind(("0.0.0.0", 7777))
            listener.listen(5)
            while True:
                peer, _ = listener.accept()
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while byte := peer.recv(64):
                    peer.send(byte)
        peer = socket.create_connection((sys.argv[1], 7777))
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        times = []
        for _ in range(20000):
            start = time.perf_counter_ns()
            peer.send(b"x")
            peer.recv(64)
            times.append(time.perf_counter_ns() - start)
        print(sorted(times)[10000] / 1000)

        """

    /// A namespace as a guest: a card whose other end is a port of a bridge.
    private static func guest(
        _ name: String, bridge: String, namespace: String?, address: String
    ) throws(UrsaError) {
        try ip("netns add \(name)")
        let inside = namespace.map { "-n \($0) " } ?? ""
        try ip("link add eth0 netns \(name) type veth peer name v-\(name)" + (namespace.map { " netns \($0)" } ?? ""))
        try ip("\(inside)link set dev v-\(name) master \(bridge) up")
        try ip("-n \(name) addr add \(address) dev eth0")
        try ip("-n \(name) link set eth0 up")
    }
}
