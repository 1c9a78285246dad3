import Testing
import UrsaBase

/// Usage is told apart from what does not exist.
private let usage: Set<Int32> = [2]
private let missing: Set<Int32> = [3]
/// A name that can't be is either of the two.
private let either: Set<Int32> = [2, 3]

private let long = String(repeating: "a", count: 10_000)
private let huge = String(repeating: "9", count: 400)

private let unknownCommands: [WrongLine] = [
    WrongLine(usage, "pss"), WrongLine(usage, "Run", "tiny"), WrongLine(usage, "RUN"), WrongLine(usage, ""),
    WrongLine(usage, " "), WrongLine(usage, "run tiny"), WrongLine(usage, "../../etc/passwd"), WrongLine(usage, long),
    WrongLine(usage, "\u{1b}[31mred"), WrongLine(usage, "ps\n"), WrongLine(usage, "мaшина"), WrongLine(usage, "🐻"),
    WrongLine(usage, "image", "bulid"), WrongLine(usage, "image", ""), WrongLine(usage, "net", "lss"),
    WrongLine(usage, "--kill"), WrongLine(usage, "-x"), WrongLine(usage, "-"), WrongLine(usage, "--", "ps"),
    WrongLine(usage, "--=x"), WrongLine(usage, "-=-=-"),
    WrongLine(usage, bytes: [[0xff, 0xfe, 0x80]]), WrongLine(usage, bytes: [[0x01, 0x02, 0x7f]]),
    WrongLine(usage, bytes: [Array("--".utf8) + [0xc3, 0x28]]), WrongLine(usage, "$(reboot)"),
    WrongLine(usage, ";reboot"), WrongLine(usage, "`reboot`"),
]

private let unknownOptions: [WrongLine] = [
    WrongLine(usage, "ps", "--al"), WrongLine(usage, "ps", "extra"), WrongLine(usage, "ps", "-aqx"),
    WrongLine(usage, "ps", "--all=yes"), WrongLine(usage, "ps", "--\(long)"), WrongLine(usage, "up", "now"),
    WrongLine(usage, "down", "--remove"), WrongLine(usage, "plan", "--rm"), WrongLine(usage, "config", "x", "y"),
    WrongLine(usage, "schema", "--yaml"), WrongLine(usage, "doctor", "--fix"), WrongLine(usage, "settle", "all"),
    WrongLine(usage, "events", "--since"), WrongLine(usage, "events", "--since", "yesterday"),
    WrongLine(usage, "events", "--since", "-5m"), WrongLine(usage, "events", "--since", "2026-13-01T00:00:00Z"),
    WrongLine(usage, "events", "--since", huge), WrongLine(usage, "events", "--since", "1e3"),
    WrongLine(usage, "events", "--since", "nan"), WrongLine(usage, "events", "--since", "infinity"),
    WrongLine(usage, "top", "--interval", "0"), WrongLine(usage, "top", "--interval", "-1"),
    WrongLine(usage, "top", "-i", "1e9"), WrongLine(usage, "top", "-i", huge), WrongLine(usage, "top", "-i", ""),
    WrongLine(usage, "net", "ls", "lab"), WrongLine(usage, "net", "inspect"), WrongLine(usage, "image", "rm"),
    WrongLine(usage, "net", "map", "lab"), WrongLine(usage, "net", "map", "--svg"),
    WrongLine(missing, "net", "map", "-f", "/nosuch"),
    WrongLine(usage, "net", "trace"), WrongLine(usage, "net", "trace", "web"), WrongLine(usage, "net", "trace", "→"),
    WrongLine(usage, "net", "trace", "web", "db", "x"), WrongLine(usage, "net", "trace", "web", "db:99999"),
    WrongLine(usage, "net", "trace", "web", "db:80/sctp"), WrongLine(usage, "net", "trace", "web", ":80"),
    WrongLine(missing, "net", "trace", "nosuch", "host"), WrongLine(missing, "net", "trace", long, "\u{1b}[31m"),
    WrongLine(usage, "net", "capture"), WrongLine(usage, "net", "capture", "web", "--count", "0"),
    WrongLine(usage, "net", "capture", "web", "-c", "many"), WrongLine(usage, "net", "capture", "web", "-s", "soon"),
    WrongLine(usage, "net", "impair", "web"), WrongLine(usage, "net", "impair", "web", "--clear", "--loss", "1%"),
    WrongLine(usage, "net", "impair", "web", "--loss", "101%"),
    WrongLine(usage, "net", "impair", "web", "--loss", "-1"),
    WrongLine(usage, "net", "impair", "web", "--delay", "5"), WrongLine(usage, "net", "impair", "web", "--delay", huge),
    WrongLine(usage, "net", "impair", "web", "--jitter", "5ms"),
    WrongLine(usage, "net", "impair", "web", "--rate", "0"),
    WrongLine(usage, "net", "impair", "web", "--rate", huge), WrongLine(usage, "net", "test", "lab"),
    WrongLine(usage, "net", "doctor", "--fix"),
]

