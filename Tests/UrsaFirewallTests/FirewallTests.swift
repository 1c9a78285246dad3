import Testing
import UrsaBase
import UrsaFirewall

private func address(_ text: String) -> IPAddress { IPAddress(text) ?? .v4(IPv4Address(0)) }
private func prefix(_ text: String) -> AddressPrefix { AddressPrefix(text) ?? AddressPrefix(address("0.0.0.0")) }

/// Two providers on one card, a NAT network with two machines, a routed one, an isolated one, and one on the LAN.
private let topology = Topology(
    networks: [
        Topology.Network(name: "lan", sources: [prefix("10.77.0.0/24")]),
        Topology.Network(name: "dmz", reach: .open), Topology.Network(name: "lab", reach: .closed),
        Topology.Network(name: "home", reach: .segment(interface: "eth0")),
    ],
    uplinks: [
        Topology.Uplink(name: "wired", interface: "eth0"), Topology.Uplink(name: "backup", interface: "eth1"),
    ],
    machines: [
        Topology.Machine(name: "db", network: "lan", addresses: [address("10.77.0.11")]),
        Topology.Machine(name: "tv", network: "home", addresses: [address("192.0.2.40")]),
    ])

private let firewall = Firewall(
    zones: [
        Zone(name: "net", members: [.uplink("wired"), .uplink("backup")]),
        Zone(name: "kvm", members: [.network("lan")]),
        Zone(
            name: "office", members: [.hosts([prefix("192.0.2.0/24"), prefix("2001:db8:1::/48")], behind: "wired")]),
        Zone(name: "boss", members: [.hosts([prefix("192.0.2.7")], behind: "wired")]),
        Zone(name: "db", members: [.machine("db")]),
    ],
    policies: [
        Policy(from: "kvm", to: "any", action: .accept),
        Policy(from: "net", to: "any", action: .drop, log: .info),
        Policy(from: "office", to: "office", action: .drop),
        Policy(from: "any", to: "any", action: .reject),
    ],
    rules: [
        Rule(from: "net", to: "dmz", transport: .tcp, ports: [80...80, 8000...8100], action: .accept),
        Rule(
            from: "any", to: "db", transport: .tcp, ports: [5432...5432], sources: [prefix("10.0.0.0/8")],
            action: .accept),
        Rule(from: "any", to: "kvm", transport: .icmp, action: .accept),
    ],
    admins: [prefix("198.51.100.7")])

@Suite("zones and what happens between them")
struct FirewallTests {
    private let matrix = Matrix(firewall, topology)

    private func decide(
        _ from: Place, _ source: String, _ to: Place, _ destination: String, _ traffic: Connection.Traffic = .tcp(22),
        forwarded: Bool = false
    ) -> Decision {
        matrix.verdict(
            of: Connection(
                from: .init(from, address(source)), to: .init(to, address(destination)), traffic,
                isForwarded: forwarded))
    }

    @Test func `a firewall of which nothing is said is plain`() {
        #expect(Firewall().isPlain)
        #expect(!Firewall(policies: [Policy(from: "any", to: "any", action: .reject)]).isPlain)
        #expect(Matrix(Firewall(), topology).cells.isEmpty)
    }

    @Test func `zones are the spec's, then what no zone names, then the host`() {
        #expect(matrix.zones == ["net", "kvm", "office", "boss", "db", "dmz", "host"])
        #expect(matrix.cells.count == 48 && matrix["host", "host"] == nil && matrix["host", "kvm"]?.to == "kvm")
        let bare = Topology(networks: [Topology.Network(name: "lan")])
        #expect(Matrix(firewall, bare).zones == ["net", "kvm", "office", "boss", "db", "host"])
    }

    @Test func `the most specific part of a place decides its zone`() {
        let map = matrix.zoneMap
        func zone(_ place: Place, _ text: String) -> String? { map.zone(of: Connection.End(place, address(text))) }
        #expect(zone(.uplink("wired"), "192.0.2.7") == "boss" && zone(.uplink("wired"), "192.0.2.8") == "office")
        #expect(zone(.uplink("wired"), "2001:db8:1::1") == "office" && zone(.uplink("wired"), "2001:db8::1") == "net")
        #expect(zone(.uplink("backup"), "192.0.2.7") == "net" && zone(.network("lan"), "10.77.0.11") == "db")
        #expect(zone(.network("lan"), "10.77.0.10") == "kvm" && zone(.network("lab"), "10.1.1.1") == nil)
        #expect(zone(.network("home"), "192.0.2.50") == "net" && zone(.outside, "1.1.1.1") == nil)
    }

