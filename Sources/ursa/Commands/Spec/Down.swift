import ArgumentParser
import UrsaBase
import UrsaControl

/// `ursa down`
struct Down: Verb {
    static let configuration = CommandConfiguration(
        commandName: "down",
        abstract: "Stop the machines of ursa.yaml and take their networks away.",
        discussion: """
            The machines keep their disks, names and addresses unless --rm is given. The file itself may be gone.

            Examples:
              ursa down                   power buttons pressed, networks taken away
              ursa down --rm              machines and their disks are deleted too
            """)

    @OptionGroup var spec: SpecFile
    @Flag(name: .customLong("rm"), help: "Also delete the machines with their disks.")
    var remove = false
    @OptionGroup var ending: EndingOptions
    @OptionGroup var output: OutputOptions

    func perform() throws(UrsaError) {
        try openUrsa().down(project: spec.project, remove: remove, options: try ending.options, report: Reports.show)
        if output.json { Screen.json(.object([])) }
    }
}
