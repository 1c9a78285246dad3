import ArgumentParser
import UrsaBase
import UrsaControl

/// `ursa stop`
struct Stop: Verb {
    static let configuration = CommandConfiguration(
        commandName: "stop",
        abstract: "Press the power button of machines; kill what has not ended in time.",
        discussion: """
            All at the same time. Each machine has its own time-out (`stop-timeout`, 30 s when it says nothing).

            Examples:
              ursa stop web
              ursa stop --all --timeout 5
              ursa stop web --kill
            """)

    @OptionGroup var machines: MachineNames
    @OptionGroup var ending: EndingOptions
    @OptionGroup var output: OutputOptions

    func perform() throws(UrsaError) {
        let options = try ending.options
        let ursa = try openUrsa()
        let names = try machines.resolve(ursa)
        try ursa.stop(names, options: options, report: Reports.show)
        if output.json { Screen.json(.array(names.map(JSON.string))) }
    }
}
