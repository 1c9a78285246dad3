import ArgumentParser
import UrsaBase
import UrsaControl
import UrsaImages

/// `ursa image pull`
struct PullImage: Verb {
    static let configuration = CommandConfiguration(
        commandName: "pull", abstract: "Fetch a disk image from a URL into the store.",
        discussion: """
            A broken transfer goes on where it stopped.

            Example:
              ursa image pull https://example.org/disk.qcow2 --name disk --sha256 9f86d081884c7d65...
            """)

    @Argument(
        help: ArgumentHelp("Address of a qcow2 or raw image: https://, or http:// with --sha256.", valueName: "url"))
    var url: String
    @Option(name: .shortAndLong, help: ArgumentHelp("Name in the store; left out: from the URL.", valueName: "name"))
    var name: String?
    @Option(
        name: .long, help: ArgumentHelp("SHA-256 that the file must have, 64 hexadecimal digits.", valueName: "sum"))
    var sha256: String?
    @OptionGroup var output: OutputOptions

    func perform() throws(UrsaError) {
        if let sha256, sha256.utf8.count != 64 || !sha256.allSatisfy({ $0.isASCII && $0.isHexDigit }) {
            throw UrsaError(
                .usage, "'\(sha256)' is no SHA-256 sum", place: "--sha256", remedy: "give 64 hexadecimal digits")
        }
        guard let name = name ?? GeneratedName.base(url: url) else {
            throw UrsaError(.usage, "the URL holds no name", place: "URL", remedy: "give one with --name")
        }
        let ursa = try openUrsa()
        let image = try ursa.images.pull(
            url: url, name: name, sha256: sha256?.lowercased(), progress: { Screen.show($0) })
        if output.json { return Screen.json(image.json) }
        Screen.line("\(printable(image.name)): \(image.size.rounded)")
    }
}
