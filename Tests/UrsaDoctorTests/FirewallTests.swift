import CLinux
import Glibc
import Testing
import UrsaBase

@testable import UrsaDoctor

/// Real rules, loaded by nft into a network namespace that ends with the test's thread.
@Suite("Doctor: foreign firewalls", .enabled(if: canUnshare, "needs root and nft"))
struct FirewallTests {
    private func findings(_ rules: String, then: [String] = []) throws -> [Finding] {
        try OSThread.run { () throws(UrsaError) in
            try check(clinux_unshare_network(), "make a network namespace")
            try Program("nft", ["-f", "-"]).require("load rules", input: Array(rules.utf8))
            for command in then { try Program("nft", [command]).require("run the remedy") }
            return FirewallCheck().examine(HostFacts())
        }
    }

    /// The words that the shell would hand to nft.
    private func argument(_ remedy: String?) throws -> String {
        let remedy = try #require(remedy)
        #expect(remedy.hasPrefix("nft '") && remedy.hasSuffix("'"))
        return String(remedy.dropFirst("nft '".count).dropLast())
    }

    @Test func emptyRulesetIsFine() throws {
        let findings = try findings("")
        #expect(findings.map(\.severity) == [.ok])
    }

    @Test func droppingForwardChainIsNamedAndItsRemedyMendsIt() throws {
        let rules = "table inet site { chain fwd-all { type filter hook forward priority 0; policy drop; }; }"
        let finding = try #require(try findings(rules).first)
        #expect(finding.severity == .problem)
        #expect(finding.message.contains("chain fwd-all of table inet site (forward, policy drop)"))
        let mended = try findings(rules, then: [try argument(finding.remedy)])
        #expect(mended.map(\.severity) == [.ok])
    }

    @Test func dockersChainIsOpenedInItsUserChain() throws {
        let rules = """
            table ip filter {
                chain DOCKER-USER { return; }
                chain FORWARD { type filter hook forward priority 0; policy drop; jump DOCKER-USER; }
            }
            """
        let finding = try #require(try findings(rules).first)
        #expect(finding.message.hasPrefix("Docker's chain FORWARD"))
        let command = try argument(finding.remedy)
        #expect(command.hasPrefix("insert rule ip filter DOCKER-USER iifname \"ursa-*\" accept"))
        #expect(try findings(rules, then: [command]).map(\.severity) == [.ok])
    }

    @Test func unconditionalRejectAtTheEndCountsAsDrop() throws {
        let rules = """
            table inet firewalld {
                chain filter_FORWARD {
                    type filter hook forward priority 10; policy accept;
                    ct state established accept
                    counter reject with icmpx admin-prohibited
                }
            }
            """
        let finding = try #require(try findings(rules).first)
        #expect(
            finding.message.hasPrefix("firewalld's chain filter_FORWARD")
                && finding.message.contains("last rule reject"))
        #expect(finding.remedy == "firewall-cmd --zone=trusted --add-interface=ursa-+")
    }

    @Test func ufwIsToldInItsOwnWords() throws {
        let rules = """
            table ip filter {
                chain ufw-before-forward { }
                chain FORWARD { type filter hook forward priority 0; policy drop; jump ufw-before-forward; }
            }
            """
        #expect(try findings(rules).first?.remedy == "ufw default allow routed")
    }

    @Test func chainsThatLetPassOrAreOursAreNotBlamed() throws {
        let rules = """
            table inet ursa-lab { chain forward { type filter hook forward priority 0; policy drop; }; }
            table inet other {
                chain a { type filter hook forward priority 0; policy accept; ip daddr 192.0.2.1 drop; }
                chain b { type nat hook postrouting priority 100; }
            }
            """
        #expect(try findings(rules).map(\.severity) == [.ok])
    }

    @Test func lossOfIPv6OnlyIsAWarningAndInputANote() throws {
        let rules = """
            table ip6 t { chain f { type filter hook forward priority 0; policy drop; }; }
            table inet u { chain i { type filter hook input priority 0; policy drop; }; }
            """
        #expect(try findings(rules).map(\.severity) == [.warning, .note])
    }

    @Test func legacyTablesThatCantBeReadAreTold() throws {
        let host = try FakeHost(["/proc/net/ip_tables_names": "nat\nfilter\n"])
        try host.install("apt-get")
        #expect(host.examine(FirewallCheck()).first?.remedy == "apt-get install -y iptables")
        try host.install("iptables-legacy", script: "echo '-P FORWARD DROP'")
        let finding = try #require(host.examine(FirewallCheck()).first)
        #expect(finding.severity == .problem && finding.message.contains("iptables-legacy (policy DROP)"))
        #expect(finding.remedy?.hasPrefix("sh -c 'iptables-legacy -I FORWARD -i ursa-+ -j ACCEPT && ") == true)
    }

    @Test func namesThatCouldCommandAShellGetNoCommand() throws {
        let text = """
            {"nftables":[{"chain":{"family":"ip","table":"t; flush ruleset","name":"c'","type":"filter","hook":"forward","policy":"drop"}},
            {"chain":7},{"rule":{"family":"ip"}},null]}
            """
        let findings = FirewallCheck().examine(try Ruleset(Array(text.utf8)), try FakeHost().facts)
        #expect(findings.count == 1 && findings[0].severity == .problem && findings[0].remedy == nil)
    }
}

private let canUnshare = geteuid() == 0 && Path.program("nft") != nil
