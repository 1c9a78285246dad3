import UrsaBase

/// Virtual PC's hard disks (vhd), fixed and dynamic, for reading.
///
/// Microsoft's "Virtual Hard Disk Image Format Specification" (2006): a footer of 512 bytes, big-endian, at the end of
/// the file; a dynamic disk has a copy of it at the beginning, a header of its own and a table with one sector number
/// for each block, where a bitmap and then the block's sectors lie. The bitmaps are not looked at: sectors that were
/// never written are zeros.
final class VPCReader: ClusterReader {
    let format = DiskFormat.vpc
    let size: UInt64
    let clusterSize: UInt64?

    let source: any ByteSource
    let unit: UInt64
    let chunks = ChunkCache()
    private let tables: TablePages
    private let table: UInt64
    private let bitmapSize: UInt64
    private let fixed: FlatReader?

    /// Whether a file that begins like this is of this format. A fixed disk begins with the guest's own bytes, so only
    /// a dynamic one can be told.
    static func recognises(_ header: [UInt8]) -> Bool { header.starts(with: "conectix".utf8) }

    /// Opens an image, the kind being found in its footer.
    init(file: any ByteSource) throws(UrsaError) {
        let footer = try Self.footer(of: file)
        source = file
        tables = TablePages(file, .vpc)
        size = Self.size(footer)
        // The largest disk that the format can have, 2040 GiB.
        guard size > 0, size <= 0xff00_0000 * 512 else {
            throw file.damaged(.vpc, "a disk of \(size) bytes is impossible")
        }
        switch footer.big32(60) {
        case 2:
            fixed = try FlatReader(file, format: .vpc, at: 0, size: size)
            unit = 1 << 20
            clusterSize = nil
            table = 0
            bitmapSize = 0
            return
        case 3: break
        case 4:
            throw file.refused(.vpc, "it is a differencing disk", remedy: "merge it in the program that made it")
        case let type: throw file.refused(.vpc, "its type \(type) is unknown")
        }
        fixed = nil
        let place = footer.big64(16)
        let header = try file.structure("header of a dynamic disk", of: .vpc, at: place, count: 1024)
        guard header.says("cxsparse") else {
            throw file.damaged(.vpc, "the header of a dynamic disk is not there", at: place)
        }
        table = header.big64(16)
        let entries = UInt64(header.big32(28))
        unit = UInt64(header.big32(32))
        clusterSize = unit
        guard unit >= 512, unit <= 1 << 30, unit & (unit - 1) == 0 else {
            throw file.damaged(.vpc, "blocks of \(unit) bytes are impossible", at: place)
        }
        bitmapSize = (unit / 4096 + 511) / 512 * 512
        guard (size - 1) / unit < entries else {
            throw file.damaged(.vpc, "a disk of \(size) bytes in \(entries) blocks is impossible", at: place)
        }
        guard file.holds(entries * 4, at: table) else {
            throw file.damaged(.vpc, "its table of \(entries) blocks passes the end of the file", at: table)
        }
    }

    /// The footer: of a fixed disk the one at the end, of another its copy at the beginning, or where that is damaged
    /// again the one at the end. The end comes first, because the beginning of a fixed disk is what a guest wrote.
    private static func footer(of file: any ByteSource) throws(UrsaError) -> Fields {
        guard file.size >= 512 else {
            throw file.damaged(.vpc, "a file of \(file.size) bytes has no room for a footer")
        }
        // Early writers made the footer one byte shorter.
        var last = try file.structure("footer", of: .vpc, at: file.size - 512, count: 512)
        if !isFooter(last), file.size > 512 {
            let short = try file.structure("footer", of: .vpc, at: file.size - 511, count: 511)
            let padded = Fields(short.bytes + [0])
            if isFooter(padded) { last = padded }
        }
        if isFooter(last), last.big32(60) == 2 { return last }
        let first = try file.structure("footer", of: .vpc, at: 0, count: 512)
        if isFooter(first) { return first }
        if isFooter(last) { return last }
        throw file.damaged(
            .vpc,
            first.says("conectix") || last.says("conectix") ? "its footer's checksum is wrong" : "it has no footer")
    }

    /// The checksum is the complement of the sum of all bytes but its own.
    private static func isFooter(_ fields: Fields) -> Bool {
        guard fields.says("conectix") else { return false }
        let sum = fields.bytes.reduce(UInt32(0)) { $0 &+ UInt32($1) }
        let own = fields.bytes[64..<68].reduce(UInt32(0)) { $0 &+ UInt32($1) }
        return ~(sum &- own) == fields.big32(64)
    }

    /// Virtual PC and QEMU count by the geometry, which rounds; the others by the size that the footer says. So does
    /// everybody where the geometry is at its limit.
    private static func size(_ footer: Fields) -> UInt64 {
        let sectors = UInt64(footer.big16(56)) * UInt64(footer.bytes[58]) * UInt64(footer.bytes[59])
        let countsBySize = ["win ", "qem2", "d2v ", "CTXS", "tap\0", "wa\0\0"].contains { footer.says($0, at: 28) }
        if !countsBySize, sectors != 65535 * 16 * 255 { return sectors * 512 }
        return footer.big64(48) / 512 * 512
    }

    func repeats(of cluster: UInt64, limit: UInt64) throws(UrsaError) -> UInt64 {
        try tables.repeats(of: 4, at: table + cluster * 4, limit: limit, of: "table of blocks")
    }

    func place(of cluster: UInt64) throws(UrsaError) -> ClusterPlace {
        if fixed != nil { return .stored(cluster * unit) }
        let entry = table + cluster * 4
        let sector = try tables.big32(at: entry, of: "table of blocks")
        return sector == .max ? .unallocated : .stored(UInt64(sector) * 512 + bitmapSize)
    }

    func extent(at offset: UInt64, limit: UInt64) throws(UrsaError) -> Extent {
        if let fixed { return try fixed.extent(at: offset, limit: limit) }
        return try clusterExtent(at: offset, limit: limit)
    }
}
