import ArgumentParser
import UrsaBase
import UrsaControl
import UrsaImages

/// `ursa image build`
struct BuildImage: Verb {
    static let configuration = CommandConfiguration(
        commandName: "build", abstract: "Build an image of the catalogue, anew when it is there.",
        discussion: """
            Machines made from the old image keep it.

            Examples:
              ursa image build tiny
              ursa image build debian:12
            """)

    @Argument(help: ArgumentHelp("Name in the catalogue.", valueName: "image"), completion: Completions.images)
    var name: String
    @OptionGroup var output: OutputOptions

    func perform() throws(UrsaError) {
        let ursa = try openUrsa()
        let image = try ursa.images.build(name, progress: { Screen.show($0) })
        if output.json { return Screen.json(image.json) }
        Screen.line("\(printable(image.name)): built, \(image.size.rounded)")
    }
}
