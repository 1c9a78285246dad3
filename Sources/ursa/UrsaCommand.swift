import ArgumentParser
import UrsaBase
import UrsaControl

/// The root of the command line.
struct UrsaCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ursa",
        abstract: "Runs virtual machines on networks that simply work.",
        discussion: """
            Examples:
              ursa run tiny        one machine, from nothing to a prompt
              ursa up --wait       everything in ursa.yaml, until all can be reached
              ursa doctor          what this host can do, and what mends the rest

            State lives in $URSA_HOME, else /var/lib/ursa (root) or ~/.local/share/ursa.
            Exit status: 0 done, 1 failed, 2 wrong usage or spec, 3 not found,
            130 interrupted.
            """,
        version: ursaVersion,
        groupedSubcommands: [
            CommandGroup(
                name: "Machines:",
                subcommands: [
                    Run.self, ListMachines.self, Start.self, Stop.self, Remove.self, Attach.self, Logs.self, SSH.self,
                    Inspect.self, Events.self, Top.self,
                ]),
            CommandGroup(
                name: "Everything in ursa.yaml:",
                subcommands: [Up.self, ShowPlan.self, Down.self, Config.self, Schema.self]),
            CommandGroup(
                name: "Images and networks:",
                subcommands: [ImageCommand.self, NetworkCommand.self, FirewallCommand.self]),
            CommandGroup(name: "The host:", subcommands: [Diagnose.self, Settle.self]),
        ])
}

/// One verb of the command line: what it does, with our own errors.
protocol Verb: ParsableCommand {
    /// Calls what decides and acts, and prints what came of it.
    func perform() throws(UrsaError)
}

extension Verb {
    /// The parser's entry.
    mutating func run() throws { try perform() }
}

/// The façade over the home that the environment names, with remarks and progress shown on the screen.
func openUrsa() throws(UrsaError) -> Ursa {
    try Ursa(
        home: try Home.fromEnvironment(), notice: { Screen.note($0) }, progress: { Screen.show($0) })
}
