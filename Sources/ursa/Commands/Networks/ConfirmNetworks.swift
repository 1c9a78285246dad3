import ArgumentParser
import UrsaBase
import UrsaControl

/// `ursa net confirm`
struct ConfirmNetworks: Verb {
    static let configuration = CommandConfiguration(
        commandName: "confirm",
        abstract: "Keep a change that was applied with --confirm.",
        discussion: """
            That you can type it shows that you can still reach the host. Ends with
            status 3 when nothing waits: confirmed already, or taken back.

            Example:
              ursa net confirm
            """)

    @OptionGroup var output: OutputOptions

    func perform() throws(UrsaError) {
        let what = try openUrsa().confirmNetworks()
        if output.json { return Screen.json(.record(["confirmed": .string(what)])) }
        Screen.line("kept: \(printable(what))")
    }
}
