import UrsaBase
import UrsaDisk

/// `qemu-img` itself, for formats, protocols and options that are not ours.
enum QEMUImage {
    /// Runs `qemu-img` with the words of a call, on our standard descriptors; returns its status.
    static func handOn(_ call: ImageCall) throws(UrsaError) -> Int32 { try run(call.words) }

    /// Runs `qemu-img` with an argument vector, on our standard descriptors; returns its status.
    static func run(_ words: [String]) throws(UrsaError) -> Int32 {
        // --json and --trust-backing are our own words.
        var words = words.filter { $0 != "--trust-backing" }
        if let index = words.firstIndex(of: "--json") {
            if let verb = words.first, ["info", "check", "map", "measure"].contains(verb) {
                words[index] = "--output=json"
            } else {
                words.remove(at: index)
            }
        }
        var program = Program("qemu-img", words)
        program.descriptors = [0: 0, 1: 1, 2: 2]
        program.diesWithParent = true
        let child: Child
        do throws(UrsaError) { child = try program.start() } catch {
            guard error.code == .notFound else { throw error }
            throw UrsaError(
                .notFound, "this needs qemu-img, which is not installed", remedy: "apt install qemu-utils")
        }
        switch try child.wait() {
        case .exited(let status): return status
        case .signalled(let number): throw UrsaError(.io, "qemu-img was killed by signal \(number)")
        }
    }

    /// Whether a name is one of qemu's protocols and no file: a colon before the first slash.
    static func isProtocol(_ name: String) -> Bool {
        guard let colon = name.firstIndex(of: ":") else { return false }
        return !name[..<colon].contains("/") && !name.hasPrefix("file:")
    }

    /// A file's name without the `file:` that qemu lets stand before it.
    static func path(_ name: String) -> String { name.hasPrefix("file:") ? String(name.dropFirst(5)) : name }

    /// Options that only `qemu-img` understands.
    static let foreignOptions = ["image-opts", "target-image-opts", "object"]

    /// Whether a call must be handed on: by its options, by protocols, or by formats that are not read or written here.
    ///
    /// - Parameters:
    ///   - read: names of images that are read, with the format given for each, if any.
    ///   - written: formats of what is written.
    static func mustTake(
        _ words: ImageWords, read: [(name: String, format: String?)], written: [String] = []
    ) -> Bool {
        if foreignOptions.contains(where: { words.has($0) }) { return true }
        if written.contains(where: { DiskFormat(rawValue: $0)?.isWritable != true }) { return true }
        return read.contains { isProtocol($0.name) || ($0.format.map { DiskFormat(rawValue: $0) == nil } ?? false) }
    }
}
