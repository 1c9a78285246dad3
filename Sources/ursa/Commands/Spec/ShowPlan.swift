import ArgumentParser
import UrsaBase
import UrsaControl

/// `ursa plan`
struct ShowPlan: Verb {
    static let configuration = CommandConfiguration(
        commandName: "plan",
        abstract: "Show what `ursa up` would change, on the host too.",
        discussion: """
            Changes nothing. Lines start with + (made), - (removed), ~ (changed), ! (destroys data or needs a restart).

            Examples:
              ursa plan
              ursa plan --down --rm       what `ursa down --rm` would do
            """)

    @OptionGroup var spec: SpecFile
    @Flag(name: .long, help: "Plan `ursa down` instead of `ursa up`.")
    var down = false
    @Flag(name: .customLong("rm"), help: "With --down: also the deletion of machines and disks.")
    var remove = false
    @OptionGroup var output: OutputOptions

    func perform() throws(UrsaError) {
        guard down || !remove else {
            throw UrsaError(.usage, "--rm belongs to --down", place: "--rm", remedy: "add --down, or leave --rm out")
        }
        let plan: Plan
        if down {
            plan = try openUrsa().planDown(project: spec.project, remove: remove)
        } else {
            let wanted = try spec.read()
            plan = try openUrsa().plan(wanted, project: spec.project)
        }
        if output.json { return Screen.json(plan.json) }
        if plan.isEmpty { return Screen.line("nothing to change") }
        let colours = Terminal.hasColours
        Screen.write(plan.lines.map { ShowPlan.text($0, colours: colours) + "\n" }.joined())
    }

    private static func text(_ line: PlanLine, colours: Bool) -> String {
        let text = printable(line.description)
        switch line.sign {
        case "+": return Terminal.paint(text, .green, when: colours)
        case "-": return Terminal.paint(text, .red, when: colours)
        case "~": return Terminal.paint(text, .yellow, when: colours)
        case "!": return Terminal.paint(Terminal.paint(text, .red, when: colours), .bold, when: colours)
        default: return text
        }
    }
}
