import Testing
import UrsaBase

/// One command as the parser describes it.
struct CommandDescription: Sendable, CustomStringConvertible {
    let path: [String]
    let options: [String]
    let isGroup: Bool
    var description: String { "ursa " + path.joined(separator: " ") }

    /// Every command that there is, from the parser's own description.
    static let all: [CommandDescription] = {
        guard let result = try? CommandRunner().run("--experimental-dump-help"),
            let root = try? JSON.parse(result.output)["command"]
        else { return [] }
        return walk(root, path: [])
    }()

    private static func walk(_ json: JSON, path: [String]) -> [CommandDescription] {
        let children = (json["subcommands"]?.array ?? []).filter { $0["commandName"]?.string != "help" }
        let options = (json["arguments"]?.array ?? []).filter { $0["shouldDisplay"]?.bool == true }.flatMap { option in
            (option["names"]?.array ?? []).compactMap { name -> String? in
                guard let text = name["name"]?.string else { return nil }
                return name["kind"]?.string == "short" ? "-" + text : "--" + text
            }
        }
        let own = CommandDescription(path: path, options: options, isGroup: !children.isEmpty)
        return [own] + children.flatMap { walk($0, path: path + [$0["commandName"]?.string ?? ""]) }
    }
}

@Suite struct HelpTests {
    @Test func everyVerbOfTheDesignIsThere() {
        let names = Set(CommandDescription.all.map { $0.path.joined(separator: " ") })
        for verb in [
            "run", "up", "plan", "down", "ps", "start", "stop", "rm", "console", "logs", "ssh", "inspect", "events",
            "top",
            "config", "schema", "doctor", "image build", "image pull", "image ls", "image rm", "net ls", "net inspect",
            "net map", "net trace", "net capture", "net impair", "net test", "net doctor",
            "settle", "net apply", "net confirm", "firewall check", "firewall apply", "firewall try",
        ] {
            #expect(names.contains(verb), "\(verb)")
        }
    }

    @Test("Help says what a command does, shows an example and names each option", arguments: CommandDescription.all)
    func help(_ command: CommandDescription) throws {
        let runner = try CommandRunner()
        let result = try runner.run(bytes: (command.path + ["--help"]).map { Array($0.utf8) })
        #expect(result.end == .exited(0))
        #expect(result.errors.isEmpty)
        #expect(result.output.hasPrefix("OVERVIEW: "))
        #expect(result.output.contains("Example"))
        #expect(result.output.contains("USAGE: " + command.description.trimmed))
        for option in command.options { #expect(result.output.contains(option), "\(option)") }
        for line in result.output.split(separator: "\n") where !line.hasPrefix("USAGE: ") {
            #expect(line.count <= 80, "wraps: \(line)")
        }
        // Help is free of side effects: it must work on a read-only machine, too.
        #expect(!File.exists(runner.home))
        #expect(runner.strayFiles() == [])
    }

    @Test func versionIsOneLine() throws {
        let result = try CommandRunner().run("--version")
        #expect(result.end == .exited(0))
        #expect(result.output.split(separator: "\n").count == 1)
        #expect(result.output.first?.isNumber == true)
    }

    @Test("settle is for keepers and not listed")
    func settleIsHidden() throws {
        #expect(!(try CommandRunner().run("--help").output.contains("settle")))
        #expect(try CommandRunner().run("settle", "--help").output.contains("ursa settle"))
    }

    @Test("Completion scripts are made for each shell", arguments: ["bash", "zsh", "fish"])
    func scripts(_ shell: String) throws {
        let result = try CommandRunner().run("--generate-completion-script", shell)
        #expect(result.end == .exited(0))
        #expect(result.output.contains("---completion"))
        guard shell == "bash", Path.program("bash") != nil else { return }
        let check = try Program("bash", ["-n"]).run(input: Array(result.output.utf8))
        #expect(check.end.isSuccess, "\(check.errors)")
    }

    @Test(
        "Completing is silent, succeeds and makes no home",
        arguments: [
            ["rm", "--", "positional@0", "0", "1", "m"], ["run", "--", "--network", "0", "1", "l"],
            ["run", "--", "positional@0", "0", "0", ""], ["rm", "--", "positional@0", "0", "-5", "m"],
            ["rm", "--", "positional@0", "-3", "0"], ["rm", "--", "positional@9", "0", "0", ""], ["nosuch"], ["--"], [],
            ["rm", "--", "--nosuch", "0", "0"], ["rm", "--", "positional@0", "99999999999999999999", "1"],
        ])
    func completing(_ words: [String]) throws {
        let runner = try CommandRunner()
        let result = try runner.run(bytes: (["---completion"] + words).map { Array($0.utf8) })
        #expect(result.end == .exited(0))
        #expect(result.errors.isEmpty)
        #expect(result.output.trimmed.isEmpty)
        #expect(!File.exists(runner.home))
    }
}
