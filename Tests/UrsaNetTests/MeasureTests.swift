import Glibc
import Testing
import UrsaBase
import UrsaFirewall

@testable import UrsaNet

/// Prints what the operations cost here; run with URSA_MEASURE=1 (and in release mode) when working on speed.
@Suite(
    "measurements",
    .enabled(if: PrivateHost.isPossible && getenv("URSA_MEASURE") != nil, "set URSA_MEASURE=1, as root, to measure"),
    .serialized)
struct MeasureTests {
    private static func time(_ name: String, _ body: () throws -> Void) rethrows {
        let start = Deadline.now
        let before = processorTime()
        try body()
        let used = ((processorTime() - before) * 10000).rounded() / 10
        print(
            "measure \(name): \((Deadline.now.seconds(since: start) * 10000).rounded() / 10) ms, processor \(used) ms")
    }

    /// Seconds of processor time of this process and the children it has waited for. (A dnsmasq's own share after it
    /// went to the background is not in it.)
    private static func processorTime() -> Double {
        var sum = 0.0
        for who: Int32 in [0, -1] {  // RUSAGE_SELF, RUSAGE_CHILDREN
            var usage = rusage()
            getrusage(who, &usage)
            for time in [usage.ru_utime, usage.ru_stime] { sum += Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
        }
        return sum
    }

    private static func wishes(_ count: Int) throws -> [NetworkWish] {
        try (0..<count).map { index in
            var wish = try labWish()
            wish.name = "net\(index)"
            wish.subnet = try required(IPv4Network("10.77.\(index).0/24"))
            wish.subnet6 = try required(IPv6Network("fd77:1:2:\(index + 1)::/64"))
            for place in wish.members.indices {
                wish.members[place].address = wish.subnet[10 + UInt32(place)]
                wish.members[place].address6 = wish.subnet6?.slaacAddress(of: wish.members[place].mac)
            }
            wish.ports = [port(UInt16(8000 + index), of: wish, 0)]
            return wish
        }
    }

    @Test("a hundred guests and a thousand forwards; one more of them")
    func many() throws {
        for _ in 0..<3 {
            try PrivateHost.run { host in
                try host.addNeighbour()
                var wish = HostWish(networks: [try labWish(machines: (0..<100).map { "m\($0)" })])
                wish.networks[0].ports = (0..<1000).map { port(UInt16(10_000 + $0), of: wish.networks[0], $0 % 100) }
                wish.firewall = Firewall(
                    zones: [Zone(name: "kvm", members: [.network("lab")])],
                    policies: [
                        Policy(from: "kvm", to: "any", action: .accept),
                        Policy(from: "any", to: "any", action: .reject, log: .info),
                    ])
                try Self.time("100 guests, 1000 forwards") { try host.networks.converge(wish) }
                try Self.time("nothing to do") { try host.networks.converge(wish) }
                try Self.time("observe") { _ = try host.networks.observe() }
                Self.time("digest of the table") { _ = SHA256.digest(Ruleset(host.home, wish).text) }
                Self.time("ruleset") { _ = Ruleset(host.home, wish) }
                let noted = try File.readText(host.home.tableFile)
                let seen = try required(FirewallTable.look("ursa", counting: true))
                try Self.time("look at the table") { _ = try FirewallTable.look("ursa", counting: true) }
                Self.time("difference") { _ = Ruleset(host.home, wish).change(from: noted, seen) }
                wish.networks[0].ports.append(port(80, of: wish.networks[0], 0))
                var lines: [String] = []
                try Self.time("1 forward more") { lines = try host.networks.converge(wish).map(\.line) }
                #expect(lines == ["~ table inet ursa: 2 elements"])
                try Self.time("all down") { try host.networks.converge(HostWish()) }
            }
        }
    }

    @Test("one network and twenty, up, changed and down")
    func all() throws {
        for _ in 0..<3 {
            try PrivateHost.run { host in
                try host.addNeighbour()
                var one = try Self.wishes(1)
                try Self.time("1 network up") { try host.networks.converge(one) }
                try Self.time("observe") { _ = try host.networks.observe() }
                Self.time("health") { #expect(host.networks.health(["net0"]) == [:]) }
                try Self.time("nothing to do") { try host.networks.converge(one) }
                let mac = MACAddress(0x5254_0000_0077)
                one[0].members.append(
                    Member(
                        machine: "third", mac: mac, address: one[0].subnet[33],
                        address6: one[0].subnet6?.slaacAddress(of: mac)))
                try Self.time("1 machine more") { try host.networks.converge(one) }
                one[0].ports.append(port(9999, of: one[0], 2))
                try Self.time("1 port more") { try host.networks.converge(one) }
                var taps: [OwnedFDBox] = []
                try Self.time("1 tap") {
                    let tap = try host.networks.openTap(network: "net0", name: "tap0")
                    taps.append(OwnedFDBox(tap))
                }
                taps.removeAll()
                try Self.time("1 network down") { try host.networks.converge([]) }
                let twenty = try Self.wishes(20)
                try Self.time("20 networks up") { try host.networks.converge(twenty) }
                try Self.time("observe 20") { _ = try host.networks.observe() }
                let names = twenty.map(\.name)
                Self.time("health 20") { #expect(host.networks.health(names) == [:]) }
                try Self.time("20 networks down") { try host.networks.converge([]) }
                #expect(try host.leftovers() == [])
            }
        }
    }
}

/// Lets an array own descriptors.
final class OwnedFDBox {
    private let fd: OwnedFD
    init(_ fd: consuming OwnedFD) { self.fd = fd }
}
