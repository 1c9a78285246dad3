import Glibc
import TestSupport
import Testing
import UrsaBase

/// The console of a real machine through the real command.
@Suite(.enabled(if: Can.guests, "needs root, QEMU, dnsmasq and nft"), .timeLimit(.minutes(120)))
struct ConsoleTests {
    @Test func viewersShareOneConsoleFromPowerOn() throws {
        let host = try PrivateHost()
        try SharedImages.lend(to: host.home)
        try host.ursaOK(
            "run", "tiny", "--name", "web", "--memory", "128M", "--network", "none", "-d", "--wait", "--timeout", "90",
            "--kernel-arguments", "loglevel=6")

        // Several watch what one types; each sees everything since power-on first.
        let watching = ["console", "web", "--read-only", "--until", "seen-by-all", "--timeout", "40"]
        let typing = [
            "console", "web", "--send", "sleep 1; echo seen-''by-all\\n", "--until", "seen-by-all", "--timeout", "40",
        ]
        let outputs = try OSThread.concurrently([watching, watching, typing]) {
            (line: [String]) throws(UrsaError) -> Program.Output in
            try host.program(Products.ursa, line).run(seconds: 60)
        }
        for output in outputs {
            #expect(output.end.isSuccess && output.text.contains("seen-by-all"), "\(output.errors)")
        }
        for output in outputs.prefix(2) { #expect(output.text.contains("ursa: ready"), "the past comes first") }
        #expect(outputs[2].text.contains("ursa: ready") == false, "who only sends gets what comes after")

        // A later viewer has it too, unless it asks not to.
        #expect(try host.ursa("console", "web", "--timeout", "1").text.contains("seen-by-all"))
        #expect(try !host.ursa("console", "web", "--no-replay", "--timeout", "1").text.contains("seen-by-all"))

        // Who watches types nothing.
        let silent = try host.ursa("console", "web", "--read-only", "--timeout", "2", input: "echo typed-''anyway\n")
        #expect(!silent.text.contains("typed-anyway"))
        #expect(try !host.ursaOK("logs", "web").contains("typed-anyway"))
        let both = try host.ursa("console", "web", "--read-only", "--send", "x")
        #expect(both.end == .exited(2))

        // A viewer that dies takes nothing with it.
        let child = try host.program(Products.ursa, ["console", "web"]).start()
        pause(milliseconds: 300)
        for pid in host.processes() where File.peek("/proc/\(pid)/cmdline")?.contains("console\0web") == true {
            ProcessIdentity(running: pid)?.signal(SIGKILL)
        }
        _ = try child.wait()
        #expect(try host.ursaOK("ps").contains("running"))
        try host.ursaOK("rm", "--force", "web")
        #expect(try host.leftovers() == [])
    }
}