    @Test func `rules come before policies, and the first that fits decides`() {
        let web = "192.0.2.66"
        #expect(decide(.uplink("backup"), "1.1.1.1", .network("dmz"), web, .tcp(8050)) == Decision(.accept, .rule(0)))
        #expect(
            decide(.uplink("backup"), "1.1.1.1", .network("dmz"), web, .udp(80))
                == Decision(.drop, .policy(1), log: .info))
        #expect(decide(.uplink("wired"), "192.0.2.7", .network("dmz"), web, .tcp(80)) == Decision(.reject, .policy(3)))
        #expect(decide(.network("lan"), "10.77.0.10", .host, "10.77.0.254") == Decision(.accept, .policy(0)))
        #expect(decide(.host, "10.77.0.254", .network("lan"), "10.77.0.11", .tcp(5432)) == Decision(.accept, .rule(1)))
        #expect(decide(.host, "192.0.2.2", .network("lan"), "10.77.0.11", .tcp(5432)) == Decision(.reject, .policy(3)))
        #expect(
            decide(.uplink("wired"), "9.9.9.9", .network("lan"), "10.77.0.10", .icmp) == Decision(.accept, .rule(2)))
    }

    @Test func `inside a zone everything passes unless a policy names it twice`() {
        #expect(
            decide(.uplink("wired"), "1.1.1.1", .uplink("backup"), "2.2.2.2") == Decision(.accept, .intraZone("net")))
        #expect(matrix["office", "office"]?.otherwise == .policy(2))
        #expect(matrix["boss", "boss"]?.otherwise == .intraZone)
        // Behind one link they speak past the host.
        #expect(decide(.uplink("wired"), "192.0.2.8", .uplink("wired"), "1.1.1.1") == Decision(.accept, .foreign))
    }

    @Test func `admins, forwards, answers and what a network lives on pass whatever is said`() {
        #expect(decide(.uplink("wired"), "198.51.100.7", .host, "192.0.2.2") == Decision(.accept, .admin))
        #expect(decide(.uplink("wired"), "198.51.100.8", .host, "192.0.2.2").action == .drop)
        #expect(
            decide(.uplink("wired"), "1.1.1.1", .network("lan"), "10.77.0.10", forwarded: true)
                == Decision(.accept, .forward))
        #expect(decide(.host, "192.0.2.2", .uplink("wired"), "192.0.2.1", .udp(67)) == Decision(.accept, .needed))
        #expect(decide(.network("lan"), "1.2.3.4", .uplink("wired"), "1.1.1.1") == Decision(.drop, .spoofed))
        #expect(decide(.network("lab"), "10.1.1.1", .uplink("wired"), "1.1.1.1") == Decision(.drop, .closed))
        var answer = Connection(
            from: .init(.uplink("wired"), address("1.1.1.1")), to: .init(.host, address("192.0.2.2")), .tcp(9))
        #expect(matrix.verdict(of: answer).action == .drop)
        answer.isAnswer = true
        #expect(matrix.verdict(of: answer) == Decision(.accept, .established))
    }

    @Test func `the plain house keeps the promises of the models`() {
        func action(_ from: Place, _ to: Place) -> FirewallAction {
            Firewall().verdict(
                of: Connection(from: .init(from, address("10.77.0.9")), to: .init(to, address("10.9.9.9")), .icmp),
                in: topology
            ).action
        }
        #expect(action(.network("lan"), .outside) == .accept && action(.outside, .network("lan")) == .drop)
        #expect(
            action(.uplink("wired"), .network("dmz")) == .accept && action(.network("lan"), .network("dmz")) == .accept)
        #expect(action(.network("dmz"), .network("lan")) == .drop && action(.network("lab"), .outside) == .drop)
        #expect(action(.host, .network("lan")) == .accept && action(.network("lan"), .host) == .accept)
        #expect(action(.outside, .uplink("wired")) == .accept && action(.outside, .host) == .accept)
    }

    @Test func `a good firewall has no findings`() {
        #expect(matrix.findings == [])
        #expect(Matrix(Firewall(), topology).findings == [])
    }

    @Test func `gaps, dead rules and double claims are found and named`() {
        var bad = firewall
        bad.policies = [
            Policy(from: "kvm", to: "any", action: .accept), Policy(from: "kvm", to: "net", action: .drop),
            Policy(from: "any", to: "host", action: .accept), Policy(from: "net", to: "kvm", action: .drop),
        ]
        bad.rules += [
            Rule(from: "net", to: "dmz", transport: .tcp, ports: [8010...8020], action: .drop),
            Rule(from: "net", to: "dmz", transport: .icmp, ports: [1...2], action: .drop),
            Rule(
                from: "net", to: "dmz", sources: [prefix("10.0.0.0/8")], destinations: [prefix("::/0")], action: .drop),
            Rule(from: "host", to: "host", action: .drop),
            Rule(from: "net", to: "kvm", action: .drop), Rule(from: "net", to: "db", action: .drop),
            Rule(from: "net", to: "any", transport: .udp, action: .accept),
        ]
        bad.zones.append(
            Zone(name: "twice", members: [.uplink("wired"), .hosts([prefix("192.0.2.0/24")], behind: "wired")]))
        let findings = Matrix(bad, topology).findings
        let words = findings.map(\.description)
        for text in [
            "uplink wired is in zone net and in zone twice", "192.0.2.0/24 is in zone office and in zone twice",
            "no policy says what happens between office and dmz",
            "rule 4 is never reached: rule 1 before it decides all of it",
            "rule 5 fits nothing: ICMP has no ports",
            "rule 6 fits nothing: its sources and destinations are of different families",
            "rule 7 fits nothing: the host's connections to itself always pass",
            "policy 2 is never reached: policy 1 before it decides all of it",
        ] {
            #expect(words.contains(text), "\(text)")
        }
        #expect(!words.contains { $0.hasPrefix("rule 8") || $0.hasPrefix("rule 9") || $0.hasPrefix("rule 10") })
        #expect(!words.contains { $0.contains("between net and kvm") || $0.hasPrefix("policy 4") })
        #expect(!findings.contains(.uncovered(from: "kvm", to: "kvm")))
    }

    @Test func `ports that earlier rules share out between them still make a rule dead`() {
        let one = Rule(from: "net", to: "dmz", transport: .tcp, ports: [1...100, 101...200], action: .accept)
        let other = Rule(from: "net", to: "dmz", transport: .tcp, ports: [50...150], action: .drop)
        #expect(
            Firewall(zones: firewall.zones, policies: firewall.policies, rules: [one, other]).findings(in: topology)
                .contains(
                    .unreachableRule(1, behind: [0])))
        var limited = one
        limited.limit = RateLimit(count: 1, unit: .second)
        #expect(
            !Firewall(zones: firewall.zones, policies: firewall.policies, rules: [limited, other]).findings(
                in: topology
            ).contains(
                .unreachableRule(1, behind: [0])))
    }
}
