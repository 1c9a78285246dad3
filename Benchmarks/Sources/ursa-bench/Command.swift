import Glibc
import UrsaBase

// ursa-bench [FAMILY...] [--runs N] [--markdown FILE] [--strict]
//
// Started by scripts/bench, which makes the private corner of the host it needs. Prints one line per figure; notes go to
// standard error. Exit status: 0 all measured, 1 a family could not be measured (or, with --strict, fell short of a
// goal), 2 wrong usage.

/// All families, quick ones first.
private var families: [any Family.Type] {
    [
        NetworkFamily.self, FirewallFamily.self, StartFamily.self, ListFamily.self, KeeperFamily.self, ImageFamily.self,
        BareFamily.self, BootFamily.self, LabFamily.self,
    ]
}

struct Options {
    var chosen: [any Family.Type] = families
    var runs = 5
    var markdown: String?
    var strict = false

    init(_ arguments: [String]) throws(UrsaError) {
        var words = arguments.makeIterator()
        var names: [String] = []
        while let word = words.next() {
            switch word {
            case "--runs":
                guard let text = words.next(), let number = Int(text), (5...100).contains(number) else {
                    throw UrsaError(.usage, "--runs takes a number from 5 to 100")
                }
                runs = number
            case "--markdown":
                guard let path = words.next() else { throw UrsaError(.usage, "--markdown takes a file name") }
                markdown = path
            case "--strict": strict = true
            default: names.append(word)
            }
        }
        let known = families.map { $0.name }
        for name in names where !known.contains(name) {
            let near = nearMiss(name, among: known).map { "did you mean \($0)?" }
            throw UrsaError(
                .usage, "there is no family '\(name)'", remedy: near ?? "families: \(known.joined(separator: " "))")
        }
        if !names.isEmpty { chosen = families.filter { names.contains($0.name) } }
    }
}

@main
enum Command {
    static func main() {
        do {
            exit(try measureAll())
        } catch {
            try? writeAllBytes(2, Array("ursa-bench: \(error)\n".utf8), "standard error")
            exit(error.code.exitStatus)
        }
    }

    private static func environment(_ name: String) throws(UrsaError) -> String {
        guard let value = Environment.value(name) else {
            throw UrsaError(
                .usage, "\(name) is not set",
                remedy: "run scripts/bench: it makes the private corner of the host this needs")
        }
        return value
    }

    private static func measureAll() throws(UrsaError) -> Int32 {
        let options = try Options(Array(CommandLine.arguments.dropFirst()))
        let bench = Bench(
            runs: options.runs, scratch: try environment("URSA_BENCH_SCRATCH"),
            ursa: Ursa(path: try environment("URSA_BENCH_PROGRAM"), home: try environment("URSA_HOME")))
        var figures: [Figure] = []
        var failed: [String] = []
        for family in options.chosen {
            do throws(UrsaError) {
                for figure in try family.measure(bench) {
                    print(figure.line)
                    fflush(nil)
                    figures.append(figure)
                }
            } catch {
                failed.append(family.name)
                bench.note("\(family.name) could not be measured: \(error)")
            }
        }
        if let path = options.markdown {
            try File.replace(
                path, text: MarkdownTable.text(figures, facts: MachineFacts.lines(runs: options.runs)), mode: 0o644)
        }
        let short = figures.filter { !$0.passes }.map(\.name)
        print(
            "\(figures.count) figures, \(figures.count - short.count) reach their goal"
                + (short.isEmpty ? "" : ", short: \(short.joined(separator: " "))")
                + (failed.isEmpty ? "" : "; not measured: \(failed.joined(separator: " "))"))
        return !failed.isEmpty || (options.strict && !short.isEmpty) ? 1 : 0
    }
}
