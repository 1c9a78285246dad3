import ArgumentParser
import UrsaBase
import UrsaControl
import UrsaImages

/// `ursa image ls`
struct ListImages: Verb {
    static let configuration = CommandConfiguration(
        commandName: "ls", abstract: "List images in the store, or the files inside of one.",
        discussion: """
            The newest version of an image is what new machines get; older ones stay while machines use them.

            With a disk image, its files are listed: nothing is booted and nothing is changed, but libguestfs must be \
            installed.

            Examples:
              ursa image ls
              ursa image ls disk.qcow2:/etc
            """)

    @Argument(help: ArgumentHelp("An image file, and a folder in it.", valueName: "image:/path"), completion: .file())
    var place: String?
    @Flag(name: .shortAndLong, help: "Inside of an image: all that is known of each file.")
    var long = false
    @Flag(name: [.customShort("R"), .long], help: "Inside of an image: folders in folders, too.")
    var recursive = false
    @OptionGroup var inside: InsideOptions

    @Flag(name: .shortAndLong, help: "Print names only.")
    var quiet = false
    @OptionGroup var output: OutputOptions

    func perform() throws(UrsaError) {
        if let place {
            let image = InsideImage(place)
            let before = (long ? ["-l"] : []) + (recursive ? ["-R"] : [])
            return try image.run("virt-ls", [image.path], options: inside, before: before)
        }
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
