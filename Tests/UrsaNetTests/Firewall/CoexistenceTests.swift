import TestSupport
import Testing
import UrsaBase
import UrsaFirewall

@testable import UrsaNet

/// Other firewalls' chains as they make them themselves.
enum ForeignFirewall {
    /// Docker 20 to 28 with iptables: daemon/libnetwork's filter chains for the default bridge.
    static func docker(_ program: String) -> [String] {
        [
            "-N DOCKER", "-N DOCKER-ISOLATION-STAGE-1", "-N DOCKER-ISOLATION-STAGE-2", "-N DOCKER-USER",
            "-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2",
            "-A DOCKER-ISOLATION-STAGE-1 -j RETURN", "-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP",
            "-A DOCKER-ISOLATION-STAGE-2 -j RETURN", "-A DOCKER-USER -j RETURN", "-P FORWARD DROP",
            "-A FORWARD -j DOCKER-USER", "-A FORWARD -j DOCKER-ISOLATION-STAGE-1",
            "-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
            "-A FORWARD -o docker0 -j DOCKER", "-A FORWARD -i docker0 ! -o docker0 -j ACCEPT",
            "-A FORWARD -i docker0 -o docker0 -j ACCEPT",
        ].map { "\(program) -w \($0)" }
    }

    /// ufw's forward chains with `DEFAULT_FORWARD_POLICY="DROP"` (before.rules, after.rules and user.rules).
    static func ufw(_ program: String, _ prefix: String) -> [String] {
        let parts = [
            "before-logging", "before", "after", "after-logging", "reject", "track",
        ].map { "\(prefix)-\($0)-forward" }
        return
            ((parts + ["\(prefix)-user-forward"]).map { "-N \($0)" } + parts.map { "-A FORWARD -j \($0)" } + [
                "-A \(prefix)-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
                "-A \(prefix)-before-forward -j \(prefix)-user-forward", "-P FORWARD DROP",
            ]).map { "\(program) -w \($0)" }
    }

    /// The part of firewalld 1.3's table that forwarded packets go through.
    static let firewalld = """
        table inet firewalld {
        chain filter_FWD_public {
        reject with icmpx admin-prohibited
        }
        chain filter_FWD_trusted {
        accept
        }
        chain filter_FORWARD_ZONES {
        iifname "eth0" goto filter_FWD_public
        goto filter_FWD_public
        }
        chain filter_FORWARD {
        type filter hook forward priority filter + 10; policy accept;
        ct state { established, related } accept
        ct status dnat accept
        iifname "lo" accept
        jump filter_FORWARD_ZONES
        reject with icmpx admin-prohibited
        }
        }

        """
}

@Suite(
    "living beside other firewalls",
    .enabled(if: PrivateHost.isPossible, "needs root for network namespaces"),
    .enabled(if: File.exists("/usr/sbin/iptables-nft"), "needs the package iptables"))
struct CoexistenceTests {
    private static func guestsOnline(_ host: PrivateHost) throws -> Bool {
        try host.fetch("192.0.2.9", in: "web") != nil && host.fetch("[2001:db8::9]", in: "web") != nil
    }

    /// A lab with guests, w outside with a server.
    private static func prepare(_ host: PrivateHost) throws -> (HostWish, [Background]) {
        try host.addNeighbour()
        let wish = HostWish(networks: [try labWish()])
        try host.networks.converge(wish)
        try host.addLabGuests()
        return (wish, [try host.serve("w", port: 80), try host.serve("web", port: 80)])
    }

