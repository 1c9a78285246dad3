import ArgumentParser
import UrsaBase
import UrsaControl
import UrsaImages

/// `ursa image ls`
struct ListImages: Verb {
    static let configuration = CommandConfiguration(
        commandName: "ls", abstract: "List images in the store.",
        discussion: """
            Example:
              ursa image ls
            """)

    @Flag(name: .shortAndLong, help: "Print names only.")
    var quiet = false
    @OptionGroup var output: OutputOptions

    func perform() throws(UrsaError) {
        let ursa = try openUrsa()
        let images = try ursa.images.list()
        if output.json { return Screen.json(.array(images.map(\.json))) }
        if quiet { return Screen.write(images.map { printable($0.name) + "\n" }.joined()) }
        var table = Table("NAME", "SIZE", "USED BY")
        for image in images {
            let users = try ursa.imageUsers(image.name)
            table.add(image.name, image.size.rounded, users.isEmpty ? "-" : users.joined(separator: ","))
        }
        table.print()
    }
}
