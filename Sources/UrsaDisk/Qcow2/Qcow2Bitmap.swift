import UrsaBase

/// A persistent bitmap of a qcow2 image: which parts of the disk were written since some moment.
public struct Qcow2Bitmap: Sendable, Equatable {
    /// Unique in its image.
    public var name: String
    /// Bytes of the disk to one bit, as a power of two.
    public var granularityBits: UInt8
    /// Whether it was left unsaved: what it says can't be relied on.
    public var isInUse: Bool
    /// Whether it follows all changes of the disk.
    public var isEnabled: Bool

    /// Bytes of the disk to one bit.
    public var granularity: UInt64 { 1 << UInt64(granularityBits) }

    var type: UInt8
    var hasExtra: Bool
    var tableOffset: UInt64
    var tableSize: UInt32
    /// Where its flags lie in the file.
    var flagsOffset: UInt64
    var flags: UInt32

    static let inUse: UInt32 = 1
    static let auto: UInt32 = 2

    /// The directory of an image's bitmaps, empty when it has none or when they count as lost.
    static func read(_ file: ImageFile, _ header: Qcow2Header) throws(UrsaError) -> (
        list: [Qcow2Bitmap], offset: UInt64, size: UInt64
    ) {
        guard header.autoclear & Qcow2Features.bitmaps != 0 else { return ([], 0, 0) }
        func damaged(_ what: String) -> UrsaError {
            UrsaError(.io, "\(file.name) is damaged: \(what) in its directory of bitmaps")
        }
        guard let data = header.data(of: Qcow2Header.Extension.bitmaps), let count: UInt32 = data.bigEndian(0),
            let size: UInt64 = data.bigEndian(8), let offset: UInt64 = data.bigEndian(16)
        else { throw damaged("no entry") }
        let geometry = header.geometry
        guard count >= 1, count <= 65535, size <= 64 << 20, geometry.inCluster(offset) == 0, offset < 1 << 62 else {
            throw damaged("\(count) bitmaps in \(size) bytes at offset \(offset)")
        }
        let bytes = try file.bytes(at: offset, count: Int(size))
        var list: [Qcow2Bitmap] = []
        var at = 0
        for number in 0..<count {
            guard at <= bytes.count - 24, let table: UInt64 = bytes.bigEndian(at),
                let entries: UInt32 = bytes.bigEndian(at + 8), let flags: UInt32 = bytes.bigEndian(at + 12),
                let nameLength: UInt16 = bytes.bigEndian(at + 18), let extra: UInt32 = bytes.bigEndian(at + 20)
            else { throw damaged("the end before bitmap \(number)") }
            let start = at + 24 + Int(extra)
            guard start + Int(nameLength) <= bytes.count, nameLength > 0 else {
                throw damaged("no name of bitmap \(number)")
            }
            let item = Qcow2Bitmap(
                name: String(decoding: bytes[start..<start + Int(nameLength)], as: UTF8.self),
                granularityBits: bytes[at + 17], isInUse: flags & inUse != 0, isEnabled: flags & auto != 0,
                type: bytes[at + 16], hasExtra: extra > 0, tableOffset: table, tableSize: entries,
                flagsOffset: offset + UInt64(at) + 12, flags: flags)
            guard item.granularityBits <= 63, item.type == 1, geometry.inCluster(table) == 0, table < 1 << 62,
                UInt64(entries) * geometry.clusterSize <= 512 << 20
            else { throw damaged("a table of \(entries) entries at offset \(table) for '\(item.name)'") }
            list.append(item)
            at = (start + Int(nameLength) + 7) & ~7
        }
        return (list, offset, size)
    }
}

/// Bitmaps that follow what is written while the image is open.
struct Qcow2BitmapTracking {
    struct Followed {
        var bitmap: Qcow2Bitmap
        /// A bit for each piece of the disk that was written since the image was opened, least significant first.
        var bits: [UInt8]
    }
    var followed: [Followed] = []
}