    @Test("Docker's and ufw's forward policies don't cut guests off: one rule each, gone with the network")
    func sanctioned() throws {
        for name in ["docker", "ufw"] {
            try PrivateHost.run { host in
                let (wish, servers) = try Self.prepare(host)
                defer { withExtendedLifetime(servers) {} }
                let isDocker = name == "docker"
                let commands =
                    isDocker
                    ? ForeignFirewall.docker("iptables-nft") + ForeignFirewall.docker("ip6tables-nft")
                    : ForeignFirewall.ufw("iptables-nft", "ufw") + ForeignFirewall.ufw("ip6tables-nft", "ufw6")
                for command in commands { try host.sh(command) }
                let before = try host.sh("iptables-nft-save -t filter").split(separator: "\n").filter {
                    !$0.hasPrefix("#")
                }
                #expect(try !Self.guestsOnline(host), "the test's \(name) must be in the way")
                let chains =
                    isDocker
                    ? "ip filter DOCKER-USER, ip6 filter DOCKER-USER"
                    : "ip filter ufw-user-forward, ip6 filter ufw6-user-forward"
                #expect(
                    try host.networks.converge(wish).map(\.line) == ["+ a rule that lets guests through in \(chains)"])
                #expect(try Self.guestsOnline(host))
                #expect(host.networks.plan(wish, try host.networks.observe()).map(\.line) == [])
                #expect(try host.networks.observe().obstacles == [])
                // Their own program still understands the chain.
                let chain = isDocker ? "DOCKER-USER" : "ufw-user-forward"
                let listed = try host.sh("iptables-nft -w -S \(chain)")
                #expect(listed.contains("--mark 0x1000000/0x1000000") && listed.contains("ACCEPT"), "\(listed)")
                // Lost (their restart), and made twice (another hand): one again.
                try host.sh("iptables-nft -w -F \(chain)")
                #expect(try host.fetch("192.0.2.9", in: "web") == nil)
                try host.networks.converge(wish)
                #expect(try Self.guestsOnline(host))
                let tag = "\"\(host.home.tag)\""
                try host.sh("nft insert rule ip filter \(chain) counter accept comment \(tag)")
                #expect(try host.networks.converge(wish).map(\.line) == ["- our rule in ip filter \(chain)"])
                #expect(host.networks.plan(wish, try host.networks.observe()).map(\.line) == [])
                // Traffic that is none of ours is as it was.
                try host.networks.converge(HostWish())
                var after = try host.sh("iptables-nft-save -t filter").split(separator: "\n").filter {
                    !$0.hasPrefix("#")
                }
                if isDocker { after.insert("-A DOCKER-USER -j RETURN", at: after.count - 1) }
                func shape(_ lines: [Substring]) -> [String] {
                    lines.map { String($0.split(separator: "[").first ?? "") }.sorted()
                }
                #expect(shape(before) == shape(after))
            }
        }
    }

    @Test("a chain that has no place for us is named, and the command that is told mends it")
    func obstacle() throws {
        try PrivateHost.run { host in
            let (wish, servers) = try Self.prepare(host)
            defer { withExtendedLifetime(servers) {} }
            try host.sh("iptables-nft -w -P FORWARD DROP")
            try host.sh("ip6tables-nft -w -P FORWARD DROP")
            #expect(try host.networks.converge(wish).isEmpty)
            let obstacles = try host.networks.observe().obstacles
            #expect(obstacles.map(\.chain) == ["ip filter FORWARD", "ip6 filter FORWARD"])
            #expect(try !Self.guestsOnline(host))
            #expect(host.networks.health(["lab"])["lab"]?.hasPrefix("ip filter FORWARD drops") == true)
            for obstacle in obstacles {
                try host.sh(obstacle.remedy.replacing("tables ", with: "tables-nft -w "))
            }
            #expect(try Self.guestsOnline(host))
            #expect(try host.networks.observe().obstacles == [] && host.networks.health(["lab"]) == [:])
            try host.sh("nft add table inet mine")
            try host.sh("nft add chain inet mine f { type filter hook forward priority 5 ; policy drop ; }")
            #expect(try !Self.guestsOnline(host))
            let mine = try required(try host.networks.observe().obstacles.first { $0.chain == "inet mine f" })
            try host.sh(mine.remedy)
            #expect(try Self.guestsOnline(host) && host.networks.observe().obstacles == [])
        }
    }

    @Test("firewalld is asked to take our links into its trusted zone")
    func firewalld() throws {
        try PrivateHost.run { host in
            let (wish, servers) = try Self.prepare(host)
            defer { withExtendedLifetime(servers) {} }
            try FirewallTable.load(ForeignFirewall.firewalld)
            #expect(try !Self.guestsOnline(host))
            #expect(
                host.networks.plan(wish, try host.networks.observe()).map(\.line) == [
                    "+ ursa-lab in firewalld's zone trusted"
                ])
            // What `firewall-cmd --zone=trusted --add-interface` makes of it.
            try host.sh("nft insert rule inet firewalld filter_FORWARD_ZONES iifname ursa-lab goto filter_FWD_trusted")
            #expect(try Self.guestsOnline(host))
            #expect(host.networks.plan(wish, try host.networks.observe()).map(\.line) == [])
        }
    }

    @Test(
        "with br_netfilter a foreign drop does not part guests of a bridge on the host",
        .enabled(if: File.exists("/proc/sys/net/bridge"), "this kernel has no br_netfilter"))
    func bridgeFilter() throws {
        try PrivateHost.run { host in
            try host.addNeighbour()
            // A bridge of this home in the host's own namespace with two ports.
            var wish = HostWish(networks: [try labWish()])
            wish.networks[0].isOnHost = true
            let bridge = host.home.stemName("lab")
            try host.ip("link add \(bridge) type bridge")
            try host.ip("addr add 10.77.0.1/24 dev \(bridge)")
            try host.ip("link set \(bridge) up")
            for (name, address) in [("one", "10.77.0.10"), ("two", "10.77.0.11")] {
                try host.ip("netns add \(name)")
                try host.ip("link add eth0 netns \(name) type veth peer name \(name)")
                try host.ip("link set \(name) master \(bridge) up")
                try host.ip("addr add \(address)/24 dev eth0", in: name)
                try host.ip("link set eth0 up", in: name)
            }
            try Sysctl.set("bridge/bridge-nf-call-iptables", "1")
            for command in ForeignFirewall.docker("iptables-nft") { try host.sh(command) }
            let ping = "ping -c 1 -W 1 10.77.0.11"
            #expect(try !host.attempt(ping, in: "one").end.isSuccess)
            try FirewallTable.load(Ruleset(host.home, wish).text)
            let plan = CoexistencePlan(host.home, wish, try ForeignSeen.look(host.home, links: []))
            for step in plan.steps { try step.apply() }
            #expect(try host.attempt(ping, in: "one").end.isSuccess)
            #expect(Sysctl.read("bridge/bridge-nf-call-iptables") == "1")
            #expect(try !host.sh("nft list chain inet ursa srcnat_out").contains("counter"))
        }
    }

    @Test("a NAT network's own traffic never notices what happens to the host's rules")
    func storm() throws {
        try PrivateHost.run { host in
            let (wish, servers) = try Self.prepare(host)
            defer { withExtendedLifetime(servers) {} }
            try Sysctl.setIfPresent("bridge/bridge-nf-call-iptables", "1")
            let ping = Locked<Program.Output?>(nil)
            let thread = try OSThread {
                let result = try? host.attempt("ping -i 0.01 -c 300 -W 1 10.77.0.11", in: "web")
                ping.withLock { $0 = result }
            }
            var dice = Seeded(7)
            var slowest = 0.0
            for _ in 0..<12 {
                let damage = dice.pick([
                    "nft flush ruleset", "nft delete table inet ursa", "iptables-nft -w -P FORWARD DROP",
                    "nft flush chain inet ursa forward_in", "docker",
                ])
                for command in damage == "docker" ? ForeignFirewall.docker("iptables-nft") : [damage] {
                    _ = try host.attempt(command)
                }
                let start = Deadline.now
                try host.networks.converge(wish)
                slowest = max(slowest, Deadline.now.seconds(since: start))
                #expect(host.networks.plan(wish, try host.networks.observe()).map(\.line) == [])
                let isCulpritLeft = try !host.networks.observe().obstacles.isEmpty
                #expect(try (host.fetch("192.0.2.9", in: "web") != nil) == !isCulpritLeft, "after \(damage)")
            }
            thread.join()
            let text = try required(ping.withLock { $0 }).text
            #expect(text.contains("300 packets transmitted, 300 received"), "\(text.suffix(300))")
            #expect(slowest < 1)
        }
    }
}
