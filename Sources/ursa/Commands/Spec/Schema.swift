import ArgumentParser
import UrsaBase
import UrsaModel

/// `ursa schema`
struct Schema: Verb {
    static let configuration = CommandConfiguration(
        commandName: "schema",
        abstract: "Print the JSON Schema of ursa.yaml, for editors.",
        discussion: """
            Example:
              ursa schema > ursa.schema.json
            and as the first line of ursa.yaml: # yaml-language-server: $schema=ursa.schema.json
            """)

    @OptionGroup var output: OutputOptions

    func perform() throws(UrsaError) { Screen.json(SpecSchema.json) }
}
