import ArgumentParser
import UrsaBase
import UrsaControl

/// `ursa start`
struct Start: Verb {
    static let configuration = CommandConfiguration(
        commandName: "start",
        abstract: "Start machines that exist.",
        discussion: """
            A machine that runs already is left alone. The networks they need come up with them.

            Examples:
              ursa start web db
              ursa start web --wait --timeout 60
            """)

    @OptionGroup var machines: MachineNames
    @Flag(name: .long, help: "Wait until they can be reached; says which step stopped when one can't.")
    var wait = false
    @Option(name: .long, help: ArgumentHelp("How long --wait waits.", valueName: "seconds"))
    var timeout = TimeSpan(120)
    @OptionGroup var output: OutputOptions

    func perform() throws(UrsaError) {
        let ursa = try openUrsa()
        let names = try machines.resolve(ursa)
        let started = try ursa.start(names, wait: wait, timeout: timeout.value, report: Reports.show)
        if output.json { Screen.json(.array(started.map(\.json))) }
    }
}
