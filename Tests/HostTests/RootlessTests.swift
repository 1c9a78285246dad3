import Glibc
import TestSupport
import Testing
import UrsaBase

/// What an ordinary user gets: machines with user networking, and nothing that needs root.
@Suite(.enabled(if: Can.guests, "needs root to make the private host, QEMU, dnsmasq and nft"), .timeLimit(.minutes(20)))
struct RootlessTests {
    /// Runs `ursa` inside as user 12345, whose home is a folder of the test's.
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
            for program in [Products.ursa, try #require(Products.keeper)] {
                try host.run("cp", [program, programs + "/"])
            }
            try File.makeDirectory(home + "/.local/share/ursa", mode: 0o755)
            try host.run("cp", ["-r", try SharedImages.path(), home + "/.local/share/ursa/images"])
            try host.run("chown", ["-R", "12345:12345", home])
        }

        func ursa(_ arguments: String..., seconds: Double = 120) throws -> Program.Output {
            try host.program(
                "setpriv",
                [
                    "--reuid", "12345", "--regid", "12345", "--clear-groups", "--no-new-privs", "env", "-i", "-C", home,
                    "HOME=\(home)", "PATH=/usr/bin:/bin:/usr/sbin:/sbin", programs + "/ursa",
                ] + arguments
            ).run(seconds: seconds)
        }
    }

    @Test func ordinaryUserHasMachinesWithPublishedPorts() throws {
        let me = try Person()
        try File.replace(
            me.home + "/ursa.yaml",
            text: """
                networks: { lab: { nat: {} } }
                machines: { web: { image: tiny, memory: 128M, networks: [lab], publish: ["8080:80"] } }
                """, mode: 0o644)
        let up = try me.ursa("up", "--wait", "--timeout", "90")
        #expect(up.end.isSuccess, "\(up.errors)")
        #expect(up.errors.contains("machines do not see each other"), "what is missing is said: \(up.errors)")
        let deadline = Deadline.after(seconds: 20)
        var answer = ""
        while !answer.contains("web"), !deadline.isPast {
            answer = try me.host.program("curl", ["-sS", "--max-time", "5", "http://127.0.0.1:8080/"]).run(seconds: 10)
                .text
            if !answer.contains("web") { pause(milliseconds: 200) }
        }
        #expect(answer.contains("web"), "the published port answers")

        // Nothing of the host was touched, and all that runs is the user's.
        let present = try me.host.present()
        #expect(present.allSatisfy { $0.hasPrefix("process ") }, "\(present)")
        for pid in me.host.processes() where File.peek("/proc/\(pid)/cmdline")?.contains("ursa") == true {
            #expect(File.peek("/proc/\(pid)/status")?.contains("Uid:\t12345\t12345\t12345\t12345") == true)
        }
        let view = try #require(try JSON.parse(try me.ursa("ps", "--json").text).array?.first)
        #expect(view["state"]?.string == "running" && view["cards"]?.array?.first?["address"]?.string == nil)
        #expect(try me.ursa("ps").errors.isEmpty)

        // A taken port is named before anything runs.
        let second = try me.ursa("run", "tiny", "--name", "two", "--memory", "128M", "-d", "-p", "8080:80")
        #expect(second.end == .exited(1) && second.errors.contains("published by machine web"), "\(second.errors)")
        let low = try me.ursa("run", "tiny", "--name", "low", "--memory", "128M", "-d", "-p", "80:80")
        if !low.end.isSuccess { #expect(low.errors.contains("1024"), "\(low.errors)") }

        let down = try me.ursa("down")
        #expect(down.end.isSuccess, "\(down.errors)")
        _ = try me.ursa("rm", "--force", "low")
        #expect(try me.host.leftovers() == [])
    }

    @Test func doctorNeedsNoRights() throws {
        let me = try Person()
        let report = try me.ursa("doctor")
        #expect(
            report.text.contains("root") || report.text.contains("user networking"), "\(report.text) \(report.errors)")
        #expect(!report.errors.contains("bug"))
        #expect(
            try JSON.parse(try me.ursa("doctor", "--json").text).members != nil
                || JSON.parse(try me.ursa("doctor", "--json").text).array != nil)
        for line in [["ps"], ["image", "ls"], ["net", "ls"], ["settle"]] {
            let result = try me.host.program(
                "setpriv",
                [
                    "--reuid", "12345", "--regid", "12345", "--clear-groups", "env", "HOME=\(me.home)", "URSA_HOME=",
                    me.programs + "/ursa",
                ] + line
            ).run(seconds: 60)
            #expect(result.end.isSuccess, "\(line): \(result.errors)")
        }
        #expect(try me.host.leftovers() == [])
    }
}
