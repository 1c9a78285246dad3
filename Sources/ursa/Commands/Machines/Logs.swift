import ArgumentParser
import UrsaBase
import UrsaControl

/// `ursa logs`
struct Logs: Verb {
    static let configuration = CommandConfiguration(
        commandName: "logs",
        abstract: "Print what a machine's console has shown since power-on.",
        discussion: """
            On a terminal, control sequences are taken out, so a guest can't play with it; --raw leaves them in. Files \
            and pipes get the bytes as they are.

            Examples:
              ursa logs web -n 50
              ursa logs web -f
              ursa logs web --engine        what QEMU had to say
            """)

    @Argument(help: ArgumentHelp("Name of the machine.", valueName: "name"), completion: Completions.machines)
    var name: String
    @Flag(name: .shortAndLong, help: "Go on as more comes, until the machine ends.")
    var follow = false
    @Flag(name: .long, help: "The log of the engine instead of the console.")
    var engine = false
    @Option(name: [.customShort("n"), .long], help: ArgumentHelp("Only the last lines.", valueName: "count"))
    var lines: UInt32?
    @Flag(name: .long, help: "Leave control sequences in.")
    var raw = false

    func perform() throws(UrsaError) {
        let ursa = try openUrsa()
        let kind: Ursa.LogKind = engine ? .engine : .console
        let name = name
        var log = try LogFollower { () throws(UrsaError) in try ursa.logPaths(name, kind: kind) }
        if let lines { try log.seek(lines: Int(lines)) }
        var filter = ControlFilter()
        let isFiltered = Terminal.isOutput && !raw
        func show(_ bytes: [UInt8]) { Screen.write(bytes: isFiltered ? filter.filter(bytes) : bytes) }

        try log.read(show)
        guard follow else { return }
        while !LogFollower.readerIsGone {
            if !log.wait(seconds: 1) {
                // Quiet for a second: is there anybody left to write?
                guard let state = try? ursa.machine(name).state, state != .stopped, state != .failed else {
                    return try log.read(show)
                }
            }
            try log.read(show)
        }
    }
}
