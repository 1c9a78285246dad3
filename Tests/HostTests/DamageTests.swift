import Glibc
import TestSupport
import Testing
import UrsaBase

/// What happens when somebody breaks what Ursa made: the next command says so, mends it, and leaves nothing behind.
@Suite(.enabled(if: Can.guests, "needs root, QEMU, dnsmasq and nft"), .timeLimit(.minutes(120)))
struct DamageTests {
    /// A host with one machine that is reachable at its published port.
    private func host() throws -> PrivateHost {
        let host = try PrivateHost(
            spec: """
                networks: { lab: { nat: {} } }
                machines: { web: { image: tiny, memory: 128M, networks: [lab], publish: ["8080:80"] } }
                """)
        try host.ursaOK("up", "-f", host.folder + "/ursa.yaml", "--wait", "--timeout", "90")
        return host
    }

    private func answers(_ host: PrivateHost) throws -> Bool {
        try host.program("curl", ["-sS", "--max-time", "5", "http://127.0.0.1:8080/"]).run(seconds: 10).text.contains(
            "web")
    }

    private func pids(_ host: PrivateHost) throws -> (engine: Int32, keeper: Int32) {
        let view = try JSON.parse(try host.ursaOK("inspect", "web"))
        let machine = view["machine"] ?? view.array?.first?["machine"]
        return (Int32(machine?["enginePid"]?.integer ?? 0), Int32(machine?["keeperPid"]?.integer ?? 0))
    }

    private func end(_ host: PrivateHost) throws {
        try host.ursaOK("down", "-f", host.folder + "/ursa.yaml", "--kill")
        #expect(try host.leftovers() == [])
    }

    @Test(arguments: ["flushed nft table", "deleted bridge", "killed dnsmasq", "deleted stem", "deleted namespace"])
    func damagedNetworkIsNamedAndMended(_ damage: String) throws {
        let host = try host()
        switch damage {
        case "flushed nft table": try host.run("nft", ["flush", "ruleset"])
        case "deleted bridge": try host.run("ip", ["-n", try host.namespace(), "link", "del", "br0"])
        case "killed dnsmasq":
            for pid in host.processes() where File.peek("/proc/\(pid)/comm") == "dnsmasq" {
                ProcessIdentity(running: pid)?.signal(SIGKILL)
            }
        case "deleted stem":
            let links = try host.run("ip", ["-o", "link", "show", "type", "veth"])
            let stem = links.split(separator: ":").dropFirst().first?.split(separator: "@").first.map { $0.trimmed }
            try host.run("ip", ["link", "del", try #require(stem)])
        default: try host.run("ip", ["netns", "del", try host.namespace()])
        }
        // What is done to the host's own tables and links is seen, and put right, by the watcher; the rest waits for the
        // next command.
        let isWatched = ["flushed nft table", "deleted stem"].contains(damage)
        if isWatched {
            let deadline = Deadline.after(seconds: 10)
            while try !host.ursa("ps").errors.isEmpty, !deadline.isPast { pause(milliseconds: 100) }
        } else {
            let listing = try host.ursa("ps")
            #expect(listing.end.isSuccess)
            #expect(listing.errors.contains("lab") && listing.errors.contains("ursa settle"), "ps: \(listing.errors)")
        }
        if damage == "deleted namespace" {
            // The machine's card hung in the namespace; the machine itself must be started again.
            try host.ursaOK("stop", "web", "--kill")
            try host.ursaOK("start", "web", "--wait", "--timeout", "90")
        } else if !isWatched {
            try host.ursaOK("settle")
        }
        let deadline = Deadline.after(seconds: 10)
        while try !answers(host), !deadline.isPast { pause(milliseconds: 200) }
        #expect(try answers(host), "after the mending the machine answers again")
        #expect(try host.ursa("ps").errors.isEmpty)
        try end(host)
    }

    @Test func machineOutlivesItsKeeperAndGetsANewOne() throws {
        let host = try host()
        let before = try pids(host)
        #expect(ProcessIdentity(running: before.keeper)?.signal(SIGKILL) == true)
        pause(milliseconds: 200)
        #expect(try host.ursaOK("ps").contains("orphaned"))
        #expect(try answers(host), "the machine goes on without its keeper")
        try host.ursaOK("settle")
        let after = try pids(host)
        #expect(after.engine == before.engine && after.keeper != before.keeper && after.keeper > 0)
        let seen = try host.ursaOK(
            "console", "web", "--no-replay", "--send", "echo still-''here\\n", "--until", "still-here", "--timeout",
            "20")
        #expect(seen.contains("still-here"))
        try host.ursaOK("stop", "web")
        #expect(try host.ursaOK("ps", "-a").contains("power"))
        try end(host)
    }

    @Test func killedEngineIsReportedInWordsAndItsNetworkGoes() throws {
        let host = try host()
        #expect(ProcessIdentity(running: try pids(host).engine)?.signal(SIGKILL) == true)
        #expect(try host.leftovers(patience: 20) == [])
        let table = try host.ursaOK("ps", "-a")
        #expect(table.contains("failed") && table.contains("killed"))
        try end(host)
    }

    @Test func keeperAndEngineKilledTogetherLeaveNothingAfterTheNextCommand() throws {
        let host = try host()
        let both = try pids(host)
        let (keeper, engine) = (ProcessIdentity(running: both.keeper), ProcessIdentity(running: both.engine))
        keeper?.signal(SIGKILL)
        engine?.signal(SIGKILL)
        _ = engine?.waitForEnd(until: .after(seconds: 5))
        #expect(try host.ursaOK("ps", "-a").contains("failed"))
        try host.ursaOK("settle")
        #expect(try host.leftovers() == [])
        try host.ursaOK("up", "-f", host.folder + "/ursa.yaml", "--wait", "--timeout", "90")
        #expect(try answers(host))
        try end(host)
    }

    @Test func readOnlyStateFolderStillListsAndSaysWhatToDo() throws {
        let host = try host()
        try end(host)
        try host.run("mount", ["--bind", host.home, host.home])
        try host.run("mount", ["-o", "remount,bind,ro", host.home])
        #expect(try host.ursaOK("ps", "-a").contains("web"))
        let result = try host.ursa("start", "web")
        #expect(result.end == .exited(1))
        #expect(result.errors.contains("URSA_HOME") || result.errors.contains("writable"), "\(result.errors)")
        #expect(try host.leftovers() == [])
        try host.run("umount", [host.home])
    }

    @Test func fullDiskIsSaidAndLeavesNothingBehind() throws {
        let host = try PrivateHost()
        try File.makeDirectory(host.home, mode: 0o711)
        try host.run("mount", ["-t", "tmpfs", "-o", "size=2m,mode=711", "tmpfs", host.home])
        try host.run("ln", ["-s", try SharedImages.path(), host.home + "/images"])
        try host.ursaOK("run", "tiny", "--name", "one", "--memory", "128M", "--no-start")
        _ = try? host.run("dd", ["if=/dev/zero", "of=\(host.home)/fill", "bs=4k"])
        let result = try host.ursa("run", "tiny", "--name", "two", "--memory", "128M", "-d")
        #expect(result.end == .exited(1))
        #expect(result.errors.contains("full") || result.errors.contains("space"), "\(result.errors)")
        #expect(try host.leftovers() == [])
        try host.run("rm", [host.home + "/fill"])
        try host.ursaOK("run", "tiny", "--name", "two", "--memory", "128M", "-d")
        try host.ursaOK("rm", "--force", "one", "two")
        #expect(try host.leftovers() == [])
        try host.run("umount", ["-l", host.home])
    }
}
