import Glibc
import TestSupport
import Testing
import UrsaBase
import UrsaFirewall

@testable import UrsaNet

/// A host with three networks and two uplinks: guests web and db on lab, gate on dmz, deep on prod; near and office
/// behind wired (eth0), far behind backup (eth1).
struct ZoneHost {
    let host: PrivateHost
    var wish: HostWish
    let field = ProbeField()
    private(set) var stations: [ProbeField.Station] = []

    init(_ host: PrivateHost) throws {
        self.host = host
        func network(_ name: String, _ index: Int, _ model: NetworkModel, _ machines: [String]) throws -> NetworkWish {
            var wish = NetworkWish(
                name: name, model: model, subnet: try required(IPv4Network("10.77.\(index).0/24")),
                subnet6: try required(IPv6Network("fd77:1:2:\(index)::/64")))
            for (place, machine) in machines.enumerated() {
                let mac = MACAddress(0x5254_0000_0000 + UInt64(index * 256 + place + 1))
                wish.members.append(
                    Member(
                        machine: machine, mac: mac, address: wish.subnet[10 + UInt32(place)],
                        address6: wish.subnet6?.address(low: 16 + UInt64(place))))
            }
            return wish
        }
        wish = HostWish(networks: [
            try network("lab", 1, .nat, ["web", "db"]), try network("dmz", 2, .routed, ["gate"]),
            try network("prod", 3, .nat, ["deep"]),
        ])
        try host.networks.converge(wish)
        // Refusals are many and from one host here; the kernel would ration them.
        try Sysctl.set("ipv4/icmp_ratemask", "0")
        try Sysctl.set("ipv6/icmp/ratemask", "127")
        try addUplink("eth0", "near", "192.0.2", "2001:db8:1", more: ["40"])
        try addUplink("eth1", "far", "198.51.100", "2001:db8:2", more: [])
        try allowPing(nil)
        for network in wish.networks {
            for member in network.members { try addGuest(member, network) }
        }
        func outside(_ name: String, _ namespace: String, _ uplink: String, _ four: String, _ six: String) throws {
            stations.append(
                ProbeField.Station(
                    name: name, namespace: namespace, place: .uplink(uplink), address4: try required(IPAddress(four)),
                    address6: try required(IPAddress(six))))
        }
        try outside("near", "near", "wired", "192.0.2.9", "2001:db8:1::9")
        try outside("office", "near", "wired", "192.0.2.40", "2001:db8:1::40")
        try outside("far", "far", "backup", "198.51.100.9", "2001:db8:2::9")
        for station in stations { try field.serve(station, [station.address4, station.address6]) }
        let own = ["192.0.2.2", "2001:db8:1::2", "198.51.100.2", "2001:db8:2::2"].compactMap { IPAddress($0) }
        try field.serve(
            ProbeField.Station(name: "host", namespace: nil, place: .host, address4: own[0], address6: own[1]),
            own + wish.networks.flatMap { [.v4($0.hostEnd)] + ($0.hostEnd6.map { [.v6($0)] } ?? []) })
    }

    private func addUplink(
        _ link: String, _ name: String, _ four: String, _ six: String, more: [String]
    ) throws {
        try host.ip("netns add \(name)")
        try host.ip("link add \(link) type veth peer name eth0 netns \(name)")
        try host.ip("addr add \(four).2/24 dev \(link)")
        try host.ip("addr add \(six)::2/64 dev \(link) nodad")
        try host.ip("link set \(link) up")
        for last in ["9"] + more {
            try host.ip("addr add \(four).\(last)/24 dev eth0", in: name)
            try host.ip("addr add \(six)::\(last)/64 dev eth0 nodad", in: name)
        }
        try host.ip("link set lo up", in: name)
        try host.ip("link set eth0 up", in: name)
        try host.ip("route add default via \(four).2", in: name)
        try host.ip("route add default via \(six)::2", in: name)
        try allowPing(name)
    }

    private func allowPing(_ namespace: String?) throws {
        let body: @Sendable () throws(UrsaError) -> Void = { () throws(UrsaError) in
            try File.write("/proc/sys/net/ipv4/ping_group_range", text: "0 0")
        }
        if let namespace { try NetworkNamespace(name: namespace).run(body) } else { try body() }
    }

    private mutating func addGuest(_ member: Member, _ network: NetworkWish) throws {
        try host.addGuest(member.machine, on: network.name, mac: member.mac.description)
        let six = try required(member.address6)
        try host.ip("addr add \(member.address)/24 dev eth0", in: member.machine)
        try host.ip("addr add \(six)/64 dev eth0 nodad", in: member.machine)
        try host.ip("route add default via \(network.gateway)", in: member.machine)
        try host.ip("route replace default via \(required(network.gateway6))", in: member.machine)
        try allowPing(member.machine)
        stations.append(
            ProbeField.Station(
                name: member.machine, namespace: member.machine, place: .network(network.name),
                address4: .v4(member.address), address6: .v6(six)))
    }

