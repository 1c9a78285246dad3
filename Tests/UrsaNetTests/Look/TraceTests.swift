import Glibc
import Testing
import UrsaBase
import UrsaFirewall

@testable import UrsaNet

@Suite("tracing through the plan")
struct PlanTraceTests {
    private func wish(_ firewall: Firewall = Firewall()) throws -> HostWish {
        var lab = try labWish()
        lab.ports = [port(8080, of: lab, 0)]
        var dmz = NetworkWish(name: "dmz", model: .routed, subnet: try required(IPv4Network("192.0.2.64/28")))
        dmz.members = [Member(machine: "mail", mac: MACAddress(9), address: dmz.subnet[4])]
        var vault = NetworkWish(name: "vault", model: .isolated, subnet: try required(IPv4Network("10.78.0.0/24")))
        vault.members = [
            Member(
                machine: "gold", mac: MACAddress(10), address: vault.subnet[10], port: PortOptions(isIsolated: true)),
            Member(
                machine: "silver", mac: MACAddress(11), address: vault.subnet[11], port: PortOptions(isIsolated: true)),
        ]
        return HostWish(networks: [lab, dmz, vault], firewall: firewall)
    }

    private func view() throws -> HostView {
        HostView(
            name: "sun",
            links: [
                HostLink(
                    name: "eth0", addresses: [try required(MapFixtures.prefix("198.51.100.2/24"))],
                    gateways: [try required(IPAddress("198.51.100.1"))])
            ], isForwarding: true)
    }

    private func ask(_ words: String, _ wish: HostWish) throws -> Trace {
        let query = try TraceQuery.parse(words.split(separator: " ").map(String.init))
        return try PlanTrace(wish, view()).run(query).trace
    }

    @Test("questions are read in all their forms")
    func parse() throws {
        func read(_ words: String) throws -> TraceQuery {
            try TraceQuery.parse(words.split(separator: " ").map(String.init))
        }
        let wanted = TraceQuery(from: .machine("web"), to: .machine("db"), traffic: .tcp(5432))
        for words in ["web db:5432", "web → db:5432/tcp", "web -> db:5432", "web→db:5432", "web->db:5432"] {
            #expect(try read(words) == wanted, "\(words)")
        }
        let server = try required(IPAddress("2001:db8::1"))
        #expect(
            try read("web [2001:db8::1]:53/udp")
                == TraceQuery(from: .machine("web"), to: .address(server), traffic: .udp(53)))
        #expect(try read("net 2001:db8::1") == TraceQuery(from: .outside, to: .address(server), traffic: .icmp))
        #expect(try read("host db") == TraceQuery(from: .host, to: .machine("db"), traffic: .icmp))
        for words in [
            "web", "web db x", "web db:0", "web db:70000", "web db/tcp", "web db:1/sctp", "web :80", "web db:",
        ] {
            #expect(throws: UrsaError.self, "\(words)") { try read(words) }
        }
    }

    @Test("the plain house: neighbours, outside, published and closed ports")
    func plain() throws {
        let wish = try wish()
        #expect(try ask("web db:5432", wish).outcome == .passes)
        #expect(try ask("web db:5432", wish).decision?.contains("from port to port") == true)
        let out = try ask("web 1.1.1.1:443", wish)
        #expect(out.outcome == .passes)
        #expect(out.steps.contains { $0.words.contains("masquerade") })
        #expect(out.steps.contains { $0.words.contains("default route, eth0") })
        let published = try ask("net web:80", wish)
        #expect(published.outcome == .passes)
        #expect(published.steps.contains { $0.words.contains("198.51.100.2 port 8080") })
        #expect(published.decision == "accepted: the port is published")
        #expect(try ask("net web:81", wish).outcome == .dropped)
        #expect(try ask("net mail:25", wish).outcome == .passes)
        #expect(try ask("web host:22", wish).outcome == .passes)
        #expect(try ask("host web:80", wish).outcome == .passes)
        let hairpin = try ask("db 198.51.100.2:8080", wish)
        #expect(hairpin.outcome == .passes && hairpin.steps.contains { $0.words.contains("sends it back into lab") })
        #expect(try ask("web mail", wish).outcome == .passes)
        #expect(try ask("mail web:80", wish).outcome == .dropped)
    }

    @Test("an isolated network has no way out, isolated cards no neighbours")
    func isolated() throws {
        let wish = try wish()
        #expect(try ask("gold 1.1.1.1", wish).outcome == .unreachable)
        #expect(try ask("gold silver:80", wish).outcome == .dropped)
        #expect(try ask("gold silver:80", wish).decision?.contains("isolated") == true)
        #expect(try ask("web gold", wish).outcome == .dropped)
    }

    @Test("zones: the deciding rule or policy is named by its number")
    func zones() throws {
        let firewall = Firewall(
            zones: [Zone(name: "kvm", members: [.network("lab")]), Zone(name: "dmz", members: [.network("dmz")])],
            policies: [
                Policy(from: "kvm", to: "any", action: .accept), Policy(from: "net", to: "any", action: .drop),
                Policy(from: "any", to: "any", action: .reject),
            ],
            rules: [Rule(from: "net", to: "dmz", transport: .tcp, ports: [25...25], action: .accept)])
        let wish = try wish(firewall)
        #expect(try ask("net mail:25", wish).decision == "accepted by rule 1: net → dmz tcp 25 accept (zone net → dmz)")
        #expect(try ask("net mail:80", wish).decision == "dropped by policy 2: net → any drop (zone net → dmz)")
        #expect(try ask("mail web:80", wish).outcome == .rejected)
        #expect(try ask("net web:80", wish).decision == "accepted: the port is published")
    }

    @Test("unknown names are told with the nearest one")
    func unknown() throws {
        let wish = try wish()
        do throws(UrsaError) {
            _ = try PlanTrace(wish, HostView(name: "x", links: [], isForwarding: true)).run(
                TraceQuery(from: .machine("wbe"), to: .host, traffic: .icmp))
            Issue.record("a machine that is not there was traced")
        } catch {
            #expect(error.code == .notFound && error.remedy == "did you mean 'web'?")
        }
    }

    @Test("the texts of rules are found by their handles")
    func handles() {
        let rules = RuleTexts(
            """
            table ip filter { # handle 1
            \tchain FORWARD { # handle 2
            \t\ttype filter hook forward priority filter; policy drop;
            \t\tcounter packets 0 bytes 0 jump DOCKER-USER # handle 5
            \t}
            }
            """)
        var event = TraceEvent(NetlinkReply(type: 0, flags: 0, sequence: 0, payload: []))
        #expect(event == nil)
        var message = NetlinkMessage(0x0a11, action: "")
        message.put(UInt32(2))
        message.attribute(Int(1), text: "filter")
        message.attribute(Int(2), text: "FORWARD")
        message.attribute(Int(3), UInt64(5).bigEndian)
        message.attribute(Int(4), UInt32(3).bigEndian)
        event = NetlinkReply.split(message.sealed(sequence: 1, flags: 0)).first.flatMap { TraceEvent($0) }
        #expect(event.flatMap { rules.text($0) } == "counter packets 0 bytes 0 jump DOCKER-USER")
    }
}

