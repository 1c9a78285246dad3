import ArgumentParser
import UrsaBase
import UrsaControl
import UrsaDoctor

/// `ursa net doctor`
struct DiagnoseNetworks: Verb {
    static let configuration = CommandConfiguration(
        commandName: "doctor", abstract: "Say what keeps networks from working, and the one command that mends it.",
        discussion: """
            Foreign firewalls that drop forwarded packets, who holds the DNS port, routes that will vanish, bridges that \
            wait or snoop, Wi-Fi, frame sizes, and where Ursa's own networks are damaged. Changes nothing. Exit status 1 \
            when something keeps networks from working.

            Example:
              sudo ursa net doctor
            """)

    @OptionGroup var output: OutputOptions

    func perform() throws(UrsaError) { _ = try examine() }

    /// The report is the answer; its status says whether a problem is in it.
    mutating func run() throws {
        let status = try examine()
        if status != 0 { throw ExitCode(status) }
    }

    private func examine() throws(UrsaError) -> Int32 {
        let findings = try openUrsa().examineNetworks()
        if output.json {
            Screen.json(.array(findings.map(\.json)))
        } else {
            Screen.write(Doctor.render(findings, terminal: Terminal.hasColours))
        }
        return Doctor.exitStatus(findings)
    }
}
