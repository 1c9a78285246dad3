import ArgumentParser
import UrsaBase
import UrsaControl
import UrsaModel

/// `ursa net ls`
struct ListNetworks: Verb {
    static let configuration = CommandConfiguration(
        commandName: "ls", abstract: "List networks.",
        discussion: """
            Example:
              ursa net ls --json | jq '.[].subnet'
            """)

    @Flag(name: .shortAndLong, help: "Print names only.")
    var quiet = false
    @OptionGroup var output: OutputOptions

    func perform() throws(UrsaError) {
        let networks = try openUrsa().networks()
        if output.json { return Screen.json(.array(networks.map(\.json))) }
        if quiet { return Screen.write(networks.map { printable($0.spec.name) + "\n" }.joined()) }
        var table = Table("NAME", "MODEL", "SUBNET", "SUBNET6", "STATE", "MACHINES")
        for network in networks {
            table.add(
                network.spec.name, network.spec.model.rawValue, network.subnet?.description ?? "-",
                network.subnet6?.description ?? "-", network.state.rawValue,
                network.machines.isEmpty ? "-" : network.machines.joined(separator: ","))
        }
        table.print()
        for network in networks {
            let name = network.spec.name
            if let trouble = network.trouble { Screen.note("network \(name): \(trouble)") }
            if let impairment = network.impairment { Screen.note("network \(name) is impaired: \(impairment)") }
            for member in network.members {
                if let impairment = member.impairment {
                    Screen.note("machine \(member.machine) is impaired on \(name): \(impairment)")
                }
            }
        }
    }
}
