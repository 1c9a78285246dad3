import Glibc
import TestSupport
import Testing
import UrsaBase

/// Many commands at the same moment, each a process of its own: nothing is given out twice, nothing is left.
@Suite(.enabled(if: Can.guests, "needs root, QEMU, dnsmasq and nft"), .timeLimit(.minutes(120)))
struct ConcurrencyTests {
    /// Runs command lines at the same time and hands back what each did.
    private func together(_ host: PrivateHost, _ lines: [[String]]) throws -> [Program.Output] {
        try OSThread.concurrently(lines) { (line: [String]) throws(UrsaError) -> Program.Output in
            try host.program(Products.ursa, line).run(seconds: 120)
        }
    }

    private func machines(_ host: PrivateHost) throws -> [JSON] {
        try JSON.parse(try host.ursaOK("ps", "-a", "--json")).array ?? []
    }

    @Test func machinesMadeAtTheSameMomentShareNothing() throws {
        let host = try PrivateHost()
        try SharedImages.lend(to: host.home)
        // Half of them leave the name to Ursa, and all find a home that is not there yet.
        let results = try together(
            host,
            (0..<8).map { number in
                ["run", "tiny", "--no-start", "-p", "\(9000 + number):80"]
                    + (number % 2 == 0 ? [] : ["--name", "m\(number)"])
            })
        #expect(results.allSatisfy { $0.end.isSuccess }, "\(results.map(\.errors))")
        let made = try machines(host)
        #expect(made.count == 8 && Set(made.compactMap { $0["name"]?.string }).count == 8)
        #expect(Set(results.map(\.text.trimmed)) == Set(made.compactMap { $0["name"]?.string }))
        let cards = made.compactMap { $0["cards"]?.array?.first }
        for member in ["mac", "address", "address6"] {
            #expect(Set(cards.compactMap { $0[member]?.string }).count == 8, "\(member)")
        }
        #expect(Set(cards.compactMap { $0["network"]?.string }) == ["default"])
        // Of two that want the same name, and of two that want the same port, one gets it.
        let same = try together(
            host, [["run", "tiny", "--no-start", "--name", "one"], ["run", "tiny", "--no-start", "--name", "one"]])
        #expect(same.filter { $0.end.isSuccess }.count == 1)
        #expect(same.contains { $0.errors.contains("exists already") })
        let port = try together(
            host, ["a", "b"].map { ["run", "tiny", "--no-start", "--name", $0, "-p", "127.0.0.1:9100:80"] })
        #expect(port.filter { $0.end.isSuccess }.count == 1)
        #expect(port.contains { $0.errors.contains("published by machine") })
        #expect(try host.leftovers() == [], "nothing was started")
    }

    @Test func startsStopsUpsAndDownsAtTheSameMomentEndInOrder() throws {
        let host = try PrivateHost()
        try SharedImages.lend(to: host.home)
        let file = host.folder + "/ursa.yaml"
        try File.replace(
            file,
            text: """
                networks: { lab: { nat: {} } }
                machines:
                  web: { image: tiny, memory: 128M, networks: [lab], publish: ["8080:80"] }
                """)
        for name in ["a", "b"] { try host.ursaOK("run", "tiny", "--no-start", "--name", name, "--memory", "128M") }
        let results = try together(
            host,
            [
                ["start", "a"], ["start", "a", "b"], ["start", "b"], ["up", "-f", file], ["up", "-f", file], ["settle"],
                ["ps"],
                ["plan", "-f", file],
            ])
        for result in results where !result.end.isSuccess {
            // Of two that make the same machine the later one may be told so; nothing else may go wrong.
            #expect(result.errors.contains("exists already"), "\(result.errors)")
        }
        let running = try machines(host).filter { $0["state"]?.string == "running" }
        #expect(Set(running.compactMap { $0["name"]?.string }) == ["a", "b", "web"])
        #expect(Set(running.compactMap { $0["enginePid"]?.integer }).count == 3)
        #expect(try host.ursa("ps").errors.isEmpty, "all networks are whole")

        let mixed = try together(
            host,
            [
                ["stop", "--kill", "a"], ["start", "a"], ["stop", "--kill", "a", "b"], ["settle"],
                ["down", "--kill", "-f", file],
                ["up", "-f", file], ["ps"],
            ])
        #expect(mixed.allSatisfy { $0.end.isSuccess }, "\(mixed.map(\.errors))")
        #expect(try host.ursa("ps").errors.isEmpty, "all networks are whole")
        let last = try together(
            host,
            [["down", "--kill", "--rm", "-f", file], ["rm", "--force", "a"], ["rm", "--force", "b"], ["settle"]])
        #expect(last.allSatisfy { $0.end.isSuccess }, "\(last.map(\.errors))")
        #expect(try machines(host).isEmpty)
        #expect(try host.leftovers() == [])
    }
}
