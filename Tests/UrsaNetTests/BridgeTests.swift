import Glibc
import Testing
import UrsaBase

@testable import UrsaNet

@Suite("bridges to a LAN", .enabled(if: PrivateHost.isPossible, "needs root for network namespaces"))
struct BridgeTests {
    static let wish = HostWish(bridges: [BridgeWish(name: "home", interface: "eth0")])

    /// A host on a LAN with all kinds of addresses and routes on its interface.
    static func furnish(_ host: PrivateHost) throws {
        try host.addLAN()
        try host.ip("addr add 192.0.2.3/24 dev eth0")
        try host.ip("addr add 198.51.100.1/32 dev eth0 label eth0:extra")
        try host.ip("addr add 192.0.2.200/24 dev eth0 valid_lft 4000 preferred_lft 3000")
        try host.ip("addr add 2001:db8::77/64 dev eth0 nodad valid_lft 4000 preferred_lft 0")
        try host.ip("route add 203.0.113.0/24 via 192.0.2.9 metric 50 mtu 1400")
        try host.ip("route add default via 192.0.2.77 metric 700 proto dhcp src 192.0.2.3")
        try host.ip("route add 203.0.113.128/25 dev eth0 scope link table 77")
        try host.ip("route add default via 192.0.2.9 table 77")
        try host.ip("route add 2001:db8:9::/48 via fe80::9 dev eth0 metric 77")
        try host.ip("route add default via 2001:db8::9 metric 2000")
        try host.ip("rule add from 192.0.2.3 lookup 77")
        // The kernel gives addresses their routes a little later.
        try #require(try host.wait(for: "scope link", "ip -6 addr show dev eth0 -tentative"))
        for address in ["2001:db8::77 ", "2001:db8::2 ", "fe80"] {
            try #require(try host.wait(for: "local \(address)", "ip -6 route show table local dev eth0"))
        }
    }

    /// Addresses and routes as iproute2 tells them, without how long they have left and, if wanted, without the link.
    static func state(_ host: PrivateHost, of link: String) throws -> [String] {
        var lines: [String] = []
        for line in try host.ip("-o addr show dev \(link)").split(separator: "\n") {
            let words = line.split(separator: " ").map(String.init)
            let end = words.firstIndex { $0.hasPrefix("valid_lft") } ?? words.count
            // "N: eth0" at the start; a label may end the text.
            lines.append(words[2..<end].joined(separator: " ") + (words[end...].contains("forever") ? " forever" : ""))
        }
        for family in ["-4", "-6"] {
            for line in try host.ip("\(family) route show table all").split(separator: "\n")
            where !line.hasPrefix("multicast") && "\(line) ".contains("dev \(link) ") {
                var words = line.split(separator: " ").map(String.init)
                if let place = words.firstIndex(of: "expires") { words.removeSubrange(place..<(place + 2)) }
                lines.append(words.joined(separator: " "))
            }
        }
        return lines.sorted()
    }

    /// Whether the state is that one, as soon as the kernel has given all addresses their routes.
    private static func becomes(_ expected: [String], _ host: PrivateHost, _ link: String) throws -> Bool {
        let deadline = Deadline.after(seconds: 3)
        while true {
            let now = try state(host, of: link)
            if now == expected { return true }
            if deadline.isPast {
                #expect(now == expected)
                return false
            }
            pause(milliseconds: 20)
        }
    }

    private static func unnamed(_ lines: [String], _ link: String) -> [String] {
        lines.map { line in
            line.split(separator: " ").map { word in
                word == link || word == "\(link)\\" ? "LINK" : String(word).replacing("\(link)\\", with: "LINK\\")
            }.joined(separator: " ").replacing(" noprefixroute", with: "")
        }.sorted()
    }

