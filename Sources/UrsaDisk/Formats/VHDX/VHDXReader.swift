import UrsaBase

/// Hyper-V's disks (vhdx), fixed and dynamic, for reading.
///
/// Microsoft's [MS-VHDX]. The table has 64 bits for each block: three say its state, the upper 44 its place in mebibytes;
/// after each chunk of blocks comes an entry for a bitmap that only differencing disks use. A log that was not written
/// back is replayed in memory.
final class VHDXReader: ClusterReader {
    let format = DiskFormat.vhdx
    let size: UInt64
    /// Whether the file's log had to be replayed: it was not closed.
    let wasReplayed: Bool

    let source: any ByteSource
    let unit: UInt64
    let chunks = ChunkCache()
    private let tables: TablePages
    private let table: UInt64
    private let chunkRatio: UInt64

    /// Whether a file that begins like this is of this format.
    static func recognises(_ header: [UInt8]) -> Bool { header.starts(with: "vhdxfile".utf8) }

    /// Opens an image.
    init(file: any ByteSource) throws(UrsaError) {
        let start = try file.structure("signature", of: .vhdx, at: 0, count: 8)
        guard Self.recognises(start.bytes) else {
            throw file.damaged(.vhdx, "it does not begin as a vhdx image", at: 0)
        }
        source = try Self.replayed(file)
        wasReplayed = source !== file
        let regions = try VHDXRegions(source)
        let disk = try VHDXMetadata(source, regions.metadata)
        guard !disk.hasParent else {
            throw file.refused(.vhdx, "it is a differencing disk", remedy: "merge it in Hyper-V")
        }
        size = disk.diskSize
        unit = disk.blockSize
        guard unit >= 1 << 20, unit <= 256 << 20, unit & (unit - 1) == 0 else {
            throw file.damaged(.vhdx, "blocks of \(unit) bytes are impossible", at: regions.metadata.offset)
        }
        guard disk.sectorSize == 512 || disk.sectorSize == 4096 else {
            throw file.damaged(.vhdx, "sectors of \(disk.sectorSize) bytes are impossible", at: regions.metadata.offset)
        }
        guard size > 0, size <= 64 << 40, size % disk.sectorSize == 0 else {
            throw file.damaged(.vhdx, "a disk of \(size) bytes is impossible", at: regions.metadata.offset)
        }
        chunkRatio = (1 << 23) * disk.sectorSize / unit
        let last = (size - 1) / unit
        guard (last + last / chunkRatio + 1) * 8 <= regions.table.length else {
            throw file.damaged(.vhdx, "its table of blocks is too short for the disk", at: regions.table.offset)
        }
        table = regions.table.offset
        tables = TablePages(source, .vhdx)
    }

    /// The file, or where its log has something to replay, the file after that.
    private static func replayed(_ file: any ByteSource) throws(UrsaError) -> any ByteSource {
        let header = try VHDXHeader(file)
        guard header.logLength > 0, header.logID.contains(where: { $0 != 0 }) else { return file }
        let log = try VHDXLog(file, at: header.logOffset, length: header.logLength, guid: header.logID)
        let entries = try log.entries()
        return entries.isEmpty ? file : try VHDXReplay(entries, of: log, over: file)
    }

    func repeats(of cluster: UInt64, limit: UInt64) throws(UrsaError) -> UInt64 {
        // The entry of a bitmap comes after each chunk.
        let limit = min(limit, chunkRatio - 1 - cluster % chunkRatio)
        return try tables.repeats(
            of: 8, at: table + (cluster + cluster / chunkRatio) * 8, limit: limit, of: "table of blocks")
    }

    func place(of cluster: UInt64) throws(UrsaError) -> ClusterPlace {
        let place = table + (cluster + cluster / chunkRatio) * 8
        let entry = try tables.little64(at: place, of: "table of blocks")
        switch entry & 7 {
        case 0, 1: return .unallocated
        // 5 is what version 0.95 of the specification called an unmapped block.
        case 2, 3, 5: return .zero
        case 6: return .stored(entry & ~0xf_ffff)
        default: throw source.damaged(.vhdx, "block \(cluster) is in the impossible state \(entry & 7)", at: place)
        }
    }
}