private let machineNames: [WrongLine] =
    ["start", "stop", "rm", "inspect"].flatMap { verb in
        [
            WrongLine(usage, verb), WrongLine(usage, verb, "--"), WrongLine(missing, verb, "nosuch"),
            WrongLine(either, verb, "../../etc"), WrongLine(either, verb, "/"), WrongLine(either, verb, ""),
            WrongLine(either, verb, "."), WrongLine(either, verb, "a\nb"), WrongLine(either, verb, long),
            WrongLine(either, verb, "--", "--force"), WrongLine(either, verb, "\u{202e}exe"),
            WrongLine(either, verb, "'; DROP TABLE machines; --"),
            WrongLine(either, bytes: [Array(verb.utf8), [0xff]]),
        ]
    }

private let verbsOnMachines: [WrongLine] = [
    WrongLine(usage, "stop", "--all", "web"), WrongLine(usage, "stop", "web", "--kill", "--timeout", "5"),
    WrongLine(usage, "stop", "web", "--timeout", "soon"), WrongLine(usage, "stop", "web", "--timeout", huge),
    WrongLine(usage, "stop", "web", "--timeout", "-1"), WrongLine(usage, "start", "web", "--timeout", "1.2.3"),
    WrongLine(usage, "rm", "--frce", "web"), WrongLine(usage, "console"), WrongLine(missing, "console", "nosuch"),
    WrongLine(usage, "console", "web", "db"), WrongLine(usage, "console", "web", "--until", "("),
    WrongLine(usage, "console", "web", "--until", ""), WrongLine(usage, "console", "web", "--until", "a{9999999999}"),
    WrongLine(usage, "console", "web", "--until", "[z-a]"),
    WrongLine(usage, "console", "web", "--until", "\\p{nosuch}"), WrongLine(usage, "console", "web", "--until", long),
    WrongLine(usage, "console", "web", "--until", String(repeating: "(", count: 1000)),
    WrongLine(usage, "console", "web", "--until", String(repeating: "[", count: 999)),
    WrongLine(usage, "console", "web", "--send", "\\q"), WrongLine(usage, "console", "web", "--send", "\\x1"),
    WrongLine(usage, "console", "web", "--send", "\\"), WrongLine(usage, "console", "web", "--send", "x", "-r"),
    WrongLine(usage, "console", "web", "--detach-key", "^1"), WrongLine(usage, "console", "web", "--detach-key", "^é"),
    WrongLine(usage, "console", "web", "--detach-key", "ctrl-ab"), WrongLine(usage, "logs"),
    WrongLine(missing, "logs", "nosuch"), WrongLine(either, "logs", "../../../etc/passwd"),
    WrongLine(usage, "logs", "web", "-n", "many"), WrongLine(usage, "logs", "web", "-n", "-3"),
    WrongLine(usage, "logs", "web", "-n", huge), WrongLine(usage, "ssh"), WrongLine(missing, "ssh", "nosuch"),
    WrongLine(usage, "ssh", "web", "--user", "-oProxyCommand=reboot"),
    WrongLine(usage, "ssh", "web", "--user=-oProxyCommand=reboot"), WrongLine(usage, "ssh", "web", "--user", ""),
    WrongLine(either, "ssh", "--", "-oProxyCommand=reboot"), WrongLine(missing, "net", "inspect", "nosuch"),
    WrongLine(either, "net", "inspect", "../lab"),
]

