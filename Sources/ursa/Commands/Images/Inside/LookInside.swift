import ArgumentParser
import UrsaBase

/// `ursa image cat`
struct PrintInside: Verb {
    static let configuration = CommandConfiguration(
        commandName: "cat", abstract: "Print a file that is inside of a disk image.",
        discussion: """
            Nothing is booted and nothing is changed; libguestfs must be installed.

            Example:
              ursa image cat disk.qcow2:/etc/hostname
            """)

    @Argument(help: ArgumentHelp("The image and the file in it.", valueName: "image:/path"), completion: .file())
    var place: String
    @OptionGroup var options: InsideOptions

    func perform() throws(UrsaError) {
        let inside = InsideImage(place)
        guard inside.path != "/" else {
            throw UrsaError(
                .usage, "no file in the image is named", place: "ursa image cat", remedy: "write \(place):/etc/hostname"
            )
        }
        try inside.run("virt-cat", [inside.path], options: options)
    }
}

/// `ursa image cp`
struct CopyInside: Verb {
    static let configuration = CommandConfiguration(
        commandName: "cp", abstract: "Copy a file or folder out of a disk image.",
        discussion: """
            Nothing is booted and nothing is changed; libguestfs must be installed.

            Example:
              ursa image cp disk.qcow2:/var/log .
            """)

    @Argument(help: ArgumentHelp("The image and the file in it.", valueName: "image:/path"), completion: .file())
    var place: String
    @Argument(help: ArgumentHelp("The folder it goes to.", valueName: "folder"), completion: .directory)
    var folder: String
    @OptionGroup var options: InsideOptions

    func perform() throws(UrsaError) {
        let inside = InsideImage(place)
        guard inside.path != "/" else {
            throw UrsaError(
                .usage, "no file in the image is named", place: "ursa image cp", remedy: "write \(place):/var/log")
        }
        guard File.isDirectory(folder) else {
            throw UrsaError(.notFound, "there is no such folder", place: folder, remedy: "make it first")
        }
        try inside.run("virt-copy-out", [inside.path, folder], options: options)
    }
}

/// `ursa image inspect`
struct InspectInside: Verb {
    static let configuration = CommandConfiguration(
        commandName: "inspect", abstract: "Say which system is inside of a disk image.",
        discussion: """
            Prints XML with the system's kind and version, its file systems and what is installed. Nothing is booted and \
            nothing is changed; libguestfs must be installed.

            Example:
              ursa image inspect disk.qcow2
            """)

    @Argument(help: ArgumentHelp("The image.", valueName: "image"), completion: .file())
    var place: String
    @OptionGroup var options: InsideOptions

    func perform() throws(UrsaError) {
        try InsideImage(place).run("virt-inspector", [], options: options)
    }
}
