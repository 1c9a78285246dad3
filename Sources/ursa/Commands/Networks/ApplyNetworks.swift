import ArgumentParser
import UrsaBase
import UrsaControl
import UrsaModel

/// `--confirm 60s`: a change that comes back by itself.
struct ConfirmOption: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp("Take it back after this time unless `ursa net confirm` is typed.", valueName: "time"))
    var confirm: TimeSpan?

    /// The time in seconds, within bounds that make sense.
    func seconds() throws(UrsaError) -> Double? {
        guard let confirm else { return nil }
        return try ConfirmOption.checked(confirm, "--confirm")
    }

    static func checked(_ time: TimeSpan, _ place: String) throws(UrsaError) -> Double {
        guard (1...86400).contains(time.value) else {
            throw UrsaError(.usage, "the time must be from 1 s to 24 h", place: place, remedy: "60s is usual")
        }
        return time.value
    }
}

/// `ursa net apply`
struct ApplyNetworks: Verb {
    static let configuration = CommandConfiguration(
        commandName: "apply",
        abstract: "Make the network side of ursa.yaml so, machines left alone.",
        discussion: """
            Networks, uplinks, zones, rules and forwards. Prints the steps, then looks
            whether gateways, name servers and your own session still answer; what was
            lost is put back. It refuses to cut the session that you type it in,
            unless --confirm is given.

            Examples:
              ursa net apply --dry-run
              ursa net apply --confirm 60s && ursa net confirm
            """)

    @OptionGroup var spec: SpecFile
    @OptionGroup var confirm: ConfirmOption
    @Flag(name: .long, help: "Only show the steps.")
    var dryRun = false
    @OptionGroup var output: OutputOptions

    func perform() throws(UrsaError) {
        let wanted = try spec.read()
        let seconds = try confirm.seconds()
        if dryRun {
            return NetworkChange.show(
                try openUrsa().planNetworks(wanted, project: spec.project, part: .networks), output)
        }
        var options = ApplyOptions()
        options.confirm = seconds
        options.what = "ursa net apply -f \(spec.project)"
        try NetworkChange.apply(wanted, spec, options, output)
    }
}

/// What the commands that change the host's networks have in common.
enum NetworkChange {
    static func apply(
        _ wanted: Spec, _ file: SpecFile, _ options: ApplyOptions, _ output: OutputOptions
    ) throws(UrsaError) {
        let lines = try openUrsa().applyNetworks(wanted, project: file.project, options: options)
        if output.json {
            Screen.json(
                .record([
                    "changes": Plan(lines: lines).json["changes"],
                    "confirmWithin": options.confirm.map { .integer(Int64($0.rounded(.up))) },
                ]))
        } else if lines.isEmpty {
            Screen.line("nothing to change")
        } else {
            Screen.write(lines.map { printable($0.description) + "\n" }.joined())
        }
        if let seconds = options.confirm {
            Screen.note("taken back in \(span(seconds)) unless you type `ursa net confirm`")
        }
    }

    static func show(_ plan: Plan, _ output: OutputOptions) {
        if output.json { return Screen.json(plan.json) }
        if plan.isEmpty { return Screen.line("nothing to change") }
        Screen.write(plan.lines.map { printable($0.description) + "\n" }.joined())
    }
}
