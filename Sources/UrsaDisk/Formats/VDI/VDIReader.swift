import UrsaBase

/// VirtualBox's disk images of version 1.1, dynamic and fixed, for reading.
///
/// The layout is public from VirtualBox's own sources and forum (topic 8046): a header of 512 bytes, little-endian, and
/// a map with one number of 32 bits for each block: its place among the blocks of the data area, 0xffffffff when it was
/// never written, 0xfffffffe when it was discarded.
final class VDIReader: ClusterReader {
    let format = DiskFormat.vdi
    let size: UInt64

    let source: any ByteSource
    let unit: UInt64
    let chunks = ChunkCache()
    private let tables: TablePages
    private let map: UInt64
    private let data: UInt64

    /// Whether a file that begins like this is of this format.
    static func recognises(_ header: [UInt8]) -> Bool {
        header.count >= 0x48 && header[0x40..<0x44].elementsEqual([0x7f, 0x10, 0xda, 0xbe])
    }

    /// Opens an image.
    init(file: any ByteSource) throws(UrsaError) {
        let header = try file.structure("header", of: .vdi, at: 0, count: 512)
        guard Self.recognises(header.bytes) else {
            throw file.damaged(.vdi, "it does not begin as a vdi image", at: 0x40)
        }
        let version = header.little32(0x44)
        guard version == 0x0001_0001 else {
            throw file.refused(.vdi, "its version \(version >> 16).\(version & 0xffff) is not 1.1")
        }
        switch header.little32(0x4c) {
        case 1, 2: break
        case 3: throw file.refused(.vdi, "it is an undo image", remedy: "merge it in VirtualBox")
        case 4: throw file.refused(.vdi, "it is a differencing image", remedy: "merge it in VirtualBox")
        case let type: throw file.refused(.vdi, "its type \(type) is unknown")
        }
        guard header.isZero(0x1a8, 32) else {
            throw file.refused(.vdi, "it depends on another image", remedy: "merge it in VirtualBox")
        }
        map = UInt64(header.little32(0x154))
        data = UInt64(header.little32(0x158))
        unit = UInt64(header.little32(0x178))
        let blocks = UInt64(header.little32(0x180))
        let stated = header.little64(0x170)
        guard header.little32(0x168) == 512 else {
            throw file.refused(.vdi, "its sectors have \(header.little32(0x168)) bytes, not 512")
        }
        guard unit >= 512, unit <= 256 << 20, unit & (unit - 1) == 0 else {
            throw file.damaged(.vdi, "blocks of \(unit) bytes are impossible", at: 0x178)
        }
        guard header.little32(0x17c) == 0 else {
            throw file.refused(.vdi, "its blocks carry \(header.little32(0x17c)) bytes of something else each")
        }
        // The last sector counts whole, as it does for VirtualBox's own raw conversions.
        guard stated > 0, stated <= 1 << 61, (stated + 511) / 512 * 512 <= blocks * unit else {
            throw file.damaged(.vdi, "a disk of \(stated) bytes in \(blocks) blocks is impossible", at: 0x170)
        }
        size = (stated + 511) / 512 * 512
        guard file.holds(blocks * 4, at: map) else {
            throw file.damaged(.vdi, "its block map of \(blocks) entries passes the end of the file", at: map)
        }
        source = file
        tables = TablePages(file, .vdi)
    }

    func repeats(of cluster: UInt64, limit: UInt64) throws(UrsaError) -> UInt64 {
        try tables.repeats(of: 4, at: map + cluster * 4, limit: limit, of: "block map")
    }

    func place(of cluster: UInt64) throws(UrsaError) -> ClusterPlace {
        switch try tables.little32(at: map + cluster * 4, of: "block map") {
        case 0xffff_ffff: return .unallocated
        case 0xffff_fffe: return .zero
        case let block: return .stored(data + UInt64(block) * unit)
        }
    }
}
