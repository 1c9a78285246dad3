import Glibc
import TestSupport
import UrsaBase

/// Providers, gateways and worlds around a private host, as namespaces.
extension PrivateHost {
    /// Runs `ip` inside, words separated by blanks.
    func ip(_ words: String) throws { try run("ip", words.split(separator: " ").map(String.init)) }

    /// Runs a program in one of the host's namespaces; what it wrote, whatever its end.
    func attempt(_ words: String, in namespace: String? = nil, seconds: Double = 30) throws -> Program.Output {
        var vector = words.split(separator: " ").map(String.init)
        if let namespace { vector = ["ip", "netns", "exec", namespace] + vector }
        return try program(vector[0], Array(vector.dropFirst())).run(seconds: seconds)
    }

    /// Two providers on interfaces of their own: `eth0` (192.0.2.2, gateway `a`, the host's default) and `eth1`
    /// (198.18.0.2, gateway `b`); both lead to the world `w`, which is 203.0.113.9 and 203.0.113.10.
    func addSeparateProviders() throws {
        try ip("netns add w")
        try ip("-n w link set lo up")
        try ip("-n w addr add 203.0.113.9/32 dev lo")
        try ip("-n w addr add 203.0.113.10/32 dev lo")
        for (name, link, own, gateway, middle) in [
            ("a", "eth0", "192.0.2.2", "192.0.2.1", "10.99.1"), ("b", "eth1", "198.18.0.2", "198.18.0.1", "10.99.2"),
        ] {
            try ip("netns add \(name)")
            try ip("-n \(name) link set lo up")
            _ = try attempt("sysctl -qw net.ipv4.ip_forward=1", in: name)
            try ip("link add \(link) type veth peer name eth0 netns \(name)")
            try ip("addr add \(own)/24 dev \(link)")
            try ip("link set \(link) up")
            try ip("-n \(name) addr add \(gateway)/24 dev eth0")
            try ip("-n \(name) link set eth0 up")
            try ip("link add by-\(name) netns w type veth peer name eth1 netns \(name)")
            try ip("-n \(name) addr add \(middle).1/24 dev eth1")
            try ip("-n \(name) link set eth1 up")
            try ip("-n w addr add \(middle).9/24 dev by-\(name)")
            try ip("-n w link set by-\(name) up")
            try ip("-n \(name) route add default via \(middle).9")
            let prefix = own.split(separator: ".").dropLast().joined(separator: ".") + ".0/24"
            try ip("-n w route add \(prefix) via \(middle).1")
        }
        try ip("route add default via 192.0.2.1")
    }

    /// Two providers on one interface: the host is 172.20.1.130 on `eth0`, the gateways are `a` (172.20.1.1, the host's
    /// default) and `b` (172.20.1.254); behind each is a world that the other can't reach, `wa` and `wb`.
    func addSharedProviders() throws {
        try ip("netns add sw")
        try ip("-n sw link add br0 type bridge forward_delay 0")
        try ip("-n sw link set br0 up")
        try ip("link add eth0 type veth peer name host netns sw")
        try ip("-n sw link set host master br0 up")
        try ip("addr add 172.20.1.130/24 dev eth0")
        try ip("link set eth0 up")
        for (name, address, world) in [("a", "172.20.1.1", "198.51.100"), ("b", "172.20.1.254", "203.0.113")] {
            try ip("netns add \(name)")
            try ip("-n \(name) link set lo up")
            _ = try attempt("sysctl -qw net.ipv4.ip_forward=1", in: name)
            try ip("link add eth0 netns \(name) type veth peer name port-\(name) netns sw")
            try ip("-n sw link set port-\(name) master br0 up")
            try ip("-n \(name) addr add \(address)/24 dev eth0")
            try ip("-n \(name) link set eth0 up")
            try ip("netns add w\(name)")
            try ip("-n w\(name) link set lo up")
            try ip("link add eth1 netns \(name) type veth peer name eth0 netns w\(name)")
            try ip("-n \(name) addr add \(world).1/24 dev eth1")
            try ip("-n \(name) link set eth1 up")
            try ip("-n w\(name) addr add \(world).9/24 dev eth0")
            try ip("-n w\(name) link set eth0 up")
            try ip("-n w\(name) route add default via \(world).1")
        }
        try ip("route add default via 172.20.1.1")
    }

    /// Serves a folder with a page that names the asker, and a file of 40 KiB, on a port; ends with the host.
    func serve(_ port: Int, in namespace: String? = nil) throws {
        let page = folder + "/www/cgi-bin"
        if !File.exists(page) {
            try File.makeDirectory(page)
            try File.replace(
                page + "/who",
                text: "#!/bin/busybox sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\necho \"$REMOTE_ADDR\"\n",
                mode: 0o755)
            try File.replace(folder + "/www/large", [UInt8](repeating: 65, count: 40960), mode: 0o644)
        }
        let words = "busybox httpd -p \(port) -h \(folder)/www"
        guard try attempt(words, in: namespace).end.isSuccess else { throw UrsaError(.io, "no server on \(port)") }
    }

    /// The address that a request comes from, as the server saw it; nil without an answer within a second.
    func asker(_ place: String, in namespace: String? = nil) throws -> String? {
        let result = try attempt("curl -s --max-time 1 http://\(place)/cgi-bin/who", in: namespace)
        guard result.end.isSuccess else { return nil }
        // A server for both families tells IPv4 askers as ::ffff:ADDRESS.
        return String(result.text.trimmed.split { "[]".contains($0) }.last?.split(separator: ":").last ?? "")
    }

    /// Writes the spec and returns its path.
    func spec(_ text: String) throws -> String {
        let path = folder + "/ursa.yaml"
        try File.replace(path, text: text, mode: 0o644)
        return path
    }

    /// The process of a role of the watcher.
    func watcher(_ role: String) -> ProcessIdentity? {
        processes().first { pid in
            (File.peek("/proc/\(pid)/cmdline") ?? "").contains("--\(role)\0/run")
        }.flatMap { ProcessIdentity(running: $0) }
    }

    /// Takes the namespaces and links of the test away, so that what is left is Ursa's.
    func removeProviders() throws {
        for name in ["w", "a", "b", "wa", "wb", "sw"] { _ = try? run("ip", ["netns", "del", name]) }
        for link in ["eth0", "eth1"] { _ = try? run("ip", ["link", "del", link]) }
        // `ip netns exec` gives a server a mount namespace of its own, so it is known by the folder that it serves.
        for pid in File.list("/proc").compactMap({ Int32($0) })
        where (File.peek("/proc/\(pid)/cmdline") ?? "").contains(folder + "/www") {
            ProcessIdentity(running: pid)?.signal(SIGKILL)
        }
    }
}

/// Seconds until something holds, or nil when it does not within the time.
func seconds(within limit: Double, _ condition: () throws -> Bool) rethrows -> Double? {
    let begun = Deadline.now
    while true {
        if try condition() { return Deadline.now.seconds(since: begun) }
        if Deadline.now.seconds(since: begun) > limit { return nil }
        pause(milliseconds: 20)
    }
}
