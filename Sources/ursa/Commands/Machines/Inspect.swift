import ArgumentParser
import UrsaBase
import UrsaControl

/// `ursa inspect`
struct Inspect: Verb {
    static let configuration = CommandConfiguration(
        commandName: "inspect",
        abstract: "Print everything known of machines, as JSON.",
        discussion: """
            One machine gives an object, several give a list.

            Examples:
              ursa inspect web
              ursa inspect web | jq .cards
            """)

    @Argument(help: ArgumentHelp("Names of machines.", valueName: "name"), completion: Completions.machines)
    var names: [String]
    @OptionGroup var output: OutputOptions

    func perform() throws(UrsaError) {
        let ursa = try openUrsa()
        var found: [JSON] = []
        var errors: [UrsaError] = []
        for name in unique(names) {
            do throws(UrsaError) { found.append(try ursa.inspect(name)) } catch { errors.append(error) }
        }
        if let error = UrsaError.all(errors) { throw error }
        if found.count == 1, let only = found.first { Screen.json(only) } else { Screen.json(.array(found)) }
    }
}
