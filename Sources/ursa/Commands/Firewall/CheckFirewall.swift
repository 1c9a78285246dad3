import ArgumentParser
import UrsaBase
import UrsaControl

/// `ursa firewall check`
struct CheckFirewall: Verb {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Check zones, policies and rules, and print who may speak to whom.",
        discussion: """
            Changes nothing. Reads the file, makes the rules for the kernel, has nft
            check them (as root), and prints the policy of each pair of zones; (+2)
            says that two rules come before it.

            Examples:
              ursa firewall check
              ursa firewall check -f lab.yaml --json
            """)

    @OptionGroup var spec: SpecFile
    @OptionGroup var output: OutputOptions

    func perform() throws(UrsaError) {
        let wanted = try spec.read()
        let report = try openUrsa().checkFirewall(wanted, project: spec.project)
        if output.json {
            Screen.json(report.json)
        } else if report.zones.isEmpty {
            Screen.line("no zones: guests reach the outside, the outside reaches what is published")
        } else {
            show(report)
        }
        if let remark = report.remark { Screen.note(remark) }
        if let error = UrsaError.all(report.findings.map { UrsaError(.invalidSpec, $0, place: "firewall") }) {
            throw error
        }
    }

    private func show(_ report: FirewallReport) {
        let widths = report.zones.map { to in
            max(to.count, report.zones.map { from in report.words(from, to).count }.max() ?? 0)
        }
        let first = max("FROM ↓ TO →".count, report.zones.map(\.count).max() ?? 0)
        func line(_ head: String, _ cells: [String]) -> String {
            var text = head.padded(first + 2)
            for (cell, width) in zip(cells, widths) { text += cell.padded(width + 2) }
            while text.last == " " { text.removeLast() }
            return printable(text)
        }
        Screen.line(line("FROM ↓ TO →", report.zones))
        for from in report.zones { Screen.line(line(from, report.zones.map { report.words(from, $0) })) }
    }
}