    /// The host as a neighbour of a station sees it.
    private func ownEnd(towards station: ProbeField.Station) -> ProbeField.Station {
        let (four, six): (IPAddress?, IPAddress?) =
            switch station.place {
            case .uplink("backup"): (IPAddress("198.51.100.2"), IPAddress("2001:db8:2::2"))
            case .network(let name):
                wish.networks.first { $0.name == name }.map { (.v4($0.hostEnd), $0.hostEnd6.map { .v6($0) }) }
                    ?? (nil, nil)
            default: (IPAddress("192.0.2.2"), IPAddress("2001:db8:1::2"))
            }
        return ProbeField.Station(
            name: "host", namespace: nil, place: .host, address4: four ?? station.address4,
            address6: six ?? station.address6)
    }

    /// Every pair of stations that speak by way of the host, by every protocol.
    func probes(_ dice: inout Seeded) -> [ProbeField.Probe] {
        var pairs: [(ProbeField.Station, ProbeField.Station)] = []
        for from in stations {
            pairs.append((from, ownEnd(towards: from)))
            pairs.append((ownEnd(towards: from), from))
            for to in stations where to.place != from.place { pairs.append((from, to)) }
        }
        let isOneOutside = wish.uplinks.isEmpty
        func place(_ station: ProbeField.Station) -> Place {
            if case .uplink = station.place, isOneOutside { .outside } else { station.place }
        }
        return pairs.flatMap { from, to in
            [Connection.Traffic.tcp(80), .tcp(8080), .udp(80), .icmp].map { traffic in
                let isIPv6 = dice.chance(1, in: 2)
                return ProbeField.Probe(
                    connection: Connection(
                        from: .init(place(from), from.address(isIPv6: isIPv6)),
                        to: .init(place(to), to.address(isIPv6: isIPv6)), traffic), from: from, to: to)
            }
        }
    }

    /// Lays a firewall over the host: only the table is replaced.
    func load() throws { try FirewallTable.load(Ruleset(host.home, wish).text) }

    /// Where the kernel and the model disagree.
    func disagreements(_ dice: inout Seeded) throws -> [String] {
        let matrix = Matrix(wish.firewall, wish.topology)
        let probes = probes(&dice)
        let decisions = probes.map { matrix.verdict(of: $0.connection) }
        let expected = decisions.map { decision -> ProbeField.Outcome in
            switch decision.action {
            case .accept: .passed
            case .reject: .refused
            case .drop: .silent
            }
        }
        let seen = try field.run(probes, expected: expected)
        return probes.indices.filter { seen[$0] != expected[$0] }.map {
            "\(probes[$0]): \(expected[$0]) by \(decisions[$0].reason), but \(seen[$0])"
        }
    }
}

@Suite("zones and real packets", .enabled(if: PrivateHost.isPossible, "needs root for network namespaces"))
struct ZonePacketTests {
    /// How many firewalls are tried; a campaign tries more.
    private static let count = getenv("URSA_CAMPAIGN") == nil ? 200 : 2000
    private static let seed = getenv("URSA_SEED").flatMap { UInt64(String(cString: $0)) } ?? 1

    @Test func `random firewalls decide about real packets as the model does`() throws {
        try PrivateHost.run { host in
            var zoneHost = try ZoneHost(host)
            let routing = try host.networks.observe().routing
            let parts = [
                ("192.0.2.40", "wired"), ("192.0.2.32/27", "wired"), ("2001:db8:1::40", "wired"),
                ("198.51.100.0/24", "backup"), ("10.77.1.10", "lab"), ("fd77:1:2:3::/64", "prod"),
            ]
            for round in 0..<Self.count {
                var dice = Seeded(Self.seed &* 1_000_003 &+ UInt64(round))
                let isOneOutside = dice.chance(1, in: 4)
                zoneHost.wish.uplinks =
                    isOneOutside
                    ? []
                    : [
                        UplinkWish(name: "wired", number: 1, interface: "eth0"),
                        UplinkWish(name: "backup", number: 2, interface: "eth1"),
                    ].found(routing)
                zoneHost.wish.firewall = .random(
                    &dice, zoneHost.wish.topology,
                    parts: try parts.map { prefix, behind in
                        let place = isOneOutside && ["wired", "backup"].contains(behind) ? Zone.outside : behind
                        return (try required(AddressPrefix(prefix)), place)
                    }, machines: ["db", "gate"])
                try zoneHost.load()
                let wrong = try zoneHost.disagreements(&dice)
                #expect(
                    wrong.isEmpty,
                    "URSA_SEED=\(Self.seed), round \(round): \(wrong.prefix(5)) \(zoneHost.wish.firewall)")
                if !wrong.isEmpty { break }
            }
        }
    }
}
