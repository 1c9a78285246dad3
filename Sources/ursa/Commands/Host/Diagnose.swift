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

    func perform() throws(UrsaError) {
        let findings = Doctor(home: try Home.fromEnvironment().folder).examine()
        if output.json { return Screen.json(.array(findings.map(\.json))) }
        Screen.write(Doctor.render(findings))
    }
}