private let runs: [WrongLine] =
    [
        ["--cpus", "0"], ["--cpus", "-1"], ["--cpus", huge], ["--cpus", "two"], ["--cpus", "1.5"], ["--cpus", ""],
        ["--cpus", "0x10"], ["--cpus=257"], ["--memory", "12Q"], ["--memory", huge], ["--memory", "1"],
        ["--memory", "-512M"], ["--memory", "999999T"], ["--memory", ""], ["--disk", "big"], ["--disk", "0"],
        ["--disk", huge + "G"], ["--name", "Web"], ["--name", ""], ["--name", "../../etc"], ["--name", "a b"],
        ["--name", "-web"], ["--name", "--kill"], ["--name=--kill"], ["--name", long],
        ["--name", "web\u{0}".filter { $0 != "\u{0}" } + "_"],
        ["--name", "wéb"], ["--name", "1web"], ["--name", "web-"], ["--name", "\u{1b}]0;title\u{7}"],
        ["--publish", "80"], ["--publish", "0:80"], ["--publish", "8080:65536"], ["--publish", "8080:80/sctp"],
        ["--publish", "a:b"], ["--publish", ":::"], ["--publish", "1.2.3.4.5:80:80"], ["-p", "[::1:80:80"],
        ["-p", long], ["-p", "8080:80", "-p", "8080:81"], ["--network", "none", "--network", "default"],
        ["--network", "Lab"], ["--network", "default:999.1.1.1"], ["--network", "default,mac=zz"],
        ["--network", "../lab"], ["--network", ""], ["--restart", "sometimes"], ["--restart", "on-failure:-1"],
        ["--restart", "on-failure:\(huge)"], ["--restart", ""], ["--engine", "bochs"], ["--accelerator", "hvf"],
        ["--stop-timeout", "0"], ["--stop-timeout", "1h"], ["--stop-timeout", huge], ["--ssh-key", "/etc"],
        ["--ssh-key", "/dev/zero"], ["--ssh-key", "/etc/passwd"], ["--detach", "--rm"], ["--no-start", "--wait"],
        ["--no-start", "--rm"], ["--timeout", "never"], ["--kernel-arguments"], ["--cpus"], ["another"],
        ["--kernel-arguments", "a\nb"], ["--kernel-arguments", long], ["--kill"],
    ].map { options in WrongLine(usage, bytes: (["run", "tiny"] + options).map { Array($0.utf8) }) } + [
        WrongLine(usage, "run"), WrongLine(either, "run", ""), WrongLine(either, "run", "--", "--name"),
        WrongLine(either, "run", "nosuchimage"), WrongLine(either, "run", "../../etc/passwd"),
        WrongLine(either, "run", "/nosuch.qcow2"), WrongLine(either, "run", long), WrongLine(either, "run", "a:b:c"),
        WrongLine(either, "run", "tiny\u{1b}[2J"), WrongLine(either, "run", "tiny", "--network", "nosuch"),
        WrongLine(either, "run", "tiny", "--ssh-key", "/nosuch.pub"), WrongLine(either, "run", "tiny", "--ssh-key", ""),
    ]

private let files: [WrongLine] = ["up", "plan", "config"].flatMap { verb in
    [
        WrongLine(missing, verb), WrongLine(missing, verb, "-f", "nosuch.yaml"), WrongLine(usage, verb, "-f"),
        WrongLine(either, verb, "-f", ""), WrongLine(usage, verb, "-f", "/"), WrongLine(usage, verb, "-f", "/dev/zero"),
        WrongLine([1, 2, 3], verb, "-f", long), WrongLine(missing, verb, "-f", "../../../../nosuch/\u{1b}[31m.yaml"),
        WrongLine(usage, verb, "-f", "-"),  // standard input is empty
        WrongLine(usage, verb, "--file", "/proc/self/exe"), WrongLine(usage, verb, "--flie", "x"),
    ]
}

private let images: [WrongLine] = [
    WrongLine(usage, "image", "build"), WrongLine(either, "image", "build", "nosuch"),
    WrongLine(either, "image", "build", "../../etc"), WrongLine(either, "image", "build", ""),
    WrongLine(either, "image", "build", long), WrongLine(usage, "image", "pull"),
    WrongLine(usage, "image", "pull", "x"),
    WrongLine(usage, "image", "pull", ""), WrongLine([1, 2], "image", "pull", "gopher://example.org/x.img"),
    WrongLine([1, 2, 3], "image", "pull", "file:///nosuch/disk.qcow2"),
    WrongLine(usage, "image", "pull", "https://example.org/x.img", "--sha256", "short"),
    WrongLine(usage, "image", "pull", "https://example.org/x.img", "--sha256", String(repeating: "z", count: 64)),
    WrongLine(usage, "image", "pull", "https://example.org/x.img", "--sha256", String(repeating: "０", count: 64)),
    WrongLine(usage, "image", "pull", "https://example.org"), WrongLine(usage, "image", "pull", "--", "--name"),
    WrongLine(usage, "image", "pull", "file:///etc/hostname", "--name", "../../x"),
    WrongLine(either, "image", "rm", "nosuch"), WrongLine(either, "image", "rm", "../../etc"),
    WrongLine(either, "image", "rm", ""), WrongLine(either, "image", "rm", "--", "-rf"),
]

