import ArgumentParser
import UrsaBase
import UrsaControl
import UrsaImages

/// `ursa image ls`
struct ListImages: Verb {
    static let configuration = CommandConfiguration(
        commandName: "ls", abstract: "List images in the store.",
        discussion: """
            The newest version of an image is what new machines get; older ones stay while machines use them.

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
        if quiet { return Screen.write(unique(images.map(\.name)).map { printable($0) + "\n" }.joined()) }
        let now = wallClock()
        var table = Table("NAME", "VERSION", "SIZE", "MADE", "USED BY")
        for image in images {
            let users = try ursa.imageUsers(image.identifier)
            table.add(
                image.name, String(image.identifier.prefix(12)), image.size.rounded, span(now - image.made) + " ago",
                users.isEmpty ? "-" : users.joined(separator: ","))
        }
        table.print()
    }
}
