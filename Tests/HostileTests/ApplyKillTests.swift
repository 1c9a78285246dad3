import Glibc
import TestSupport
import Testing
import UrsaBase

/// `ursa net apply` of random specs with kill -9 at a random system call: afterwards the host is as before or as wanted
/// as soon as the next command has run, never between.
@Suite(
    .enabled(if: Can.networks, "needs root, dnsmasq and nft"),
    .enabled(if: Path.program("strace") != nil, "needs strace"),
    .timeLimit(.minutes(120)))
struct ApplyKillTests {
    /// A thousand in a campaign.
    static let rounds = getenv("URSA_CAMPAIGN") != nil ? 1000 : 60

    private func spec(_ random: inout Seeded) -> String {
        var text = ""
        let uplinks = [[], ["one"], ["one", "two"]].randomElement(using: &random) ?? []
        if !uplinks.isEmpty {
            text += "uplinks:\n"
            for name in uplinks {
                let link = name == "one" ? "eth0" : "eth1, gateway: 198.18.0.1"
                text += "  \(name): { interface: \(link), weight: \(Int.random(in: 1...4, using: &random)) }\n"
            }
        }
        let networks = ["lab", "dmz", "back"].filter { _ in Bool.random(using: &random) }
        if !networks.isEmpty {
            text += "networks:\n"
            for name in networks {
                let models = ["nat: {}", "isolated: {}", "nat: {}, mtu: 1400"]
                let model = models.randomElement(using: &random) ?? "nat: {}"
                text += "  \(name): { \(model) }\n"
            }
        }
        if !uplinks.isEmpty, Bool.random(using: &random) {
            let action = ["accept", "drop", "reject"].randomElement(using: &random) ?? "drop"
            text += "zones:\n  net: { uplinks: [\(uplinks.joined(separator: ", "))] }\npolicy:\n"
            text += "  - { from: host, to: any, action: accept }\n  - { from: any, to: any, action: \(action) }\n"
        }
        return text.isEmpty ? "networks: {}\n" : text
    }

    @Test func applyKilledAnywhereEndsInTheOldOrTheNewState() throws {
        var random = Seeded(20_261_121)
        let host = try PrivateHost()
        for (link, address) in [("eth0", "192.0.2.2"), ("eth1", "198.18.0.2")] {
            try host.run("ip", ["link", "add", link, "type", "veth", "peer", "name", link + "p"])
            try host.run("ip", ["addr", "add", address + "/24", "dev", link])
            try host.run("ip", ["link", "set", link, "up"])
            try host.run("ip", ["link", "set", link + "p", "up"])
        }
        try host.run("ip", ["route", "add", "default", "via", "192.0.2.1"])
        let file = host.folder + "/ursa.yaml"
        var old = "networks: {}\n"
        var kills = 0
        for round in 0..<Self.rounds {
            let new = spec(&random)
            try File.replace(file, text: new, mode: 0o644)
            let call = KillTests.calls.randomElement(using: &random) ?? "sendto"
            // Most kinds of calls are few: low numbers more often.
            let number = Int.random(in: 1...Int.random(in: 1...20, using: &random), using: &random)
            let result = try host.program(
                "strace",
                [
                    "-f", "-b", "execve", "-qq", "-o", "/dev/null", "-e", "trace=\(call)", "-e",
                    "inject=\(call):signal=KILL:when=\(number)", Products.ursa, "net", "apply", "-f", file,
                ]
            ).run(seconds: 60)
            let isKilled = result.end == .signalled(SIGKILL) || result.end == .exited(128 + SIGKILL)
            #expect(isKilled || result.end.isSuccess, "round \(round): \(result.errors)")
            kills += isKilled ? 1 : 0
            try host.ursaOK("settle")
            var isNew = try isInForce(host, new)
            if !isNew {
                let isOld = try isInForce(host, old)
                #expect(isKilled && isOld, "round \(round), \(call) \(number): between\n\(old)and\n\(new)")
                // From something known to the next round.
                try File.replace(file, text: new, mode: 0o644)
                try host.ursaOK("net", "apply", "-f", file)
                isNew = try isInForce(host, new)
            }
            #expect(isNew, "round \(round)")
            old = new
        }
        #expect(kills > Self.rounds / 5, "\(kills) kills")
        try host.ursaOK("down", "-f", file)
        for link in ["eth0", "eth1"] { try host.run("ip", ["link", "del", link]) }
        #expect(try host.leftovers() == [])
    }

    private func isInForce(_ host: PrivateHost, _ text: String) throws -> Bool {
        let file = host.folder + "/ursa.yaml"
        try File.replace(file, text: text, mode: 0o644)
        return try host.ursaOK("net", "apply", "--dry-run", "-f", file).trimmed == "nothing to change"
    }
}
