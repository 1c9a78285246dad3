import ArgumentParser
import UrsaBase
import UrsaControl
import UrsaModel
import UrsaNet

/// `ursa net map`
struct MapNetworks: Verb {
    static let configuration = CommandConfiguration(
        commandName: "map", abstract: "Draw the host's networks: uplinks, links, bridges, machines, ports, zones.",
        discussion: """
            A tree on the terminal, a picture with --svg, data with --json. With -f it shows what `ursa up` of that \
            file would make, and changes nothing.

            Examples:
              ursa net map
              ursa net map --svg map.svg
              ursa net map -f ursa.yaml --svg planned.svg
            """)

    @Option(
        name: .long, help: ArgumentHelp("Write an SVG picture; '-' is standard output.", valueName: "file"),
        completion: .file(extensions: ["svg"]))
    var svg: String?
    @Option(
        name: .shortAndLong,
        help: ArgumentHelp("Draw what this spec would make; '-' reads standard input.", valueName: "file"),
        completion: .file(extensions: ["yaml", "yml"]))
    var file: String?
    @OptionGroup var output: OutputOptions

    func perform() throws(UrsaError) {
        guard svg == nil || !output.json else {
            throw UrsaError(
                .usage, "--svg and --json exclude each other", place: "--svg", remedy: "leave one of them out")
        }
        let map: NetworkMap
        if let file {
            let spec = SpecFile(file)
            map = try openUrsa().networkMap(of: try spec.read(), project: spec.project)
        } else {
            map = try openUrsa().networkMap()
        }
        if output.json { return Screen.json(map.json) }
        if let svg {
            if svg == "-" { return Screen.write(map.svg) }
            return try File.replace(Path.absolute(svg), text: map.svg, mode: 0o644)
        }
        let width = Terminal.isOutput ? Terminal.size?.columns : nil
        let lines = map.text(width: width).split(separator: "\n").map { printable(String($0)) + "\n" }
        Screen.write(lines.joined())
    }
}
