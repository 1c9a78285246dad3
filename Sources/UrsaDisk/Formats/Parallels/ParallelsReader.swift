import UrsaBase

/// Parallels' expandable images, for reading.
///
/// QEMU's docs/interop/parallels.txt: a header of 64 bytes, little-endian, then a table with one number of 32 bits for
/// each cluster, 0 when it was never written. The numbers count sectors in images that begin with `WithoutFreeSpace`,
/// clusters in those with `WithouFreSpacExt`. An image that its writer did not close is read as it is.
final class ParallelsReader: ClusterReader {
    let format = DiskFormat.parallels
    let size: UInt64

    let source: any ByteSource
    let unit: UInt64
    let chunks = ChunkCache()
    private let tables: TablePages
    private let step: UInt64
    private let data: UInt64
    private static let table: UInt64 = 64

    /// Whether a file that begins like this is of this format.
    static func recognises(_ header: [UInt8]) -> Bool {
        (header.starts(with: "WithoutFreeSpace".utf8) || header.starts(with: "WithouFreSpacExt".utf8))
            && header.dropFirst(16).starts(with: [2, 0, 0, 0])
    }

    /// Opens an image.
    init(file: any ByteSource) throws(UrsaError) {
        let header = try file.structure("header", of: .parallels, at: 0, count: Int(Self.table))
        guard Self.recognises(header.bytes) else {
            throw file.damaged(.parallels, "it does not begin as a parallels image of version 2", at: 0)
        }
        let isExtended = header.says("WithouFreSpacExt")
        let sectors = UInt64(header.little32(28))
        let entries = UInt64(header.little32(32))
        // The older form has garbage in the upper half.
        let total = isExtended ? header.little64(36) : UInt64(header.little32(36))
        guard sectors > 0, sectors <= 1 << 22 else {
            throw file.damaged(.parallels, "clusters of \(sectors) sectors are impossible", at: 28)
        }
        unit = sectors * 512
        step = isExtended ? unit : 512
        guard total > 0, total <= 1 << 52, (total - 1) / sectors < entries else {
            throw file.damaged(.parallels, "a disk of \(total) sectors in \(entries) clusters is impossible", at: 36)
        }
        size = total * 512
        guard file.holds(entries * 4, at: Self.table) else {
            throw file.damaged(.parallels, "its table of \(entries) entries passes the end", at: Self.table)
        }
        data = max((Self.table + entries * 4 + 511) / 512 * 512, UInt64(header.little32(48)) * 512)
        source = file
        tables = TablePages(file, .parallels)
    }

    func repeats(of cluster: UInt64, limit: UInt64) throws(UrsaError) -> UInt64 {
        try tables.repeats(of: 4, at: Self.table + cluster * 4, limit: limit, of: "table")
    }

    func place(of cluster: UInt64) throws(UrsaError) -> ClusterPlace {
        let entry = Self.table + cluster * 4
        let number = try tables.little32(at: entry, of: "table")
        guard number != 0 else { return .unallocated }
        let offset = UInt64(number) * step
        guard offset >= data else {
            throw source.damaged(.parallels, "a cluster at byte \(offset) lies among the tables", at: entry)
        }
        return .stored(offset)
    }
}
