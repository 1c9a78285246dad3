import ArgumentParser
import UrsaBase
import UrsaModel

/// `ursa config`
struct Config: Verb {
    static let configuration = CommandConfiguration(
        commandName: "config",
        abstract: "Check ursa.yaml and print it with every default filled in.",
        discussion: """
            Reads only the file. All mistakes are told at once, each with its line and column.

            Examples:
              ursa config
              ursa config -f lab.yaml --json
            """)

    @OptionGroup var spec: SpecFile
    @OptionGroup var output: OutputOptions

    func perform() throws(UrsaError) {
        let read = try spec.read()
        guard !output.json else { return Screen.json(read.json) }
        let yaml = read.yaml
        Screen.write(yaml.hasSuffix("\n") ? yaml : yaml + "\n")
    }
}
