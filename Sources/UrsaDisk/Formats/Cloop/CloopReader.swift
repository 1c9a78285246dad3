import UrsaBase

/// Compressed loop images (cloop 2.0), for reading: after a script of 128 bytes the block size and the number of blocks,
/// then the offsets of all blocks and of the end, big-endian; each block is one zlib stream. The layout is that of the
/// module's own `create_compressed_fs`.
final class CloopReader: ClusterReader {
    let format = DiskFormat.cloop
    let size: UInt64

    let source: any ByteSource
    let unit: UInt64
    let chunks = ChunkCache()
    private let tables: TablePages
    private static let offsets: UInt64 = 136

    /// Whether a file that begins like this is of this format.
    static func recognises(_ header: [UInt8]) -> Bool {
        header.starts(
            with: "#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r -t iso9660 /dev/cloop $1\n".utf8)
    }

    /// Opens an image. The script at its beginning is not looked at: many writers change it.
    init(file: any ByteSource) throws(UrsaError) {
        let header = try file.structure("header", of: .cloop, at: 0, count: Int(Self.offsets))
        unit = UInt64(header.big32(128))
        let blocks = UInt64(header.big32(132))
        guard unit > 0, unit % 512 == 0, unit <= 64 << 20 else {
            throw file.damaged(.cloop, "blocks of \(unit) bytes are impossible", at: 128)
        }
        guard blocks > 0, file.holds((blocks + 1) * 8, at: Self.offsets) else {
            throw file.damaged(.cloop, "its table of \(blocks) blocks passes the end of the file", at: 132)
        }
        size = blocks * unit
        source = file
        tables = TablePages(file, .cloop)
    }

    func place(of cluster: UInt64) throws(UrsaError) -> ClusterPlace { .compressed }

    func run(at cluster: UInt64, limit: UInt64) throws(UrsaError) -> (place: ClusterPlace, count: UInt64) {
        (.compressed, limit)
    }

    func decompress(_ cluster: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(UrsaError) {
        let entry = Self.offsets + cluster * 8
        let start = try tables.big64(at: entry, of: "table of blocks")
        let end = try tables.big64(at: entry + 8, of: "table of blocks")
        // What does not compress grows a little; twice the block is no block.
        guard start < end, end - start <= 2 * unit + 4096 else {
            throw source.damaged(.cloop, "block \(cluster) lies from byte \(start) to \(end)", at: entry)
        }
        try withScratch(Int(end - start)) { (packed) throws(UrsaError) in
            try source.data(of: .cloop, into: packed, at: start)
            try source.inflate(packed, into: buffer, least: buffer.count, .zlib, of: .cloop, at: start)
        }
    }
}
