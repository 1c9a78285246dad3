public import UrsaBase

extension Qcow2Header {
    /// Whether the image was not closed properly and its refcounts may be behind.
    public var isDirty: Bool { incompatible & Qcow2Features.dirty != 0 }
    /// Whether somebody found the image damaged and marked it so.
    public var isCorrupt: Bool { incompatible & Qcow2Features.corrupt != 0 }
    /// Whether refcounts may be written late.
    public var isLazy: Bool { compatible & Qcow2Features.lazyRefcounts != 0 }
    /// Whether L2 entries have subclusters.
    public var hasSubclusters: Bool { incompatible & Qcow2Features.extendedL2 != 0 }
}

extension Qcow2Image {
    /// An internal snapshot as a disk for reading; this image must stay open and unchanged meanwhile.
    public func reader(of snapshot: Qcow2Snapshot) throws(UrsaError) -> any DiskReader {
        guard !file.isWritable else { throw UrsaError(.bug, "a snapshot of an image that is open for writing") }
        var view = currentHeader
        view.l1Offset = snapshot.l1Offset
        view.l1Size = snapshot.l1Size
        view.size = snapshot.diskSize ?? view.size
        guard view.size <= UInt64(Int64.max), view.geometry.l1Entries(for: view.size) <= UInt64(view.l1Size) else {
            throw UrsaError(
                .io, "\(name) is damaged: snapshot \(snapshot.id) has a table too small for its disk")
        }
        return try Qcow2Image(
            file: file, header: view, dataFile: view.hasDataFile ? dataFile : nil, backing: backing, options: options)
    }

    /// States another image as the one below, without looking at it. What was written before is on stable storage first.
    ///
    /// - Parameters:
    ///   - name: as the image shall state it, nil for none.
    ///   - format: of that image.
    public func setBacking(_ name: String?, format: String?) throws(UrsaError) {
        monitor.enter()
        defer { monitor.leave() }
        try prepare()
        try writeBack()
        try barrier()
        var new = header
        new.backingFile = name
        new.backingFormat = format
        // All of it is written at once: less than a page in any case that fits one cluster of 4 KiB.
        try file.write(try new.encoded(for: self.name), at: 0)
        header = new
        noteWritten()
        try barrier()
    }
}

/// A bitmap that is kept in a qcow2 image, as `info` tells of it.
public struct Qcow2BitmapInfo: Sendable, Equatable {
    /// Unique in its image.
    public var name: String
    /// Bytes of the disk for each bit.
    public var granularity: UInt64
    /// `in-use` when it was not closed properly, `auto` when it goes on by itself.
    public var flags: [String]

    /// Bitmaps of an image; at most 65535, as QEMU has it.
    public static func list(_ image: Qcow2Image) throws(UrsaError) -> [Qcow2BitmapInfo] {
        let header = image.currentHeader
        // Without the bit, whoever wrote the image last knew nothing of them.
        guard header.autoclear & Qcow2Features.bitmaps != 0,
            let data = header.data(of: Qcow2Header.Extension.bitmaps), data.count >= 24
        else { return [] }
        let count = Int(data.bigEndian(0, as: UInt32.self) ?? 0)
        let size: UInt64 = data.bigEndian(8) ?? 0
        let offset: UInt64 = data.bigEndian(16) ?? 0
        func damaged() -> UrsaError { UrsaError(.io, "\(image.name) is damaged: its list of bitmaps can't be read") }
        guard count <= 65535, size <= 64 << 20 else { throw damaged() }
        let bytes = try image.file.bytes(at: offset, count: Int(size))
        var list: [Qcow2BitmapInfo] = []
        var place = 0
        for _ in 0..<count {
            guard let flags: UInt32 = bytes.bigEndian(place + 12), let bits: UInt8 = bytes.bigEndian(place + 17),
                let name: UInt16 = bytes.bigEndian(place + 18), let extra: UInt32 = bytes.bigEndian(place + 20),
                bits < 64,
                extra <= size
            else { throw damaged() }
            let start = place + 24 + Int(extra)
            let end = start + Int(name)
            guard end <= bytes.count else { throw damaged() }
            list.append(
                Qcow2BitmapInfo(
                    name: String(decoding: bytes[start..<end], as: UTF8.self), granularity: 1 << UInt64(bits),
                    flags: (flags & 1 != 0 ? ["in-use"] : []) + (flags & 2 != 0 ? ["auto"] : [])))
            place += (24 + Int(extra) + Int(name) + 7) & ~7
        }
        return list
    }

    /// Bytes that copies of an image's bitmaps would take in a new image, at most.
    public static func space(_ image: Qcow2Image, clusterSize: UInt64) throws(UrsaError) -> UInt64 {
        var (total, folder): (UInt64, UInt64) = (0, 0)
        for bitmap in try list(image) {
            let clusters = image.size.dividedUp(by: bitmap.granularity).dividedUp(by: 8).dividedUp(by: clusterSize)
            total += clusters * clusterSize + roundUp(clusters * 8, to: clusterSize)
            folder += roundUp(24 + UInt64(bitmap.name.utf8.count), to: 8)
        }
        return total + roundUp(folder, to: clusterSize)
    }
}
