import Glibc
import TestSupport
import Testing
import UrsaBase

/// What becomes of machines that end or reboot by themselves, and of settings that only a restart brings.
@Suite(.enabled(if: Can.guests, "needs root, QEMU, dnsmasq and nft"), .timeLimit(.minutes(120)))
struct RestartTests {
    /// A host with a machine that has no network, so that nothing but the restart is looked at.
    private func host(restart: String, wait: Bool = false) throws -> PrivateHost {
        let host = try PrivateHost()
        try SharedImages.lend(to: host.home)
        try host.ursaOK(
            "run", "tiny", "--name", "web", "--memory", "128M", "--network", "none", "--restart", restart, "--no-start")
        try host.program(Products.ursa, ["start", "web"] + (wait ? ["--wait", "--timeout", "90"] : []))
            .require("start the machine", seconds: 120)
        return host
    }

    private func view(_ host: PrivateHost) throws -> JSON {
        try #require(try JSON.parse(try host.ursaOK("ps", "-a", "--json")).array?.first)
    }

    private func until(_ host: PrivateHost, _ what: String, _ condition: (JSON) -> Bool) throws -> JSON {
        let deadline = Deadline.after(seconds: 30)
        while true {
            let view = try view(host)
            if condition(view) { return view }
            try #require(!deadline.isPast, "\(what): \(view.text)")
            pause(milliseconds: 100)
        }
    }

    private func killEngine(_ view: JSON) throws {
        let engine = try #require(view["enginePid"]?.integer.flatMap { ProcessIdentity(running: Int32($0)) })
        #expect(engine.signal(SIGKILL))
    }

    @Test func killedEngineIsStartedAgainUpToItsLimit() throws {
        let host = try host(restart: "on-failure:1")
        let first = try view(host)
        try killEngine(first)
        let second = try until(host, "a restart") { $0["state"]?.string == "running" && $0["restarts"]?.integer == 1 }
        #expect(second["enginePid"]?.integer != first["enginePid"]?.integer)
        #expect(second["keeperPid"]?.integer == first["keeperPid"]?.integer, "the same keeper")
        try killEngine(second)
        let last = try until(host, "the end") { $0["state"]?.string == "failed" }
        #expect(last["reason"]?.string?.contains("not started again after 1 restart") == true, "\(last.text)")
        #expect(try host.leftovers() == [])
    }

    @Test func alwaysStartsAgainUntilAPersonStopsIt() throws {
        let host = try host(restart: "always", wait: true)
        _ = try host.ursa("console", "web", "--send", "poweroff\\n", "--until", "ursa: ready", "--timeout", "60")
        let again = try until(host, "a restart") { $0["state"]?.string == "running" && $0["restarts"]?.integer == 1 }
        #expect(again["reason"] == nil || again["reason"] == .null)
        try host.ursaOK("stop", "--kill", "web")
        pause(milliseconds: 1500)
        #expect(try view(host)["state"]?.string == "stopped")
        #expect(try host.leftovers() == [])
    }

    @Test func guestRebootGoesOnInTheSameEngine() throws {
        let host = try host(restart: "no", wait: true)
        let before = try view(host)
        let seen = try host.ursaOK("console", "web", "--send", "reboot\\n", "--until", "ursa: ready", "--timeout", "60")
        #expect(seen.contains("ursa: ready"))
        let after = try view(host)
        #expect(after["enginePid"]?.integer == before["enginePid"]?.integer && after["restarts"]?.integer == 0)
        try host.ursaOK("stop", "--kill", "web")
        #expect(try host.leftovers() == [])
    }

    @Test func guestPanicIsAFailureInWords() throws {
        let host = try host(restart: "no", wait: true)
        _ = try host.ursa(
            "console", "web", "--send", "echo c > /proc/sysrq-trigger\\n", "--until", "never", "--timeout", "20")
        let end = try until(host, "the end") { $0["state"]?.string == "failed" }
        #expect(end["reason"]?.string?.contains("panicked") == true, "\(end.text)")
        #expect(try host.ursaOK("ps", "-a").contains("panicked"))
        #expect(try host.leftovers() == [])
    }

    @Test func settingsThatNeedARestartComeWithIt() throws {
        let host = try PrivateHost()
        try SharedImages.lend(to: host.home)
        let file = host.folder + "/ursa.yaml"
        func write(_ memory: String, _ port: Int) throws {
            try File.replace(
                file,
                text: """
                    networks: { lab: { nat: {} } }
                    machines: { web: { image: tiny, memory: \(memory), networks: [lab], publish: ["\(port):80"] } }
                    """)
        }
        try write("128M", 8080)
        try host.ursaOK("up", "-f", file)
        let before = try view(host)
        try write("192M", 8081)
        for _ in 0..<2 {
            // It is said each time, not only the first; the port leads there at once.
            let result = try host.ursa("up", "-f", file)
            #expect(result.end.isSuccess && result.errors.contains("--restart"), "\(result.errors)")
        }
        let between = try view(host)
        #expect(between["enginePid"]?.integer == before["enginePid"]?.integer)
        #expect(between["publish"]?.array?.first?.string == "8081:80")
        try host.ursaOK("up", "--restart", "-f", file)
        let after = try view(host)
        #expect(after["enginePid"]?.integer != before["enginePid"]?.integer && after["memory"]?.integer == 192 << 20)
        for _ in 0..<3 {
            try host.ursaOK("stop", "--kill", "web")
            try host.ursaOK("start", "web")
        }
        try host.ursaOK("down", "--kill", "--rm", "-f", file)
        #expect(try host.leftovers() == [])
    }
}
