import ArgumentParser
import UrsaBase
import UrsaControl

/// `ursa rm`
struct Remove: Verb {
    static let configuration = CommandConfiguration(
        commandName: "rm",
        abstract: "Delete machines with their disks.",
        discussion: """
            Images stay. A machine that runs is refused unless --force is given.

            Examples:
              ursa rm web
              ursa rm --force web db
            """)

    @OptionGroup var machines: MachineNames
    @Flag(name: .shortAndLong, help: "Kill those that run.")
    var force = false
    @OptionGroup var output: OutputOptions

    func perform() throws(UrsaError) {
        let ursa = try openUrsa()
        let names = try machines.resolve(ursa)
        try ursa.remove(names, force: force)
        if output.json { return Screen.json(.array(names.map(JSON.string))) }
        for name in names { Screen.line("\(printable(name)): removed") }
    }
}
