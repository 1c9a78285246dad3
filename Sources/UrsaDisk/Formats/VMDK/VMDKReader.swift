import UrsaBase

/// VMware's disks (vmdk), for reading: in one file (monolithicSparse, streamOptimized), or a text that names several
/// (monolithicFlat, twoGbMaxExtentSparse and -Flat, vmfs and vmfsSparse).
final class VMDKReader: DiskReader {
    let format = DiskFormat.vmdk
    let name: String
    let size: UInt64
    let clusterSize: UInt64?

    private struct Part {
        var start: UInt64
        var size: UInt64
        /// Nil for zeros.
        var reader: (any DiskReader)?
    }
    private let parts: [Part]
    private static let types = [
        "monolithicFlat", "vmfs", "vmfsSparse", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat", "custom",
    ]

    /// Whether a file that begins like this is of this format: an extent, or a text whose first line that is no comment
    /// says a version.
    static func recognises(_ header: [UInt8]) -> Bool {
        if VMDKSparseExtent.recognises(header) { return true }
        for line in header.split(whereSeparator: { $0 == 10 || $0 == 13 }) {
            guard line.first != UInt8(ascii: "#"), line.contains(where: { $0 != 32 }) else { continue }
            return line.elementsEqual("version=1".utf8) || line.elementsEqual("version=2".utf8)
                || line.elementsEqual("version=3".utf8)
        }
        return false
    }

    /// The files that an image's text names, as it names them, in order; empty when all is in the file itself. Whoever
    /// opens them decides whether they may be opened: an image can name any path.
    static func companions(of file: any ByteSource) throws(UrsaError) -> [String] {
        try descriptor(of: file)?.parts.compactMap { $0.file.isEmpty ? nil : $0.file } ?? []
    }

    /// Opens an image.
    /// - Parameter companions: the open files that `companions(of:)` says, in its order.
    init(file: any ByteSource, companions: [any ByteSource] = []) throws(UrsaError) {
        name = file.name
        guard let descriptor = try Self.descriptor(of: file) else {
            let extent = try VMDKSparseExtent(file: file)
            try Self.checkParent(extent, file)
            parts = [Part(start: 0, size: extent.size, reader: extent)]
            size = extent.size
            clusterSize = extent.unit
            return
        }
        guard !descriptor.hasParent else { throw Self.delta(file) }
        guard Self.types.contains(descriptor.type) else {
            throw file.refused(.vmdk, "its type \(String(descriptor.type.prefix(40)).debugDescription) is not known")
        }
        var left = companions[...]
        var parts: [Part] = []
        var total: UInt64 = 0
        for part in descriptor.parts {
            let length = part.sectors * 512
            var reader: (any DiskReader)?
            if part.kind != .zero {
                guard let companion = left.popFirst() else {
                    throw file.refused(
                        .vmdk, "its data is in other files, \(String(part.file.prefix(200))) among them",
                        remedy: "keep them in the same folder and name the image by its path")
                }
                reader = try Self.reader(part, companion)
            }
            parts.append(Part(start: total, size: length, reader: reader))
            total += length
        }
        guard total > 0, total <= 1 << 61 else { throw file.damaged(.vmdk, "its text names no extent") }
        self.parts = parts
        size = total
        clusterSize = parts.compactMap { $0.reader?.clusterSize }.max()
    }

    private static func reader(
        _ part: VMDKDescriptor.Part, _ file: any ByteSource
    ) throws(UrsaError) -> any DiskReader {
        if case .flat(let sector) = part.kind {
            return try FlatReader(file, format: .vmdk, at: sector * 512, size: part.sectors * 512)
        }
        let extent = try VMDKSparseExtent(file: file)
        guard extent.size >= part.sectors * 512 else {
            throw file.damaged(.vmdk, "this extent has \(extent.size / 512) sectors instead of \(part.sectors)")
        }
        return extent
    }

    /// The text of an image whose data is elsewhere; nil when the file is an extent itself.
    private static func descriptor(of file: any ByteSource) throws(UrsaError) -> VMDKDescriptor? {
        let start = try file.structure("header", of: .vmdk, at: 0, count: Int(min(512, file.size)))
        if start.says("KDMV"), start.bytes.count == 512, start.little64(12) == 0 {
            // A header without a disk carries the text of one.
            guard let text = try VMDKSparseExtent(file: file).descriptor else {
                throw file.damaged(.vmdk, "a disk of 0 sectors is impossible", at: 12)
            }
            return try descriptor(file, at: text.offset, count: text.count)
        }
        if VMDKSparseExtent.recognises(start.bytes) { return nil }
        guard recognises(start.bytes) else { throw file.damaged(.vmdk, "it does not begin as a vmdk image", at: 0) }
        return try descriptor(file, at: 0, count: VMDKDescriptor.limit)
    }

    private static func descriptor(
        _ file: any ByteSource, at offset: UInt64, count: Int
    ) throws(UrsaError) -> VMDKDescriptor {
        guard offset < file.size else { throw file.damaged(.vmdk, "its text passes the end of the file", at: offset) }
        let length = Int(min(UInt64(count), file.size - offset))
        return try VMDKDescriptor(file.structure("text", of: .vmdk, at: offset, count: length).bytes, of: file)
    }

    /// The text inside of an extent says whether the extent is a delta over another disk.
    private static func checkParent(_ extent: VMDKSparseExtent, _ file: any ByteSource) throws(UrsaError) {
        guard let text = extent.descriptor else { return }
        if try descriptor(file, at: text.offset, count: text.count).hasParent { throw delta(file) }
    }

    private static func delta(_ file: any ByteSource) -> UrsaError {
        file.refused(.vmdk, "it is a delta over another disk", remedy: "consolidate it in the program that made it")
    }

    private func part(at offset: UInt64) -> Part? {
        var low = 0
        var high = parts.count
        while low < high {
            let middle = (low + high) / 2
            if parts[middle].start + parts[middle].size <= offset { low = middle + 1 } else { high = middle }
        }
        return low < parts.count ? parts[low] : nil
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(UrsaError) {
        guard offset <= size, UInt64(buffer.count) <= size - offset else { throw outside(offset, buffer.count) }
        var done = 0
        while done < buffer.count {
            let position = offset + UInt64(done)
            guard let part = part(at: position) else { throw outside(position, 1) }
            let count = Int(min(UInt64(buffer.count - done), part.start + part.size - position))
            let target = UnsafeMutableRawBufferPointer(rebasing: buffer[done..<done + count])
            if let reader = part.reader {
                try reader.read(into: target, at: position - part.start)
            } else {
                clear(target)
            }
            done += count
        }
    }

    func extent(at offset: UInt64, limit: UInt64) throws(UrsaError) -> Extent {
        guard offset < size, limit > 0, let part = part(at: offset) else { throw outside(offset, 1) }
        let most = min(limit, part.start + part.size - offset)
        guard let reader = part.reader else { return Extent(kind: .zero, length: most) }
        var extent = try reader.extent(at: offset - part.start, limit: most)
        // An offset says something only where all data is in one file.
        if parts.count > 1 || reader.name != name { extent.fileOffset = nil }
        return extent
    }

    private func outside(_ offset: UInt64, _ count: Int) -> UrsaError {
        UrsaError(.usage, "\(count) bytes at offset \(offset) pass the end of the disk in \(name), which has \(size)")
    }
}