@Suite("tracing in the kernel", .enabled(if: PrivateHost.isPossible, "needs root for network namespaces"))
struct LiveTraceTests {
    private func both(_ words: String, _ host: PrivateHost, _ wish: NetworkWish) throws -> (plan: Trace, live: Trace) {
        let query = try TraceQuery.parse(words.split(separator: " ").map(String.init))
        let answer = try PlanTrace(HostWish(networks: [wish]), host.networks.view()).run(query)
        return (answer.trace, try LiveTrace(home: host.home).run(try required(answer.route)))
    }

    @Test("plan and kernel agree on a NAT network, in every direction")
    func agree() throws {
        try PrivateHost.run { host in
            try host.addNeighbour()
            var wish = try labWish()
            wish.ports = [port(8080, of: wish, 0)]
            try host.networks.converge([wish])
            try host.addLabGuests()
            for words in [
                "web db:5432", "web 192.0.2.9:443", "web 192.0.2.9", "web host:22", "host web:80",
                "host 192.0.2.9:53/udp",
                "net web:80", "net web:81", "net host:22", "db 192.0.2.2:8080", "web fd77:1:2:3::1", "192.0.2.9 web:81",
                "web [2001:db8::9]:80",
            ] {
                let (plan, live) = try both(words, host, wish)
                #expect(plan.outcome == live.outcome, "\(words): \(plan) \(live)")
            }
            #expect(try host.ip("link").contains("utrace") == false)
            #expect(try host.sh("nft list tables").contains("trace") == false)
            #expect(try host.sh("nft list tables", in: "ursa-lab").contains("trace") == false)
        }
    }

    @Test("a foreign chain that drops is named, and that the plan thinks otherwise shows")
    func foreign() throws {
        try PrivateHost.run { host in
            try host.addNeighbour()
            let wish = try labWish()
            try host.networks.converge([wish])
            try host.addLabGuests()
            try host.sh("nft add table ip filter")
            try host.sh("nft add chain ip filter FORWARD { type filter hook forward priority 0 ; policy drop ; }")
            let (plan, live) = try both("web 192.0.2.9:443", host, wish)
            #expect(plan.outcome == .passes && live.outcome == .dropped)
            #expect(live.decision == "dropped by chain FORWARD of table ip filter: its policy")
            try host.sh("nft add chain ip filter FORWARD { policy accept ; }")
            try host.sh("nft add rule ip filter FORWARD tcp dport 443 counter reject")
            let refused = try both("web 192.0.2.9:443", host, wish).live
            #expect(refused.outcome == .rejected)
            #expect(refused.decision?.contains("tcp dport 443") == true, "\(refused)")
            #expect(try both("web 192.0.2.9:444", host, wish).live.outcome == .passes)
        }
    }
}
