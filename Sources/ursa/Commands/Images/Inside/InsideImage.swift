import ArgumentParser
import UrsaBase
import UrsaDisk

/// A place inside of a disk image, `FILE:/PATH`, and libguestfs, which knows the file systems.
struct InsideImage {
    /// The image's file.
    let file: String
    /// The absolute path inside.
    let path: String

    /// Reads `FILE` or `FILE:/PATH`.
    init(_ text: String) {
        guard let range = text.firstRange(of: ":/") else {
            (file, path) = (text, "/")
            return
        }
        file = String(text[..<range.lowerBound])
        path = String(text[text.index(after: range.lowerBound)...])
    }

    /// Runs a program of libguestfs on the image, which is only read; its output is ours.
    ///
    /// The image's chain is opened by ourselves first: so the image can't have files read that it names.
    ///
    /// - Parameter arguments: what comes after the image.
    func run(_ name: String, _ arguments: [String], options: InsideOptions, before: [String] = []) throws(UrsaError) {
        var opening = DiskImage.Options()
        opening.policy = options.trustBacking ? .trusted : .untrusted
        opening.policy.allowed = Set(options.allow.map { Path.absolute($0) })
        let format = try options.known
        let image = try DiskImage.open(file, format: format, opening)
        guard Path.program(name) != nil else {
            throw UrsaError(
                .unsupported, "looking inside of images needs libguestfs (\(name)), which is not installed",
                remedy: "apt install libguestfs-tools guestfs-tools")
        }
        var program = Program(
            name, before + ["--format=\(image.format.rawValue)", "-a", Path.absolute(file)] + arguments)
        program.descriptors = [0: 0, 1: 1, 2: 2]
        program.diesWithParent = true
        let end = try program.start().wait()
        guard end.isSuccess else {
            throw UrsaError(.io, "\(name) \(end)", place: file, remedy: "its own words are above")
        }
    }
}

/// Options of the verbs that look inside.
struct InsideOptions: ParsableArguments {
    @Option(
        name: .shortAndLong,
        help: ArgumentHelp("Format of the image; left out: by its content.", valueName: "format"))
    var format: String?
    @Option(name: .long, help: ArgumentHelp("Open this file when the image names it.", valueName: "file"))
    var allow: [String] = []
    @Flag(name: .long, help: "Open every file that images name.")
    var trustBacking = false

    /// The format that was named.
    var known: DiskFormat? {
        get throws(UrsaError) {
            guard let format else { return nil }
            guard let known = DiskFormat(rawValue: format) else {
                throw UrsaError(
                    .usage, "there is no format '\(format)'", place: "--format", remedy: "write raw or qcow2")
            }
            return known
        }
    }
}
