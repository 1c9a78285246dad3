import ArgumentParser
import UrsaBase
import UrsaControl

/// Which machines a command is about: names, or `--all`.
struct MachineNames: ParsableArguments {
    @Argument(help: ArgumentHelp("Names of machines.", valueName: "name"), completion: Completions.machines)
    var names: [String] = []
    @Flag(name: .shortAndLong, help: "All machines.")
    var all = false

    /// The names, each once, in the order given.
    func resolve(_ ursa: Ursa) throws(UrsaError) -> [String] {
        guard all != !names.isEmpty else {
            throw UrsaError(
                .usage, all ? "names and --all exclude each other" : "no machine is named", place: "NAME",
                remedy: all ? "leave one of the two out" : "name machines, or give --all; `ursa ps -a` lists them")
        }
        guard names.isEmpty else { return unique(names) }
        return try ursa.machines().map(\.name)
    }
}

/// The texts without repetitions.
func unique(_ texts: [String]) -> [String] {
    var seen: Set<String> = []
    return texts.filter { seen.insert($0).inserted }
}
