import UrsaBase

/// The text that describes a VMware disk: lines `name=value`, and one line for each extent, `RW 2048 SPARSE "a.vmdk"`.
///
/// VMware's "Virtual Disk Format 5.0" describes it.
struct VMDKDescriptor: Sendable {
    /// One extent, in the order of the disk.
    struct Part: Sendable, Equatable {
        enum Kind: Sendable, Equatable {
            /// Bytes as they are, from this sector of the file.
            case flat(sector: UInt64)
            /// A file with its own tables.
            case sparse
            /// No file: zeros.
            case zero
        }
        var kind: Kind
        var sectors: UInt64
        /// The file as the text names it; empty for zeros.
        var file: String
    }

    /// Longest text that is read, in bytes.
    static let limit = 1 << 20

    /// `createType`, empty when it is not said.
    var type: String
    /// Whether the disk is a delta over another.
    var hasParent: Bool
    /// The extents; the file that carries the text is not named among those of a disk in one file.
    var parts: [Part]

    /// Reads a text, which ends at its first zero byte. `file` is for errors.
    init(_ bytes: [UInt8], of file: any ByteSource) throws(UrsaError) {
        let text = String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        var values: [String: String] = [:]
        parts = []
        for line in text.split(whereSeparator: \.isNewline) {
            let line = line.trimmed
            guard !line.isEmpty, !line.hasPrefix("#") else { continue }
            if let part = try Self.part(line, file) {
                guard parts.count < 4096 else { throw file.refused(.vmdk, "it has more than 4096 extents") }
                parts.append(part)
            } else if let equals = line.firstIndex(of: "=") {
                let value = line[line.index(after: equals)...].trimmed
                values[line[..<equals].trimmed.lowercased()] = value.filter { $0 != "\"" }
            }
        }
        type = values["createtype"] ?? ""
        let parent = values["parentcid"]?.lowercased() ?? "ffffffff"
        hasParent = parent != "ffffffff" || values["parentfilenamehint"] != nil
    }

    /// The extent that a line says, nil when the line is of another sort.
    private static func part(_ line: String, _ file: any ByteSource) throws(UrsaError) -> Part? {
        let words = line.split(separator: " ", maxSplits: 3, omittingEmptySubsequences: true)
        guard let access = words.first, ["RW", "RDONLY", "NOACCESS"].contains(access), words.count >= 3 else {
            return nil
        }
        func wrong(_ why: String) -> UrsaError {
            file.damaged(.vmdk, "\(why) in the extent \(String(line.prefix(120)).debugDescription)")
        }
        guard access != "NOACCESS" else {
            throw file.refused(.vmdk, "it says that an extent must not be read: \(String(line.prefix(120)))")
        }
        guard let sectors = UInt64(words[1]), sectors > 0, sectors <= 1 << 52 else { throw wrong("impossible length") }
        if words[2] == "ZERO" { return Part(kind: .zero, sectors: sectors, file: "") }
        let rest = words.count > 3 ? words[3].trimmed : ""
        guard rest.hasPrefix("\""), let end = rest.dropFirst().firstIndex(of: "\"") else { throw wrong("no file") }
        let name = String(rest[rest.index(after: rest.startIndex)..<end])
        let sector = rest[rest.index(after: end)...].trimmed
        guard !name.isEmpty else { throw wrong("no file") }
        switch words[2] {
        case "FLAT", "VMFS":
            guard let start = sector.isEmpty ? 0 : UInt64(sector), start <= 1 << 52 else { throw wrong("wrong offset") }
            return Part(kind: .flat(sector: start), sectors: sectors, file: name)
        case "SPARSE", "VMFSSPARSE": return Part(kind: .sparse, sectors: sectors, file: name)
        case "SESPARSE": throw file.refused(.vmdk, "its extents are of the kind seSparse")
        default: throw file.refused(.vmdk, "its extents are of the kind \(String(words[2].prefix(40)))")
        }
    }
}