@Suite struct WrongLineTests {
    static let all = unknownCommands + unknownOptions + machineNames + verbsOnMachines + runs + files + images

    @Test("A wrong command line gets its status and errors of one form, and touches nothing", arguments: all)
    func isRefused(_ line: WrongLine) throws {
        let runner = try CommandRunner()
        let result = try runner.run(bytes: line.arguments)
        guard case .exited(let status) = result.end else {
            Issue.record("ursa \(result.end): \(result.errors)")
            return
        }
        #expect(line.statuses.contains(status), "status \(status): \(result.errors)")
        #expect(result.output.isEmpty)
        #expect(result.errors.hasPrefix("ursa: "))
        for text in result.errorLines {
            #expect(text.hasPrefix("ursa: ") || text.hasPrefix("    "), "no error line: \(text)")
            #expect(text.utf8.count < 3000)
        }
        #expect(!result.errors.unicodeScalars.contains { $0.value < 32 && $0 != "\n" || $0.value == 0x202e })
        #expect(runner.strayFiles() == [])
    }

    @Test func thereAreEnoughOfThem() { #expect(WrongLineTests.all.count > 200) }

    @Test("With --json errors are one JSON object on standard error")
    func errorsAreJSON() throws {
        let runner = try CommandRunner()
        let result = try runner.run("run", "tiny", "--json", "--cpus", "x", "--memory", "y")
        #expect(result.end == .exited(2))
        let errors = try JSON.parse(result.errors)["errors"]?.array ?? []
        #expect(errors.compactMap { $0["place"]?.string } == ["--cpus", "--memory"])
        #expect(errors.allSatisfy { $0["code"]?.string == "usage" && $0["message"] != nil && $0["remedy"] != nil })
        let parser = try runner.run("ps", "--json", "--al")
        #expect(try JSON.parse(parser.errors)["errors"]?.array?.count == 1)
        // Behind -- it is a word for the guest, not an option.
        #expect(try runner.run("ssh", "nosuch", "--", "ls", "--json").errors.hasPrefix("ursa: "))
    }

    @Test("All wrong options are told at once, each at its place")
    func allAtOnce() throws {
        let result = try CommandRunner().run(
            "run", "tiny", "--cpus", "x", "--memory", "y", "--disk", "z", "--publish", "p", "--restart", "r",
            "--engine",
            "e", "--accelerator", "a", "--stop-timeout", "s", "--network", "N", "--name", "_")
        #expect(result.end == .exited(2))
        for option in [
            "--cpus", "--memory", "--disk", "--publish", "--restart", "--engine", "--accelerator", "--stop-timeout",
            "--network", "--name",
        ] {
            #expect(result.errorLines.count { $0.contains(" — \(option) — ") } == 1, "\(option): \(result.errors)")
        }
    }

    @Test(
        "A near miss is named",
        arguments: [
            (["pss"], "did you mean 'ps'?"), (["image", "bulid"], "did you mean 'build'?"),
            (["ps", "--al"], "did you mean '--all'?"), (["rm", "--frce", "x"], "did you mean '--force'?"),
            (["run", "tiny", "--publsh", "x"], "did you mean '--publish'?"),
        ])
    func nearMiss(_ arguments: [String], _ advice: String) throws {
        let result = try CommandRunner().run(bytes: arguments.map { Array($0.utf8) })
        #expect(result.errors.contains(" — \(advice)"), "\(result.errors)")
    }

    @Test("What is far from everything gets no silly advice")
    func noSillyAdvice() throws {
        #expect(!(try CommandRunner().run("run", "tiny", "--zzz").errors.contains("did you mean")))
        #expect(!(try CommandRunner().run("frobnicate").errors.contains("did you mean")))
    }

    @Test("A missing spec shows what to write")
    func missingSpec() throws {
        let result = try CommandRunner().run("up")
        #expect(result.end == .exited(3))
        #expect(result.errors.contains("    machines:\n      web: { image: tiny"))
    }
}
