import CLinux
import Glibc
import UrsaBase

@testable import UrsaNet

/// A host of a test's own: network and mount namespaces, run folder, names file. Nothing outside is touched, everything
/// goes when the body ends. The body runs on a thread inside it; threads and programs started there are inside too.
struct PrivateHost: Sendable {
    let home: HomeMark
    let folder: String

    var networks: HostNetworks { HostNetworks(home: home) }

    static var isPossible: Bool { geteuid() == 0 }

    /// Runs `body` in a new private host.
    static func run<R: Sendable>(
        id: String = "0a1b2c3d", isDefault: Bool = true, hosts: String = "127.0.0.1 localhost\n",
        _ body: @escaping @Sendable (PrivateHost) throws -> R
    ) throws -> R {
        let folder = "/tmp/ursa-net-test-\(getpid())-\(clinux_gettid())-\(Deadline.now.nanoseconds % 1_000_000_007)"
        try File.makeDirectory(folder)
        defer { try? File.removeTree(folder) }
        try File.replace("\(folder)/hosts", text: hosts, mode: 0o644)
        let host = PrivateHost(
            home: HomeMark(
                id: id, isDefault: isDefault, folder: "\(folder)/home", runFolder: "\(folder)/run",
                hostsFile: "\(folder)/hosts"), folder: folder)
        let slot = Locked<Result<R, any Error>?>(nil)
        let thread = try OSThread {
            let result = Result<R, any Error> {
                try check(clinux_unshare_host(), "make a private host")
                defer { host.clean() }
                try host.ip("link set lo up")
                return try body(host)
            }
            slot.withLock { $0 = result }
        }
        thread.join()
        guard let result = slot.withLock({ $0 }) else { throw UrsaError(.bug, "no result") }
        return try result.get()
    }

    private func clean() {
        // Processes of the namespaces end with them only when killed.
        for name in File.list("\(home.runFolder)/net") {
            DnsmasqProcess(folder: home.folder(network: name)).identity?.signal(SIGKILL)
        }
        for name in File.list(NetworkNamespace.folder) { try? NetworkNamespace(name: name).remove() }
    }

    /// Runs a program in the private host; its standard output.
    @discardableResult
    func sh(_ words: String, in namespace: String? = nil, seconds: Double = 30) throws -> String {
        let result = try attempt(words, in: namespace, seconds: seconds)
        guard result.end.isSuccess else {
            throw UrsaError(.io, "\(words): \(result.end) \(result.errors) \(result.text)")
        }
        return result.text
    }

    /// Runs a program and tells how it ended.
    func attempt(_ words: String, in namespace: String? = nil, seconds: Double = 30) throws -> Program.Output {
        let vector = words.split(separator: " ").map(String.init)
        var program = Program(vector[0], Array(vector.dropFirst()))
        guard let namespace else { return try program.run(seconds: seconds) }
        guard let fd = try NetworkNamespace(name: namespace).open() else { throw UrsaError(.notFound, namespace) }
        program.networkNamespace = fd.raw
        return try program.run(seconds: seconds)
    }

    @discardableResult
    func ip(_ words: String, in namespace: String? = nil) throws -> String { try sh("ip \(words)", in: namespace) }

    /// Starts a program that runs until the returned value goes away.
    func background(_ words: String, in namespace: String? = nil) throws -> Background {
        let vector = words.split(separator: " ").map(String.init)
        var program = Program(vector[0], Array(vector.dropFirst()))
        program.diesWithParent = true
        guard let namespace else { return Background(try program.start()) }
        guard let fd = try NetworkNamespace(name: namespace).open() else { throw UrsaError(.notFound, namespace) }
        program.networkNamespace = fd.raw
        return Background(try program.start())
    }

