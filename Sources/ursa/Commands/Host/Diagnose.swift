import ArgumentParser
import UrsaBase
import UrsaControl
import UrsaDoctor

/// `ursa doctor`
struct Diagnose: Verb {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Say what this host can and can't do, and the one command that mends it.",
        discussion: """
            Changes nothing. Exit status 1 when something keeps Ursa from working.

            Examples:
              ursa doctor
              ursa doctor --json
            """)

    @OptionGroup var output: OutputOptions

    func perform() throws(UrsaError) { _ = try examine() }

    /// The report is the answer; its status says whether a problem is in it.
    mutating func run() throws {
        let status = try examine()
        if status != 0 { throw ExitCode(status) }
    }

    private func examine() throws(UrsaError) -> Int32 {
        let home = try Home.fromEnvironment()
        let findings = Doctor(home: home.folder, run: "/run/ursa").examine()
        if output.json {
            Screen.json(.array(findings.map(\.json)))
        } else {
            Screen.write(Doctor.render(findings, terminal: Terminal.hasColours))
        }
        return Doctor.exitStatus(findings)
    }
}
