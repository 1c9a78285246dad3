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
        do throws(UrsaError) {
            try ursa.remove(names, force: force)
        } catch {
            // Those that could be deleted are gone all the same, and a person must hear it.
            let left = Set(try ursa.machines().map(\.name))
            let named = Set(error.flattened.compactMap { $0.code == .notFound ? $0.message : nil })
            for name in names where !left.contains(name) && !named.contains("there is no machine \(name)") {
                Reports.show(.machine(name, "removed"))
            }
            throw error
        }
        if output.json { return Screen.json(.array(names.map(JSON.string))) }
        for name in names { Screen.line("\(printable(name)): removed") }
    }
}
