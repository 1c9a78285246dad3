import Glibc
import UrsaBase

@testable import UrsaNet

extension PrivateHost {
    /// Two providers on one interface: the host is 172.20.1.130 on `eth0`, on a switch with the gateways `a`
    /// (172.20.1.1, the host's own default) and `b` (172.20.1.254). Behind each is a world of its own that the other
    /// gateway can't reach: `wa` (198.51.100.9), `wb` (203.0.113.9).
    func addSharedProviders() throws {
        try ip("netns add sw")
        try ip("link add br0 type bridge forward_delay 0", in: "sw")
        try ip("link set br0 up", in: "sw")
        try ip("link add eth0 type veth peer name host netns sw")
        try ip("link set host master br0 up", in: "sw")
        try ip("addr add 172.20.1.130/24 dev eth0")
        try ip("link set eth0 up")
        for (name, address, world) in [("a", "172.20.1.1", "198.51.100"), ("b", "172.20.1.254", "203.0.113")] {
            try addGateway(name, world: world)
            try ip("link add eth0 netns \(name) type veth peer name port-\(name) netns sw")
            try ip("link set port-\(name) master br0 up", in: "sw")
            try ip("addr add \(address)/24 dev eth0", in: name)
            try ip("link set eth0 up", in: name)
        }
        try ip("route add default via 172.20.1.1")
    }

    /// Two providers on interfaces of their own: `eth0` with 192.0.2.2 and the gateway `a` (192.0.2.1, the host's own
    /// default), `eth1` with 198.18.0.2 and `b` (198.18.0.1). Both lead to the world `w`, 203.0.113.9; the worlds
    /// 10.99.1.9 and 10.99.2.9 answer only by `a` and only by `b`.
    func addSeparateProviders() throws {
        try ip("netns add w")
        try ip("link set lo up", in: "w")
        try ip("addr add 203.0.113.9/32 dev lo", in: "w")
        for (name, link, host, gateway, middle) in [
            ("a", "eth0", "192.0.2.2", "192.0.2.1", "10.99.1"), ("b", "eth1", "198.18.0.2", "198.18.0.1", "10.99.2"),
        ] {
            try ip("netns add \(name)")
            try ip("link set lo up", in: name)
            try sh("sysctl -qw net.ipv4.ip_forward=1", in: name)
            try ip("link add \(link) type veth peer name eth0 netns \(name)")
            try ip("addr add \(host)/24 dev \(link)")
            try ip("link set \(link) up")
            try ip("addr add \(gateway)/24 dev eth0", in: name)
            try ip("link set eth0 up", in: name)
            try ip("link add by-\(name) netns w type veth peer name eth1 netns \(name)")
            try ip("addr add \(middle).1/24 dev eth1", in: name)
            try ip("link set eth1 up", in: name)
            try ip("addr add \(middle).9/24 dev by-\(name)", in: "w")
            try ip("link set by-\(name) up", in: "w")
            try ip("route add default via \(middle).9", in: name)
            let prefix = host.split(separator: ".").dropLast().joined(separator: ".") + ".0/24"
            try ip("route add \(prefix) via \(middle).1", in: "w")
        }
        try ip("route add default via 192.0.2.1")
    }

    private func addGateway(_ name: String, world: String) throws {
        try ip("netns add \(name)")
        try ip("link set lo up", in: name)
        try sh("sysctl -qw net.ipv4.ip_forward=1", in: name)
        try ip("netns add w\(name)")
        try ip("link set lo up", in: "w\(name)")
        try ip("link add eth1 netns \(name) type veth peer name eth0 netns w\(name)")
        try ip("addr add \(world).1/24 dev eth1", in: name)
        try ip("link set eth1 up", in: name)
        try ip("addr add \(world).9/24 dev eth0", in: "w\(name)")
        try ip("link set eth0 up", in: "w\(name)")
        try ip("route add default via \(world).1", in: "w\(name)")
    }

    /// The laptop's two uplinks on one interface.
    func sharedUplinks() throws -> [UplinkWish] {
        [
            UplinkWish(
                name: "wired", number: 1, interface: "eth0", gateway: try required(IPv4Address("172.20.1.1"))),
            UplinkWish(
                name: "backup", number: 2, interface: "eth0", gateway: try required(IPv4Address("172.20.1.254")),
                isFallback: true),
        ]
    }

    /// Two uplinks on interfaces of their own.
    func separateUplinks(weights: (Int, Int) = (1, 1)) throws -> [UplinkWish] {
        [
            UplinkWish(name: "one", number: 1, interface: "eth0", weight: weights.0),
            UplinkWish(
                name: "two", number: 2, interface: "eth1", gateway: try required(IPv4Address("198.18.0.1")),
                weight: weights.1),
        ]
    }

    /// How many of `count` requests, each on a connection of its own, are answered.
    func answered(_ count: Int, _ url: String, in namespace: String? = nil) throws -> Int {
        try answers(count, url, in: namespace).count
    }

    /// The answers to `count` requests, each on a connection of its own.
    func answers(_ count: Int, _ url: String, in namespace: String? = nil) throws -> [String] {
        try attempt(
            "curl -s --no-keepalive -Z --parallel-max 10 --max-time 20 --connect-timeout 2 http://\(url)/cgi-bin/who?[1-\(count)]",
            in: namespace, seconds: 60
        ).text.split(separator: "\n").map(String.init)
    }
}