    /// A neighbour on the host's LAN (`w`, 192.0.2.9) to which the host has a default route; also by IPv6.
    func addNeighbour() throws {
        try ip("netns add w")
        try ip("link add eth0 type veth peer name eth0 netns w")
        try ip("addr add 192.0.2.2/24 dev eth0")
        try ip("addr add 2001:db8::2/64 dev eth0 nodad")
        try ip("link set eth0 up")
        try ip("addr add 192.0.2.9/24 dev eth0", in: "w")
        try ip("addr add 2001:db8::9/64 dev eth0 nodad", in: "w")
        try ip("link set lo up", in: "w")
        try ip("link set eth0 up", in: "w")
        try ip("route add default via 192.0.2.9")
        try ip("route add default via 2001:db8::9")
    }

    /// A guest: a namespace of that name with a card on the network's bridge. It has no address yet.
    ///
    /// - Parameter hostBridge: the network's bridge where it is on the host.
    func addGuest(_ name: String, on network: String, mac: String, hostBridge: String? = nil) throws {
        let inside = hostBridge == nil ? home.namespaceName(network) : nil
        try ip("netns add \(name)")
        let place = inside.map { " netns \($0)" } ?? ""
        try ip("link add eth0 address \(mac) netns \(name) type veth peer name \(name)\(place)")
        try ip("link set \(name) alias \(home.alias(network)) master \(hostBridge ?? "br0") up", in: inside)
        try ip("link set lo up", in: name)
        try sh("sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.eth0.accept_dad=0", in: name)
        try ip("link set eth0 up", in: name)
    }

    /// What is left of Ursa on the private host; empty when nothing is.
    func leftovers() throws -> [String] {
        var result: [String] = []
        for line in try ip("-br link").split(separator: "\n") where line.contains("ursa") { result.append("\(line)") }
        for name in File.list(NetworkNamespace.folder) where name.hasPrefix("ursa") { result.append("netns \(name)") }
        if try !sh("nft list tables").isEmpty { result.append("table") }
        result += File.list("\(home.runFolder)/net").map { "folder \($0)" }
        if File.exists(home.folder + "/network-settings.json") { result.append("journal") }
        return result
    }

    /// The name the file `/etc/resolv.conf` has in the private host.
    func setResolver(_ text: String) throws {
        let path = "\(folder)/resolv.conf"
        try File.replace(path, text: text, mode: 0o644)
        try check(clinux_bind_mount(path, "/etc/resolv.conf"), "mount resolv.conf")
    }
}

/// A program that is killed when this goes away.
final class Background {
    private let child: Child
    init(_ child: consuming Child) { self.child = child }
    deinit {
        child.signal(SIGKILL)
        _ = try? child.wait()
    }
}

/// A network `lab` with the machines `web` and `db`.
func labWish(ports: [PublishedPort] = [], machines: [String] = ["web", "db"]) throws -> NetworkWish {
    let subnet = try required(IPv4Network("10.77.0.0/24"))
    let subnet6 = try required(IPv6Network("fd77:1:2:3::/64"))
    var wish = NetworkWish(name: "lab", subnet: subnet, subnet6: subnet6, ports: ports)
    for (index, name) in machines.enumerated() {
        let mac = MACAddress(0x5254_0000_0001 + UInt64(index))
        wish.members.append(
            Member(
                machine: name, mac: mac, address: subnet[10 + UInt32(index)],
                address6: wish.subnet6?.slaacAddress(of: mac)))
    }
    return wish
}

/// The value, or an error that fails the test.
func required<T>(_ value: T?) throws -> T {
    guard let value else { throw UrsaError(.bug, "a value is missing") }
    return value
}

/// A published port of a member.
func port(_ number: UInt16, of wish: NetworkWish, _ member: Int, to guestPort: UInt16 = 80, udp: Bool = false)
    -> PublishedPort
{
    let member = wish.members[member]
    return PublishedPort(
        machine: member.machine, hostPort: number, isUDP: udp, guestAddress: member.address,
        guestAddress6: member.address6, guestPort: guestPort)
}
