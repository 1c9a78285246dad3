import ArgumentParser
import Glibc
import UrsaBase
import UrsaModel

/// `-f FILE`: which spec a command is about.
struct SpecFile: ParsableArguments {
    @Option(
        name: .shortAndLong,
        help: ArgumentHelp(
            "The spec; '-' reads standard input. Left out: ursa.yaml or ursa.yml in this folder.", valueName: "file"),
        completion: .file(extensions: ["yaml", "yml"]))
    var file: String?

    init() {}

    /// The spec of that name, for commands that take one under conditions of their own.
    init(_ file: String) { self.file = file }

    /// Largest spec that is read, in bytes.
    private static let limit = 4 << 20

    /// The path as the person wrote it, or the one found.
    private var path: String { file ?? ["ursa.yaml", "ursa.yml"].first(where: File.exists) ?? "ursa.yaml" }

    /// What the store knows the spec by: the absolute path of its file without links, `FOLDER/-` for standard input.
    /// The file need not exist any more.
    var project: String {
        guard path != "-" else { return Path.absolute(path) }
        let absolute = Path.absolute(path)
        let folder = Path.parent(absolute)
        return SpecFile.real(absolute) ?? SpecFile.real(folder).map { $0 + "/" + Path.name(absolute) } ?? absolute
    }

    /// Reads and checks the spec. Files of images that it names are taken from the spec's own folder, wherever the
    /// command is run.
    func read() throws(UrsaError) -> Spec {
        var spec = try SpecReader.read(try text(), file: path == "-" ? "stdin" : path)
        let folder = Path.parent(project)
        for index in spec.machines.indices {
            spec.machines[index].image = ImagePath.absolute(spec.machines[index].image, from: folder)
        }
        return spec
    }

    private func text() throws(UrsaError) -> String {
        if path == "-" { return try standardInput() }
        guard !path.utf8.isEmpty, File.exists(path) else {
            throw UrsaError(
                .notFound, "there is no \(file == nil ? "ursa.yaml" : "file \(path)")", place: Path.parent(project),
                remedy: """
                    write one, for example:
                    machines:
                      web: { image: tiny, publish: ["8080:80"] }
                      db: { image: tiny }
                    """)
        }
        guard !File.isDirectory(path) else {
            throw UrsaError(.usage, "\(path) is a folder", place: "--file", remedy: "name the file in it")
        }
        // A device or a pipe with no writer would be waited for without end; -f - is the way to read from one.
        guard let status = File.status(path), status.st_mode & S_IFMT == S_IFREG else {
            throw UrsaError(.usage, "\(path) is no regular file", place: "--file", remedy: "use `-f -` to read a pipe")
        }
        guard status.st_size <= SpecFile.limit else { throw SpecFile.tooLarge(path) }
        return try SpecFile.decoded(try File.read(path, limit: SpecFile.limit), path)
    }

    private func standardInput() throws(UrsaError) -> String {
        if Terminal.isInput { Screen.hint("reading the spec from the terminal; end with Ctrl-D") }
        var content: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while content.count <= SpecFile.limit {
            let count = try retrying("read standard input") { Glibc.read(STDIN_FILENO, &buffer, buffer.count) }
            if count == 0 { return try SpecFile.decoded(content, "stdin") }
            content.append(contentsOf: buffer[0..<count])
        }
        throw SpecFile.tooLarge("stdin")
    }

    private static func tooLarge(_ name: String) -> UrsaError {
        UrsaError(
            .invalidSpec, "the spec is larger than \(ByteCount(UInt64(limit)))", place: name,
            remedy: "name the file that holds your machines")
    }

    private static func decoded(_ content: [UInt8], _ name: String) throws(UrsaError) -> String {
        guard let text = String(validating: content, as: UTF8.self) else {
            throw UrsaError(.invalidSpec, "the spec is not UTF-8 text", place: name, remedy: "save it as UTF-8")
        }
        return text
    }

    private static func real(_ path: String) -> String? {
        guard let resolved = realpath(path, nil) else { return nil }
        defer { free(resolved) }
        return String(cString: resolved)
    }
}
