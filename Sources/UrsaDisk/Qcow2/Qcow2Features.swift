/// Feature bits of a qcow2 header, with the names that the feature name table gives them.
enum Qcow2Features {
    static let dirty: UInt64 = 1 << 0
    static let corrupt: UInt64 = 1 << 1
    static let externalDataFile: UInt64 = 1 << 2
    static let compressionType: UInt64 = 1 << 3
    static let extendedL2: UInt64 = 1 << 4
    static let knownIncompatible: UInt64 = dirty | corrupt | externalDataFile | compressionType | extendedL2

    static let lazyRefcounts: UInt64 = 1 << 0

    static let bitmaps: UInt64 = 1 << 0
    static let rawExternalData: UInt64 = 1 << 1
    static let knownAutoclear: UInt64 = bitmaps | rawExternalData

    /// What new images say of each bit, so that an older program can tell its user what it lacks.
    static let names: [(kind: UInt8, bit: UInt8, name: String)] = [
        (0, 0, "dirty bit"), (0, 1, "corrupt bit"), (0, 2, "external data file"), (0, 3, "compression type"),
        (0, 4, "extended L2 entries"), (1, 0, "lazy refcounts"), (2, 0, "bitmaps"), (2, 1, "raw external data"),
    ]

    static var nameTable: [UInt8] {
        var table: [UInt8] = []
        for entry in names {
            let name = Array(entry.name.utf8.prefix(46))
            table += [entry.kind, entry.bit] + name + [UInt8](repeating: 0, count: 46 - name.count)
        }
        return table
    }

    /// The name of an incompatible feature as the image's own table gives it.
    static func name(ofIncompatible bit: Int, in table: [UInt8]?) -> String {
        for start in stride(from: 0, to: (table?.count ?? 0) - 47, by: 48) {
            guard let table, table[start] == 0, Int(table[start + 1]) == bit else { continue }
            let name = table[(start + 2)..<(start + 48)].prefix { $0 != 0 }
            let text = String(decoding: name, as: UTF8.self)
            return text.unicodeScalars.allSatisfy { $0.value >= 32 && $0.value != 127 } ? "'\(text)'" : "bit \(bit)"
        }
        return "bit \(bit)"
    }
}

/// How compressed clusters of an image are compressed.
public enum Qcow2Compression: UInt8, Sendable, CaseIterable {
    case zlib = 0
    case zstd = 1

    /// The name in options and in `info`.
    public var name: String { self == .zlib ? "zlib" : "zstd" }
}
