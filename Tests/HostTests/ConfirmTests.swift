import Glibc
import TestSupport
import Testing
import UrsaBase

/// Changes of the network that come back by themselves, whoever dies in between.
@Suite(.enabled(if: Can.networks, "needs root, dnsmasq and nft"), .timeLimit(.minutes(120)))
struct ConfirmTests {
    /// Anybody may speak to the host, or nobody may.
    private func policy(_ action: String, admins: String = "") -> String {
        """
        uplinks:
          one: { interface: eth0 }
          two: { interface: eth1, gateway: 198.18.0.1 }
        zones:
          net: { uplinks: [one, two] }
        policy:
          - { from: host, to: any, action: accept }
          - { from: net, to: host, action: \(action) }
          - { from: any, to: any, action: reject }
        \(admins)

        """
    }

    @Test(arguments: ["nobody", "the timer", "the watcher", "both, and a command comes"])
    func policyThatCutsTheClientIsTakenBackAtTheDeadline(killed: String) throws {
        let host = try PrivateHost()
        try host.addSeparateProviders()
        try host.serve(81)
        let file = try host.spec(policy("accept"))
        try host.ursaOK("net", "apply", "-f", file)
        #expect(try host.asker("192.0.2.2:81", in: "w") != nil)
        _ = try host.spec(policy("drop"))
        let begun = Deadline.now
        try host.ursaOK("net", "apply", "-f", file, "--confirm", "6s")
        #expect(try host.asker("192.0.2.2:81", in: "w") == nil, "the client is cut")
        let roles = killed.hasPrefix("both") ? ["timer", "watch"] : ["timer", "watch"].filter { killed.contains($0) }
        for role in roles {
            let process = try #require(host.watcher(role), "\(role)")
            #expect(process.signal(SIGKILL))
        }
        if killed.hasPrefix("both") {
            pause(milliseconds: 6500)
            try host.ursaOK("settle")
        }
        let time = try seconds(within: 30) { try host.asker("192.0.2.2:81", in: "w") != nil }
        let whole = Deadline.now.seconds(since: begun)
        #expect(time != nil && whole > 5 && whole < 6 + WatchTests.limit(3), "back after \(whole) s")
        #expect(try host.ursa("net", "confirm").end == .exited(3))
        #expect(try host.ursaOK("events").contains("it was not confirmed"))
        #expect(try host.ursaOK("net", "apply", "-f", try host.spec(policy("accept")), "--dry-run").contains("nothing"))
        try host.ursaOK("down", "-f", file)
        try host.removeProviders()
        #expect(try host.leftovers() == [])
    }

    @Test func confirmedChangeStaysAndAnotherOneMustWaitForIt() throws {
        let host = try PrivateHost()
        try host.addSeparateProviders()
        try host.serve(81)
        let file = try host.spec(policy("accept"))
        try host.ursaOK("net", "apply", "-f", file)
        _ = try host.spec(policy("reject"))
        let json = try JSON.parse(try host.ursaOK("firewall", "try", "4s", "-f", file, "--json"))
        #expect(json["confirmWithin"]?.integer == 4)
        let second = try host.ursa("firewall", "apply", "-f", file)
        #expect(second.end == .exited(1) && second.errors.contains("waits to be confirmed"), "\(second.errors)")
        try host.ursaOK("net", "confirm")
        pause(milliseconds: 5000)
        #expect(try host.asker("192.0.2.2:81", in: "w") == nil, "it stayed")
        #expect(host.watcher("timer") == nil)
        // One that is started when the deadline is gone already ends by itself.
        let watch = try #require(host.watcher("watch"))
        let words = try #require(File.peek("/proc/\(watch.pid)/cmdline")).split(separator: "\0").map(String.init)
        #expect(try host.program(words[0], ["--timer", words[2]]).run(seconds: 5).end.isSuccess)
        #expect(seconds(within: 5) { host.watcher("timer") == nil } != nil)
        // `down` with a change that waits takes back that first.
        _ = try host.spec(policy("accept"))
        try host.ursaOK("firewall", "try", "60s", "-f", file)
        try host.ursaOK("down", "-f", file)
        try host.removeProviders()
        #expect(try host.leftovers() == [])
    }

    @Test func changeThatWouldCutTheOwnSessionIsRefusedUnlessConfirmedOrAdmin() throws {
        let host = try PrivateHost()
        try host.addSeparateProviders()
        let file = try host.spec(policy("drop"))
        let session = ["SSH_CONNECTION=203.0.113.9 50000 192.0.2.2 22"]
        func apply(_ more: String...) throws -> Program.Output {
            try host.program(Products.ursa, ["net", "apply", "-f", file] + more, environment: session).run(seconds: 60)
        }
        let refused = try apply()
        #expect(refused.end == .exited(1), "\(refused.errors)")
        #expect(refused.errors.contains("cut your own session from 203.0.113.9"), "\(refused.errors)")
        #expect(refused.errors.contains("policy 2") && refused.errors.contains("--confirm"), "\(refused.errors)")
        #expect(try host.present().filter { $0.contains("ursa") } == [], "nothing was done")
        #expect(try apply("--confirm", "30s").end.isSuccess)
        try host.ursaOK("down", "-f", file)
        _ = try host.spec(policy("drop", admins: "admins: [203.0.113.0/24]"))
        #expect(try apply().end.isSuccess)
        try host.ursaOK("down", "-f", file)
        try host.removeProviders()
        #expect(try host.leftovers() == [])
    }

    @Test func checkPrintsTheMatrixAndFindsMistakes() throws {
        let host = try PrivateHost()
        let file = try host.spec(policy("drop"))
        let text = try host.ursaOK("firewall", "check", "-f", file)
        #expect(text.contains("FROM") && text.contains("net") && text.contains("drop"), "\(text)")
        let json = try JSON.parse(try host.ursaOK("firewall", "check", "-f", file, "--json"))
        #expect(json["zones"]?.array?.compactMap(\.string) == ["net", "host"])
        let pair = json["pairs"]?.array?.first { $0["from"]?.string == "net" && $0["to"]?.string == "host" }
        #expect(pair?["action"]?.string == "drop" && pair?["policy"]?.integer == 2)
        _ = try host.spec("zones: { net: { uplinks: [one] } }\nuplinks: { one: { interface: eth0 } }\n")
        #expect(try host.ursa("firewall", "check", "-f", file).end == .exited(2))
        #expect(try host.present() == [])
    }
}
