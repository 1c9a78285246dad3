import Glibc
import UrsaBase
import UrsaDisk

/// What `info` tells of one image, in the words of `qemu-img`.
struct ImageFacts {
    private let name: String
    private let image: any DiskReader
    private let allocated: UInt64?
    private let header: Qcow2Header?
    private let snapshots: [Qcow2Snapshot]
    private let bitmaps: [Qcow2BitmapInfo]

    /// Collects them.
    ///
    /// - Parameter name: what the image is called in the output.
    init(_ image: any DiskReader, name: String) throws(UrsaError) {
        self.image = image
        self.name = name
        let qcow2 = image as? Qcow2Image
        header = qcow2?.currentHeader
        allocated = File.status(image.name).map { UInt64(max(0, $0.st_blocks)) * 512 }
        snapshots = try qcow2?.snapshots() ?? []
        bitmaps = try qcow2.map { (image) throws(UrsaError) in try Qcow2BitmapInfo.list(image) } ?? []
    }

    /// The name of the image below as a path from where we are.
    private var fullBackingName: String? {
        guard let backing = header?.backingFile else { return nil }
        if backing.hasPrefix("/") || QEMUImage.isProtocol(backing) { return backing }
        let folder = Path.parent(name)
        return folder == "." ? backing : folder + "/" + backing
    }

    // MARK: for people

    /// The lines of the image.
    var text: String {
        var lines = ["image: \(printable(name))", "file format: \(image.format.rawValue)"]
        lines.append("virtual size: \(ImageText.size(image.size)) (\(image.size) bytes)")
        lines.append("disk size: \(allocated.map(ImageText.size) ?? "unavailable")")
        if let size = image.clusterSize { lines.append("cluster_size: \(size)") }
        if header?.isDirty == true { lines.append("cleanly shut down: no") }
        if let backing = header?.backingFile {
            let full = fullBackingName ?? backing
            lines.append(
                "backing file: \(printable(backing))" + (full == backing ? "" : " (actual path: \(printable(full)))"))
        }
        if let format = header?.backingFormat { lines.append("backing file format: \(printable(format))") }
        var out = lines.joined(separator: "\n") + "\n"
        if !snapshots.isEmpty { out += SnapshotImage.text(snapshots) }
        if !specifics.isEmpty {
            out += "Format specific information:\n"
            for (name, value) in specifics { out += ImageFacts.line(name, value, depth: 1) }
        }
        return out
    }

    /// A value with its name, further in for each level: `    refcount bits: 16`.
    private static func line(_ name: String, _ value: JSON, depth: Int) -> String {
        let start = String(repeating: "    ", count: depth) + name.replacing("-", with: " ") + ":"
        switch value {
        case .array(let values):
            return start + "\n" + values.enumerated().map { line("[\($0)]", $1, depth: depth + 1) }.joined()
        case .object(let members):
            return start + "\n" + members.map { line($0.name, $0.value, depth: depth + 1) }.joined()
        case .string(let text): return start + " " + printable(text) + "\n"
        default: return start + " " + value.text + "\n"
        }
    }

    // MARK: for programs

    /// The image as an `ImageInfo` of QEMU's interface.
    var json: JSON {
        .record([
            "backing-filename-format": header?.backingFormat.map(JSON.string),
            "snapshots": snapshots.isEmpty ? nil : .array(snapshots.map(SnapshotImage.json)),
            "virtual-size": .integer(Int64(clamping: image.size)), "filename": .string(name),
            "cluster-size": image.clusterSize.map { .integer(Int64(clamping: $0)) },
            "format": .string(image.format.rawValue),
            "actual-size": allocated.map { .integer(Int64(clamping: $0)) },
            "format-specific": header == nil
                ? nil
                : .record([
                    "type": "qcow2", "data": .object(specifics.map { JSON.Member($0.name, $0.value) }),
                ]),
            "full-backing-filename": fullBackingName.map(JSON.string),
            "backing-filename": header?.backingFile.map(JSON.string),
            "dirty-flag": .bool(header?.isDirty ?? false),
        ])
    }

    /// What only qcow2 has, in QEMU's order.
    private var specifics: [(name: String, value: JSON)] {
        guard let header else { return [] }
        let bits: JSON = .integer(1 << Int64(min(header.refcountOrder, 6)))
        guard header.version >= 3 else {
            return [
                ("compat", "0.10"), ("compression-type", .string(header.compression.name)), ("refcount-bits", bits),
            ]
        }
        var all: [(name: String, value: JSON)] = [
            ("compat", "1.1"), ("compression-type", .string(header.compression.name)),
            ("lazy-refcounts", .bool(header.isLazy)),
        ]
        if !bitmaps.isEmpty { all.append(("bitmaps", .array(bitmaps.map(ImageFacts.json)))) }
        all.append(("refcount-bits", bits))
        if let data = header.dataFile { all.append(("data-file", .string(data))) }
        if header.hasDataFile { all.append(("data-file-raw", .bool(header.dataFileIsRaw))) }
        return all + [("corrupt", .bool(header.isCorrupt)), ("extended-l2", .bool(header.hasSubclusters))]
    }

    private static func json(_ bitmap: Qcow2BitmapInfo) -> JSON {
        .record([
            "flags": .array(bitmap.flags.map(JSON.string)), "name": .string(bitmap.name),
            "granularity": .integer(Int64(clamping: bitmap.granularity)),
        ])
    }
}
