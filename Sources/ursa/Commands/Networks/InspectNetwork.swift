import ArgumentParser
import UrsaBase
import UrsaControl
import UrsaModel

/// `ursa net inspect`
struct InspectNetwork: Verb {
    static let configuration = CommandConfiguration(
        commandName: "inspect", abstract: "Print everything known of networks, as JSON.",
        discussion: """
            One network gives an object, several give a list: model, subnets, zone, uplinks, health, machines with \
            their addresses, leases, counters and impairments, published ports, and the path that frames take.

            Example:
              ursa net inspect lab
            """)

    @Argument(help: ArgumentHelp("Names of networks.", valueName: "name"), completion: Completions.networks)
    var names: [String]
    @OptionGroup var output: OutputOptions

    func perform() throws(UrsaError) {
        let networks = try openUrsa().networks()
        var found: [JSON] = []
        var errors: [UrsaError] = []
        for name in unique(names) {
            if let network = networks.first(where: { $0.spec.name == name }) {
                found.append(network.json)
                continue
            }
            let near = nearMiss(name, among: networks.map(\.spec.name))
            errors.append(
                UrsaError(
                    .notFound, "there is no network '\(name)'",
                    remedy: near.map { "did you mean '\($0)'?" } ?? "`ursa net ls` lists them"))
        }
        if let error = UrsaError.all(errors) { throw error }
        if found.count == 1, let only = found.first { Screen.json(only) } else { Screen.json(.array(found)) }
    }
}