    @Test("addresses and routes of all kinds move to the bridge and back, exactly")
    func there() throws {
        try PrivateHost.run { host in
            try Self.furnish(host)
            let before = try Self.state(host, of: "eth0")
            #expect(before.count > 14)
            let mac = try #require(try NetlinkSocket().link("eth0")).mac
            let watch = try host.watchRoutes()
            let steps = try host.networks.converge(Self.wish).map(\.line)
            #expect(steps.contains("+ bridge ursa-home over eth0, which keeps no addresses and routes of its own"))
            #expect(try Self.unnamed(Self.state(host, of: "ursa-home"), "ursa-home") == Self.unnamed(before, "eth0"))
            let left = try Self.state(host, of: "eth0")
            #expect(left == [])
            #expect(try NetlinkSocket().link("ursa-home")?.mac == mac)
            #expect(host.networks.plan(Self.wish, try host.networks.observe()).map(\.line) == [])
            #expect(host.networks.health(["home"]) == [:])
            #expect(try host.pings("192.0.2.9", from: nil))
            #expect(try host.pings("2001:db8::9", from: nil))
            #expect(try host.pings("192.0.2.2", from: "w"))
            // A guest on the LAN itself.
            try host.addGuest("g1", on: "home", mac: "52:54:00:00:00:01", hostBridge: "ursa-home")
            try host.ip("addr add 192.0.2.50/24 dev eth0", in: "g1")
            #expect(try host.pings("192.0.2.50", from: nil, tries: 5))
            #expect(try host.pings("192.0.2.50", from: "w"))
            try host.ip("netns del g1")
            try host.networks.converge(HostWish())
            #expect(try Self.becomes(before, host, "eth0"))
            #expect(try host.leftovers() == [])
            #expect(File.list(host.home.folder).isEmpty)
            #expect(try host.pings("192.0.2.9", from: nil) && host.pings("192.0.2.2", from: "w"))
            for setting in ["addr_gen_mode": "0", "accept_dad": "0"] {
                #expect(Sysctl.read("ipv6/conf/eth0/\(setting.key)") == setting.value)
            }
            // No moment without an IPv4 default route.
            let lost = try watch().filter { $0.hasPrefix("Deleted default") && !$0.contains("fe80") }
            #expect(lost.allSatisfy { $0.contains("2001:db8") }, "\(lost)")
        }
    }

    @Test("a connection lives on while its host's addresses move")
    func connection() throws {
        try PrivateHost.run { host in
            try host.addLAN()
            let ping = try host.background("ping -n -q -i 0.01 -w 3 192.0.2.2", in: "w")
            for _ in 0..<3 {
                try host.networks.converge(Self.wish)
                try host.networks.converge(HostWish())
            }
            withExtendedLifetime(ping) {}
            #expect(try host.pings("192.0.2.9", from: nil))
            #expect(try host.leftovers() == [])
        }
    }

    @Test("damage to the bridge is mended from the journal: deleted, unplugged, addresses on the interface again")
    func damage() throws {
        try PrivateHost.run { host in
            try Self.furnish(host)
            let before = try Self.state(host, of: "eth0")
            try host.networks.converge(Self.wish)
            let moved = try Self.state(host, of: "ursa-home")
            try host.ip("link del ursa-home")
            try host.networks.converge(Self.wish)
            #expect(try Self.becomes(moved, host, "ursa-home"))
            try host.ip("link set eth0 nomaster")
            #expect(host.networks.health(["home"])["home"]?.contains("not a port") == true)
            try host.networks.converge(Self.wish)
            #expect(try host.pings("192.0.2.9", from: nil, tries: 5))
            try host.ip("addr add 192.0.2.222/24 dev eth0")
            #expect(host.networks.health(["home"])["home"]?.contains("addresses of its own") == true)
            try host.networks.converge(Self.wish)
            #expect(try Self.state(host, of: "eth0") == [])
            #expect(try host.ip("addr show dev ursa-home").contains("192.0.2.222/24"))
            try host.ip("addr del 192.0.2.222/24 dev ursa-home")
            // Deleted, and then not wanted any more.
            try host.ip("link del ursa-home")
            try host.networks.converge(HostWish())
            #expect(try Self.becomes(before, host, "eth0"))
            #expect(try host.leftovers() == [])
        }
    }

    @Test("without its journal a marked bridge still gives everything back")
    func journalLost() throws {
        try PrivateHost.run { host in
            try host.addLAN()
            let before = try Self.state(host, of: "eth0")
            try host.networks.converge(Self.wish)
            try BridgeJournal.remove("home", host.home)
            try host.networks.converge(HostWish())
            let after = try Self.state(host, of: "eth0")
            #expect(after.filter { !$0.contains("fe80") } == before.filter { !$0.contains("fe80") })
            #expect(try host.leftovers() == [])
        }
    }

