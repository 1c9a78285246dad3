import ArgumentParser
import UrsaBase
import UrsaControl
import UrsaImages

/// `ursa image rm`
struct RemoveImages: Verb {
    static let configuration = CommandConfiguration(
        commandName: "rm", abstract: "Delete images that no machine uses.",
        discussion: """
            Example:
              ursa image rm debian:12
            """)

    @Argument(help: ArgumentHelp("Names of images.", valueName: "image"), completion: Completions.images)
    var names: [String]
    @OptionGroup var output: OutputOptions

    func perform() throws(UrsaError) {
        let ursa = try openUrsa()
        let images = try ursa.images
        var removed: [String] = []
        var errors: [UrsaError] = []
        for name in unique(names) {
            do throws(UrsaError) {
                try images.remove(name, users: try ursa.imageUsers(name), keeping: try ursa.usedImages())
                removed.append(name)
                if !output.json { Screen.line("\(printable(name)): removed") }
            } catch { errors.append(error) }
        }
        if output.json { Screen.json(.array(removed.map(JSON.string))) }
        if let error = UrsaError.all(errors) { throw error }
    }
}
