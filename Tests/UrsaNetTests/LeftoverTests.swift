import CLinux
import Glibc
import Testing
import UrsaBase

@testable import UrsaNet

@Suite("leftovers of a crash", .enabled(if: PrivateHost.isPossible, "needs root for network namespaces"))
struct LeftoverTests {
    /// A NAT network, one on the LAN, one on the host, and a bridge to a second LAN.
    private static func house() throws -> HostWish {
        var lan = try modelWish(.lan)
        lan.name = "air"
        var onHost = try modelWish(.routed, isOnHost: true, proxy: "eth0")
        onHost.name = "dmz"
        return HostWish(
            networks: [try labWish(), lan, onHost], bridges: [BridgeWish(name: "home", interface: "eth1")])
    }

    /// Ethernet addresses and addresses of everything of ours, here and in the namespaces.
    private static func identity(_ host: PrivateHost) throws -> [String] {
        var lines: [String] = []
        for namespace in [nil, "ursa-lab", "ursa-air"] as [String?] {
            let names = try host.ip("-o link", in: namespace).split(separator: "\n").compactMap { line in
                line.split(separator: " ").dropFirst().first.map { String($0.prefix { $0 != ":" && $0 != "@" }) }
            }
            for name in names where name.hasPrefix("ursa") || name == "br0" || name == "stem" {
                let words = try host.ip("-o addr show dev \(name)", in: namespace).split(whereSeparator: \.isWhitespace)
                let mac = try host.ip("-o link show dev \(name)", in: namespace).split(separator: " ").drop {
                    $0 != "link/ether"
                }.dropFirst().first
                let addresses = words.filter { $0.contains("/") && !$0.hasPrefix("fe80::") }
                lines.append("\(namespace ?? "") \(name) \(mac ?? "") \(addresses.sorted().joined(separator: " "))")
            }
        }
        return lines.sorted()
    }

    @Test("dead helpers, stale links, routes, entries and pid files end in the exact wanted state; look-alikes stay")
    func crash() throws {
        try PrivateHost.run { host in
            try host.addLAN()
            try host.plug("eth1", nil, "198.51.100.2/24")
            let wish = try Self.house()
            try host.networks.converge(wish)
            let before = try Self.identity(host)
            let names = try File.readText(host.home.hostsFile)
            #expect(before.count >= 8, "\(before)")

            // Every helper dies; their pid files name a process of somebody else.
            let stranger = try host.background("sleep 60")
            defer { withExtendedLifetime(stranger) {} }
            let pid = try required(try host.sh("pidof -s sleep").split(separator: "\n").first).trimmed
            for name in ["lab", "air", "dmz"] {
                let process = DnsmasqProcess(folder: host.home.folder(network: name))
                let identity = try required(process.identity)
                identity.signal(SIGKILL)
                _ = identity.waitForEnd(until: .after(seconds: 5))
                try File.replace("\(process.folder)/pid", text: "\(pid)\n")
            }
            // Stale objects of ours, as commands leave them that are killed.
            try host.ip("link add stale type veth peer name stale2 netns ursa-lab")
            try host.ip("link set stale2 alias ursa:0a1b2c3d:gone", in: "ursa-lab")
            try host.ip("link set stale alias ursa:0a1b2c3d:gone")
            try host.ip("netns add ursa-gone")
            try host.ip("link add br0 alias ursa:0a1b2c3d:gone type bridge", in: "ursa-gone")
            try File.makeDirectory(host.home.folder(network: "gone"))
            try host.ip("neigh add proxy 192.0.2.222 dev eth0 protocol 85")
            try host.ip("route add 192.0.2.223/32 via 192.0.2.9 dev ursa-air onlink proto static")
            try host.ip("route add 192.0.2.224/32 dev br0 proto static", in: "ursa-air")
            try host.ip("addr add 10.99.0.1/24 dev ursa-lab")
            // Look-alikes without our mark.
            try host.ip("netns add ursb-lab")
            try host.ip("link add ursa-mine type veth peer name mine")
            try host.ip("neigh add proxy 192.0.2.99 dev eth0")
            try host.ip("route add 203.0.113.7/32 via 192.0.2.9")
            try host.sh("nft add table inet ursa2")

            try host.networks.converge(wish)
            #expect(host.networks.plan(wish, try host.networks.observe()).map(\.line) == [])
            #expect(host.networks.health(["lab", "air", "dmz", "home"]) == [:])
            let after = try Self.identity(host).filter { !$0.contains("ursa-mine") }
            #expect(after == before)
            #expect(try File.readText(host.home.hostsFile) == names)
            #expect(ProcessIdentity(running: try required(Int32(pid)))?.isAlive == true)
            let links = try host.ip("-o link")
            #expect(!links.contains("stale") && links.contains("ursa-mine"))
            #expect(File.list(NetworkNamespace.folder).sorted() == ["lan", "ursa-air", "ursa-lab", "ursb-lab", "w"])
            let entries = try host.ip("neigh show proxy")
            #expect(entries.contains("192.0.2.99") && !entries.contains("192.0.2.222"))
            let routes = try host.ip("route")
            #expect(routes.contains("203.0.113.7") && !routes.contains("192.0.2.223"))
            #expect(try !host.ip("route", in: "ursa-air").contains("192.0.2.224"))

            try host.networks.converge(HostWish())
            let left = try host.leftovers().filter { !$0.contains("ursa-mine") && $0 != "table" }
            #expect(left == [])
            #expect(try host.sh("nft list tables") == "table inet ursa2\n")
            #expect(try host.ip("addr show dev eth1").contains("198.51.100.2/24"))
        }
    }

    @Test("networks change their shape in place: another model, onto the host and back")
    func shapes() throws {
        try PrivateHost.run { host in
            try host.addLAN()
            let shapes = [
                try modelWish(.nat), try modelWish(.isolated), try modelWish(.nat, isOnHost: true),
                try modelWish(.lan), try modelWish(.routed, proxy: "eth0"), try modelWish(.routed, isOnHost: true),
                try modelWish(.isolated),
            ]
            for wish in shapes {
                try host.networks.converge([wish])
                #expect(host.networks.plan([wish], try host.networks.observe()).map(\.line) == [], "\(wish.model)")
                #expect(host.networks.health(["net"]) == [:], "\(wish.model)")
            }
            try host.networks.converge([])
            #expect(try host.leftovers() == [] && host.ip("neigh show proxy").isEmpty)
        }
    }

    @Test("a plan that ends after any of its steps is finished or taken away, whatever the model")
    func prefixes() throws {
        try PrivateHost.run { host in
            try host.addLAN()
            try host.plug("eth1", nil, "198.51.100.2/24")
            let wish = try Self.house()
            try File.makeDirectory(host.home.folder)
            let count = host.networks.plan(wish, try host.networks.observe()).count
            for done in 0...count {
                let steps = host.networks.plan(wish, try host.networks.observe())
                for step in steps.prefix(done) { try step.apply() }
                if done % 2 == 0 {
                    try host.networks.converge(wish)
                    #expect(host.networks.plan(wish, try host.networks.observe()).map(\.line) == [], "after \(done)")
                }
                try host.networks.converge(HostWish())
                #expect(try host.leftovers() == [], "after \(done)")
                #expect(try host.ip("addr show dev eth1").contains("198.51.100.2/24"), "after \(done)")
                #expect(Sysctl.read("ipv4/ip_forward") == "0" && Sysctl.read("ipv6/conf/eth0/proxy_ndp") == "0")
            }
        }
    }
}
