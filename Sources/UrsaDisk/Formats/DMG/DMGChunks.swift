import UrsaBase

/// The pieces that a dmg's disk is made of, each compressed in its own way, from the tables (`mish`) of its partitions.
///
/// The format is not published; what is known of it stands in several readers, QEMU's among them. A table has a header
/// of 204 bytes, big-endian, then 40 bytes for each piece: kind, first sector and sectors (from the table's own first),
/// offset and length in the file's data.
struct DMGChunks: Sendable {
    /// How a piece is stored.
    enum Kind: Sendable, Equatable {
        case zero, stored, adc, zlib, bzip2, xz
        /// Known by name, not undone here.
        case refused(String)
    }
    struct Chunk: Sendable {
        var kind: Kind
        /// First byte and number of bytes of the disk.
        var start: UInt64
        var size: UInt64
        /// Place and length in the file.
        var offset: UInt64
        var length: UInt64
    }

    /// Most bytes of a piece, compressed or not, where it must be in memory as a whole. hdiutil makes 256 KiB, or 1 MiB.
    static let limit: UInt64 = 64 << 20
    /// Most pieces of an image: 16 MiB of table.
    private static let most = 400_000

    /// In the order of the disk, without overlap.
    private(set) var all: [Chunk] = []

    /// Adds the pieces of a table; bytes that are no table are skipped, as other resources of the file are.
    mutating func add(_ table: [UInt8], data: UInt64, of file: any ByteSource) throws(UrsaError) {
        let fields = Fields(table)
        guard table.count >= 204, fields.says("mish") else { return }
        let first = fields.big64(8)
        let (base, overflow) = data.addingReportingOverflow(fields.big64(24))
        let count = (table.count - 204) / 40
        guard !overflow, base <= file.size else {
            throw file.damaged(.dmg, "the data of a partition lies past the end of the file", at: base)
        }
        guard all.count + count <= Self.most else { throw file.refused(.dmg, "it has more than \(Self.most) pieces") }
        for index in 0..<count {
            let entry = 204 + index * 40
            guard let kind = Self.kind(fields.big32(entry)) else { continue }
            let (sector, over) = first.addingReportingOverflow(fields.big64(entry + 8))
            let sectors = fields.big64(entry + 16)
            let (offset, past) = base.addingReportingOverflow(fields.big64(entry + 24))
            guard !over, !past, sector <= 1 << 52, sectors <= 1 << 52, sectors > 0 else {
                if sectors == 0 { continue }
                throw file.damaged(.dmg, "a piece of \(sectors) sectors is impossible", at: offset)
            }
            let chunk = Chunk(
                kind: kind, start: sector * 512, size: sectors * 512, offset: offset,
                length: fields.big64(entry + 32))
            try Self.check(chunk, file)
            all.append(chunk)
        }
    }

    /// Puts the pieces in order.
    mutating func finish(_ file: any ByteSource) throws(UrsaError) {
        all.sort { $0.start < $1.start }
        for (one, next) in zip(all, all.dropFirst()) where one.start + one.size > next.start {
            throw file.damaged(.dmg, "two pieces stand for byte \(next.start) of the disk", at: next.offset)
        }
    }

    /// The piece that holds a byte of the disk.
    func index(at offset: UInt64) -> Int? {
        var low = 0
        var high = all.count
        while low < high {
            let middle = (low + high) / 2
            if all[middle].start + all[middle].size <= offset { low = middle + 1 } else { high = middle }
        }
        return low < all.count && all[low].start <= offset ? low : nil
    }

    private static func kind(_ number: UInt32) -> Kind? {
        switch number {
        case 0, 2: .zero
        case 1: .stored
        case 0x8000_0004: .adc
        case 0x8000_0005: .zlib
        case 0x8000_0006: .bzip2
        case 0x8000_0007: .refused("LZFSE")
        case 0x8000_0008: .xz
        // A comment, and the end of the table.
        case 0x7fff_fffe, 0xffff_ffff: nil
        default: .refused("method \(String(number, radix: 16))")
        }
    }

    private static func check(_ chunk: Chunk, _ file: any ByteSource) throws(UrsaError) {
        switch chunk.kind {
        case .zero, .refused: return
        case .stored:
            guard chunk.length <= chunk.size else {
                throw file.damaged(.dmg, "a piece of \(chunk.size) bytes has \(chunk.length)", at: chunk.offset)
            }
        case .adc, .zlib, .bzip2, .xz:
            guard chunk.size <= limit, chunk.length <= limit, chunk.length > 0 else {
                throw file.damaged(
                    .dmg, "a compressed piece of \(chunk.size) bytes in \(chunk.length) is impossible", at: chunk.offset
                )
            }
        }
        guard file.holds(chunk.length, at: chunk.offset) else {
            throw file.damaged(.dmg, "a piece of \(chunk.length) bytes passes the end of the file", at: chunk.offset)
        }
    }
}
