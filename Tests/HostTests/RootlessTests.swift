import Glibc
import TestSupport
import Testing
import UrsaBase
import UrsaRootless

/// What an ordinary user gets: real networks in a private host, and nothing that needs root.
@Suite(
    .enabled(if: Can.guests && Can.passt, "needs root to make the private host, QEMU, dnsmasq, nft and passt"),
    .timeLimit(.minutes(120)))
struct RootlessTests {
    /// With the tun node open machines have taps, else their frames go by sockets.
    @Test(arguments: [false, true])
    func `machines of an ordinary user see each other, the outside, and are seen at their ports`(
        tunIsOpen: Bool
    ) throws {
        let me = try Person()
        try me.host.addOutside()
        try me.setTun(open: tunIsOpen)
        try me.write(
            """
            networks: { lab: { nat: {} } }
            machines:
              web: { image: tiny, memory: 128M, networks: [lab], publish: ["8080:80"] }
              db: { image: tiny, memory: 128M, networks: [lab] }
            """)
        let up = try me.ursa("up", "--wait", "--timeout", "120")
        #expect(up.end.isSuccess, "\(up.errors)")

        // A published port of the real host, on its loopback and on its own address.
        for address in ["127.0.0.1", PrivateHost.outsideHost] {
            let answer = try me.host.program("curl", ["-sS", "--max-time", "10", "http://\(address):8080/"])
                .run(seconds: 20).text
            #expect(answer.contains("web"), "the published port answers on \(address)")
        }
        // By name from machine to machine, and out to what is beyond the real host.
        let name = try me.ursa(
            "console", "web", "--send", "wget -qO- http://db/\\n", "--until", "you: ", "--timeout", "30")
        #expect(name.text.contains("hello from db"), "\(name.text) \(name.errors)")
        let outside = try me.ursa(
            "console", "web", "--send", "wget -qO- http://\(PrivateHost.outside)/\\n", "--until", "outside-says-hello",
            "--timeout", "30")
        #expect(outside.end.isSuccess, "\(outside.text) \(outside.errors)")

        let engine = try #require(me.processes(waiting: false).first { $0.contains("-netdev") })
        #expect(engine.contains("\"type\":\"tap\"") == tunIsOpen && engine.contains("dgram") != tunIsOpen)

        // On the real host there is no link, namespace, table or name, and all that runs is the user's.
        let present = try me.host.present()
        #expect(present.allSatisfy { $0.hasPrefix("process ") }, "\(present)")
        for pid in me.host.processes() where File.peek("/proc/\(pid)/cmdline")?.contains("ursa") == true {
            #expect(File.peek("/proc/\(pid)/status")?.contains("Uid:\t12345\t12345\t12345\t12345") == true)
        }
        let view = try #require(try JSON.parse(try me.ursa("ps", "--json").text).array?.first)
        #expect(view["state"]?.string == "running" && view["cards"]?.array?.first?["address"]?.string != nil)
        #expect(try me.ursa("ps").errors.isEmpty)

        let down = try me.ursa("down")
        #expect(down.end.isSuccess, "\(down.errors)")
        #expect(try me.host.leftovers() == [])
        #expect(me.processes() == [], "the private host ends with its last machine")
    }