    @Test("what can't be a port is refused with a reason and a way out")
    func refused() throws {
        try PrivateHost.run { host in
            try host.addLAN()
            try host.ip("link add br7 type bridge")
            try host.ip("link add lone type veth peer name other")
            try host.ip("link set lone master br7")
            func refusal(_ wish: BridgeWish) -> UrsaError? {
                #expect(throws: UrsaError.self) { try host.networks.converge(HostWish(bridges: [wish])) }
            }
            let none = refusal(BridgeWish(name: "home", interface: "eth9"))
            #expect(none?.code == .notFound && none?.remedy?.contains("eth0") == true)
            let port = refusal(BridgeWish(name: "home", interface: "lone"))
            #expect(port?.message.contains("port of br7") == true && port?.remedy?.contains("bridge: br7") == true)
            #expect(refusal(BridgeWish(name: "home", interface: "br7"))?.remedy?.contains("bridge: br7") == true)
            #expect(refusal(BridgeWish(name: "home", interface: "lo")) != nil)
            #expect(refusal(BridgeWish(name: "home", bridge: "br8"))?.code == .notFound)
            #expect(refusal(BridgeWish(name: "home", bridge: "eth0")) != nil)
            var seen = try host.networks.observe()
            seen.bridges.wireless = ["eth0"]
            let steps = host.networks.plan(Self.wish, seen)
            let radio = #expect(throws: UrsaError.self) { try host.networks.apply(steps) }
            #expect(radio?.message.contains("Wi-Fi") == true && radio?.remedy?.contains("fallback: lan") == true)
            try host.ip("link add ursa-home type bridge")
            #expect(refusal(BridgeWish(name: "home", interface: "eth0"))?.message.contains("not Ursa's") == true)
            #expect(File.list(host.home.folder).isEmpty)
        }
    }

    @Test("Wi-Fi interfaces are known by their driver's layer")
    func radio() throws {
        try PrivateHost.run { host in
            try File.makeDirectory("\(host.folder)/sys/wlan0/phy80211")
            try File.makeDirectory("\(host.folder)/sys/eth0")
            #expect(Radio.isWireless("wlan0", sys: "\(host.folder)/sys"))
            #expect(!Radio.isWireless("eth0", sys: "\(host.folder)/sys"))
        }
    }

    @Test("machines join a bridge that somebody else keeps, which is never changed")
    func joined() throws {
        try PrivateHost.run { host in
            try host.addLAN()
            try host.ip("link add br7 type bridge")
            try host.ip("link set br7 up")
            try host.ip("link set eth0 master br7")
            let before = try host.ip("-o link show br7")
            let wish = HostWish(bridges: [BridgeWish(name: "home", bridge: "br7")])
            #expect(try host.networks.converge(wish).allSatisfy { !$0.line.contains("br7") })
            guard File.exists("/dev/net/tun") else { return }
            do {
                let tap = try host.networks.openTap(network: "home", name: "u1t0", isIsolated: true, bridge: "br7")
                #expect(tap.raw >= 0)
                let line = try host.ip("-d link show u1t0")
                #expect(line.contains("master br7") && line.contains("isolated on"), "\(line)")
            }
            try host.networks.converge(HostWish())
            let after = try host.ip("-o link show br7")
            #expect(after.replacing("NO-CARRIER,", with: "") == before.replacing("NO-CARRIER,", with: ""))
        }
    }
}

extension PrivateHost {
    /// Notes every change of routes; the returned function ends that and tells them.
    func watchRoutes() throws -> () throws -> [String] {
        let path = "\(folder)/routes.log"
        var program = Program("ip", ["monitor", "route"])
        program.diesWithParent = true
        let fd = try File.open(path, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644)
        program.descriptors = [1: fd.raw]
        let child = Background(try program.start())
        pause(milliseconds: 200)
        return {
            pause(milliseconds: 200)
            withExtendedLifetime(child) {}
            return try File.readText(path).split(separator: "\n").map(String.init)
        }
    }
}
