import ArgumentParser
import UrsaBase
import UrsaControl

/// `ursa up`
struct Up: Verb {
    static let configuration = CommandConfiguration(
        commandName: "up",
        abstract: "Make everything in ursa.yaml so, and start it.",
        discussion: """
            Does only what is not done yet: running it again changes nothing. `ursa plan` shows what it would do.

            Examples:
              ursa up --wait              return when every machine answers
              ursa up -f lab.yaml         another file, another project
              ursa up --restart           also restart what runs with old settings
            """)

    @OptionGroup var spec: SpecFile
    @Flag(name: .long, help: "Wait until every machine can be reached; says which step stopped when one can't.")
    var wait = false
    @Option(name: .long, help: ArgumentHelp("How long --wait waits.", valueName: "seconds"))
    var timeout = TimeSpan(120)
    @Flag(name: .long, help: "Restart running machines whose settings changed.")
    var restart = false
    @OptionGroup var output: OutputOptions

    func perform() throws(UrsaError) {
        let wanted = try spec.read()
        var options = UpOptions()
        options.wait = wait
        options.timeout = timeout.value
        options.restartChanged = restart
        let machines = try openUrsa().up(wanted, project: spec.project, options: options, report: Reports.show)
        if output.json { Screen.json(.array(machines.map(\.json))) }
    }
}