    @Test func `a port that is in use or needs root is named, and nothing is left`() throws {
        let me = try Person()
        let holder = try me.host.program("python3", ["-m", "http.server", "8080", "--bind", "127.0.0.1"]).start()
        let deadline = Deadline.after(seconds: 10)
        while try !me.host.program("curl", ["-s", "http://127.0.0.1:8080/"]).run(seconds: 5).end.isSuccess,
            !deadline.isPast
        { pause(milliseconds: 50) }
        let used = try me.ursa("run", "tiny", "--name", "used", "--memory", "128M", "-d", "-p", "127.0.0.1:8080:80")
        #expect(used.end == .exited(1) && used.errors.contains("in use"), "\(used.errors)")
        // The private host of the first is just ending, or is kept by the second.
        let low = try me.ursa("run", "tiny", "--name", "low", "--memory", "128M", "-d", "-p", "80:80")
        if !low.end.isSuccess { #expect(low.errors.contains("1024"), "\(low.errors)") }
        for name in ["used", "low"] { _ = try me.ursa("rm", "--force", name) }
        holder.signal(SIGKILL)
        // Waited for: a dead child that nobody waits for keeps the exit tests of the same process from seeing theirs.
        _ = try holder.wait()
        #expect(try me.host.leftovers() == [])
        #expect(me.processes() == [])
    }

    @Test func `a command that is at work inside keeps the private host, and the last one ends it`() throws {
        let me = try Person()
        #expect(try me.ursa("run", "tiny", "--name", "one", "--memory", "128M", "-d").end.isSuccess)
        let holder = try #require(me.holder)
        let follower = try me.start("events", "--follow")
        pause(milliseconds: 500)
        #expect(try me.ursa("rm", "--force", "one").end.isSuccess)
        pause(milliseconds: 500)
        #expect(me.holder == holder && holder.isAlive)
        // The end that is wanted no longer is.
        #expect(try me.ursa("run", "tiny", "--name", "two", "--memory", "128M", "-d").end.isSuccess)
        follower.signal(SIGKILL)
        _ = try follower.wait()
        pause(milliseconds: 500)
        #expect(me.holder == holder && holder.isAlive)
        #expect(try me.ursa("rm", "--force", "two").end.isSuccess)
        #expect(me.processes() == [])
        #expect(me.holder == nil)
    }

    /// Each machine is the last one: the private host ends again and again while the next command enters.
    @Test func `commands that follow the end of a private host at once find one`() throws {
        let me = try Person()
        for turn in 0..<8 {
            let name = "m\(turn)"
            let run = try me.ursa("run", "tiny", "--name", name, "--memory", "128M", "-d")
            #expect(run.end.isSuccess, "\(run.errors)")
            let remove = try me.ursa("rm", "--force", name)
            #expect(remove.end.isSuccess, "\(remove.errors)")
        }
        #expect(me.processes() == [])
    }

    @Test func `without passt machines have user networking, and it is said`() throws {
        let me = try Person()
        try me.write(
            "machines: { web: { image: tiny, memory: 128M, publish: [\"8080:80\"] } }")
        let up = try me.ursa("up", "--wait", "--timeout", "90", environment: ["URSA_ROOTLESS_HOLDER=/nonexistent"])
        #expect(up.end.isSuccess, "\(up.errors)")
        #expect(up.errors.contains("machines do not see each other"), "what is missing is said: \(up.errors)")
        let answer = try me.host.program("curl", ["-sS", "--max-time", "20", "http://127.0.0.1:8080/"])
            .run(seconds: 30).text
        #expect(answer.contains("web"), "the published port answers")
        let down = try me.ursa("down")
        #expect(down.end.isSuccess, "\(down.errors)")
        #expect(try me.host.leftovers() == [])
    }

    @Test func doctorNeedsNoRights() throws {
        let me = try Person()
        let report = try me.ursa("doctor")
        #expect(report.text.contains("root"), "\(report.text) \(report.errors)")
        #expect(!report.errors.contains("bug"))
        let json = try JSON.parse(try me.ursa("doctor", "--json").text)
        #expect(json.members != nil || json.array != nil)
        for line in ["ps", "settle"] {
            let result = try me.ursa(line, seconds: 60)
            #expect(result.end.isSuccess, "\(line): \(result.errors)")
        }
        #expect(try me.host.leftovers() == [])
    }
}

/// Runs `ursa` on a private host of the test's as user 12345, whose home is a folder of the test's.
private struct Person {
    let host: PrivateHost
    let home: String
    let programs: String

    init() throws {
        host = try PrivateHost()
        home = host.folder + "/me"
        programs = host.folder + "/bin"
        // The build may stand where only root goes.
        try File.makeDirectory(programs, mode: 0o755)
        for program in [Products.ursa, try #require(Products.keeper), try #require(Products.rootless)] {
            try host.run("cp", [program, programs + "/"])
        }
        try File.makeDirectory(home + "/.local/share/ursa", mode: 0o755)
        try host.run("cp", ["-r", try SharedImages.path(), home + "/.local/share/ursa/images"])
        try host.run("chown", ["-R", "12345:12345", home])
    }

    /// Opens the tun node to everybody, as most distributions do, or closes it, whatever this machine has.
    func setTun(open: Bool) throws {
        let node = host.folder + "/tun"
        try host.run("mknod", ["-m", open ? "666" : "600", node, "c", "10", "200"])
        try host.run("mount", ["--bind", node, "/dev/net/tun"])
    }

    /// Processes of the user that still live (after a moment), also those in the private host.
    func processes(waiting: Bool = true) -> [String] {
        let deadline = Deadline.after(seconds: waiting ? 5 : 0)
        while true {
            let found = File.list("/proc").compactMap { Int32($0) }.filter { pid in
                File.peek("/proc/\(pid)/status")?.contains("Uid:\t12345") == true
                    && ProcessIdentity(running: pid) != nil
                    && File.peek("/proc/\(pid)/environ")?.contains(home) == true
            }
            if found.isEmpty || deadline.isPast { return found.map { File.peek("/proc/\($0)/cmdline") ?? "\($0)" } }
            pause(milliseconds: 50)
        }
    }

    func write(_ spec: String) throws { try File.replace(home + "/ursa.yaml", text: spec + "\n", mode: 0o644) }

    /// Who holds the user's private host.
    var holder: ProcessIdentity? { RootlessHost(folder: home + "/.local/share/ursa/rootless").holder }

    func ursa(_ arguments: String..., environment: [String] = [], seconds: Double = 150) throws -> Program.Output {
        try program(arguments, environment).run(seconds: seconds)
    }

    /// Starts a command that goes on.
    func start(_ arguments: String...) throws -> Child { try program(arguments, []).start() }

    private func program(_ arguments: [String], _ environment: [String]) -> Program {
        host.program(
            "setpriv",
            [
                "--reuid", "12345", "--regid", "12345", "--clear-groups", "--no-new-privs", "env", "-i", "-C", home,
                "HOME=\(home)", "PATH=/usr/bin:/bin:/usr/sbin:/sbin",
            ] + environment + [programs + "/ursa"] + arguments)
    }
}
