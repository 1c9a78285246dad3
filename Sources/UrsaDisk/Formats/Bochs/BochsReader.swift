import UrsaBase

/// Bochs' growing images (redolog of type `Growing`, versions 1 and 2), for reading.
///
/// A header of 512 bytes, little-endian; a catalogue with one number for each extent, 0xffffffff for none; then the
/// extents, each a bitmap of its sectors followed by the sectors. Bochs' iodev/hdimage.h describes it.
final class BochsReader: ClusterReader {
    let format = DiskFormat.bochs
    let size: UInt64
    var clusterSize: UInt64? { extentSize }

    let source: any ByteSource
    /// Each sector is there or not.
    let unit: UInt64 = 512
    let chunks = ChunkCache()
    private let tables: TablePages
    private let catalogue: UInt64
    private let data: UInt64
    private let extentSize: UInt64
    private let bitmapSize: UInt64

    /// Whether a file that begins like this is of this format.
    static func recognises(_ header: [UInt8]) -> Bool {
        guard header.count >= 512 else { return false }
        let fields = Fields(header)
        return fields.says("Bochs Virtual HD Image\0") && fields.says("Redolog\0", at: 32)
            && fields.says("Growing\0", at: 48) && [0x10000, 0x20000].contains(fields.little32(64))
    }

    /// Opens an image.
    init(file: any ByteSource) throws(UrsaError) {
        let header = try file.structure("header", of: .bochs, at: 0, count: 512)
        guard Self.recognises(header.bytes) else {
            if header.says("Bochs Virtual HD Image\0"), header.says("Redolog\0", at: 32) {
                let kind = header.bytes[48..<64].prefix { $0 > 32 && $0 < 127 }
                throw file.refused(.bochs, "its kind is \(String(decoding: kind, as: UTF8.self)), not Growing")
            }
            throw file.damaged(.bochs, "it does not begin as a growing image of Bochs", at: 0)
        }
        catalogue = UInt64(header.little32(68))
        let entries = UInt64(header.little32(72))
        let bitmap = UInt64(header.little32(76))
        extentSize = UInt64(header.little32(80))
        let stated = header.little64(header.little32(64) == 0x10000 ? 84 : 88)
        guard extentSize >= 512, extentSize <= 8 << 20, extentSize & (extentSize - 1) == 0 else {
            throw file.damaged(.bochs, "extents of \(extentSize) bytes are impossible", at: 80)
        }
        guard bitmap <= 8 << 20, bitmap * 8 * 512 >= extentSize else {
            throw file.damaged(.bochs, "a bitmap of \(bitmap) bytes does not fit the extents", at: 76)
        }
        bitmapSize = (bitmap + 511) / 512 * 512
        size = stated / 512 * 512
        guard size > 0, size <= 1 << 61, (size - 1) / extentSize < entries else {
            throw file.damaged(.bochs, "a disk of \(stated) bytes in \(entries) extents is impossible", at: 72)
        }
        guard file.holds(entries * 4, at: catalogue) else {
            throw file.damaged(.bochs, "its catalogue of \(entries) entries passes the end of the file", at: catalogue)
        }
        data = catalogue + entries * 4
        source = file
        tables = TablePages(file, .bochs)
    }

    private func extent(of sector: UInt64) throws(UrsaError) -> UInt64? {
        let number = try tables.little32(at: catalogue + sector / (extentSize / 512) * 4, of: "catalogue")
        return number == .max ? nil : data + UInt64(number) * (bitmapSize + extentSize)
    }

    func place(of cluster: UInt64) throws(UrsaError) -> ClusterPlace { try run(at: cluster, limit: 1).place }

    func run(at cluster: UInt64, limit: UInt64) throws(UrsaError) -> (place: ClusterPlace, count: UInt64) {
        guard let extent = try extent(of: cluster) else { return try withoutExtent(at: cluster, limit: limit) }
        let sectors = extentSize / 512
        let first = cluster % sectors
        let most = min(limit, sectors - first)
        let isThere = try isThere(first, in: extent)
        var count: UInt64 = 1
        while count < most, try self.isThere(first + count, in: extent) == isThere { count += 1 }
        return (isThere ? .stored(extent + bitmapSize + first * 512) : .unallocated, count)
    }

    private func isThere(_ sector: UInt64, in extent: UInt64) throws(UrsaError) -> Bool {
        try tables.byte(at: extent + sector / 8, of: "bitmap of an extent") >> (sector % 8) & 1 == 1
    }

    private func withoutExtent(
        at cluster: UInt64, limit: UInt64
    ) throws(UrsaError) -> (place: ClusterPlace, count: UInt64) {
        let sectors = extentSize / 512
        return try missing(at: cluster, limit: limit, perTable: sectors) { (last, limit) throws(UrsaError) in
            let entry = catalogue + last / sectors * 4
            let more = try tables.repeats(of: 4, at: entry, limit: limit, of: "catalogue")
            // The next number is on the next page.
            return try more > 0 ? more : extent(of: last + 1) == nil ? 1 : 0
        }
    }
}
