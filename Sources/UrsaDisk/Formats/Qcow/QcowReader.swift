import UrsaBase

/// The first qcow format (version 1), for reading: big-endian, two levels of tables, raw deflate for compressed clusters.
///
/// The layout is that of QEMU's block driver for it, which is the only description: magic `QFI\xfb`, version, offset and
/// length of the backing file's name, time, size, bits of a cluster and of a second-level table, encryption, first-level
/// table. An entry with bit 63 set is a compressed cluster: its length stands in the bits below, as many as a cluster
/// has, and its offset in the rest.
final class QcowReader: ClusterReader {
    let format = DiskFormat.qcow
    let size: UInt64
    let backing: (any DiskReader)?

    let source: any ByteSource
    let unit: UInt64
    let chunks = ChunkCache()
    private let tables: TablePages
    private let tableBits: UInt64
    private let clusterBits: UInt64
    private let firstTable: UInt64

    /// Whether a file that begins like this is of this format.
    static func recognises(_ header: [UInt8]) -> Bool {
        header.starts(with: [0x51, 0x46, 0x49, 0xfb, 0, 0, 0, 1])
    }

    /// The file that an image was made over, as the image names it; nil for none.
    static func backingName(of file: any ByteSource) throws(UrsaError) -> String? {
        let header = try file.structure("header", of: .qcow, at: 0, count: 48)
        let offset = header.big64(8)
        guard offset != 0 else { return nil }
        let length = header.big32(16)
        guard (1...1023).contains(length) else {
            throw file.damaged(.qcow, "the name of its backing file has \(length) bytes", at: 16)
        }
        let name = try file.structure("backing file's name", of: .qcow, at: offset, count: Int(length))
        return String(decoding: name.bytes, as: UTF8.self)
    }

    /// Opens an image.
    /// - Parameters:
    ///   - backing: what lies below; must be given when `backingName` says one.
    ///   - alone: opens it without what lies below: that reads as zeros.
    init(file: any ByteSource, backing: (any DiskReader)? = nil, alone: Bool = false) throws(UrsaError) {
        let header = try file.structure("header", of: .qcow, at: 0, count: 48)
        guard Self.recognises(header.bytes) else {
            throw file.damaged(.qcow, "it does not begin as a qcow image of version 1", at: 0)
        }
        size = header.big64(24)
        clusterBits = UInt64(header.bytes[32])
        tableBits = UInt64(header.bytes[33])
        let encryption = header.big32(36)
        firstTable = header.big64(40)
        guard size > 1, size <= UInt64(Int64.max) / 2 else {
            throw file.damaged(.qcow, "a disk of \(size) bytes is impossible", at: 24)
        }
        guard (9...16).contains(clusterBits) else {
            throw file.damaged(.qcow, "clusters of 2^\(clusterBits) bytes are impossible", at: 32)
        }
        guard (6...13).contains(tableBits) else {
            throw file.damaged(.qcow, "tables of 2^\(tableBits) entries are impossible", at: 33)
        }
        guard encryption == 0 else {
            throw file.refused(
                .qcow, encryption == 1 ? "it is encrypted (AES)" : "its encryption \(encryption) is unknown",
                remedy: "decrypt it: qemu-img convert")
        }
        unit = 1 << clusterBits
        let entries = (size - 1) >> (clusterBits + tableBits) + 1
        guard file.holds(entries * 8, at: firstTable) else {
            throw file.damaged(.qcow, "its first table of \(entries) entries passes the end", at: firstTable)
        }
        if backing == nil, !alone, let name = try Self.backingName(of: file) {
            throw file.refused(
                .qcow, "it is made over another file, \(String(name.prefix(200)))", remedy: "open it with its chain")
        }
        self.backing = backing
        source = file
        tables = TablePages(file, .qcow)
    }

    private func secondTable(of cluster: UInt64) throws(UrsaError) -> UInt64 {
        try tables.big64(at: firstTable + (cluster >> tableBits) * 8, of: "first table")
    }

    private func entry(_ cluster: UInt64, in table: UInt64) throws(UrsaError) -> UInt64 {
        let (offset, overflow) = table.addingReportingOverflow((cluster & ((1 << tableBits) - 1)) * 8)
        guard !overflow else { throw source.damaged(.qcow, "a second table lies past every file", at: table) }
        return try tables.big64(at: offset, of: "second table")
    }

    func place(of cluster: UInt64) throws(UrsaError) -> ClusterPlace {
        let table = try secondTable(of: cluster)
        guard table != 0 else { return .unallocated }
        let entry = try entry(cluster, in: table)
        if entry == 0 { return .unallocated }
        return entry >> 63 == 1 ? .compressed : .stored(entry)
    }

    func repeats(of cluster: UInt64, limit: UInt64) throws(UrsaError) -> UInt64 {
        let table = try secondTable(of: cluster)
        let index = cluster & ((1 << tableBits) - 1)
        let limit = min(limit, (1 << tableBits) - 1 - index)
        let (offset, overflow) = table.addingReportingOverflow(index * 8)
        guard table != 0, limit > 0, !overflow else { return table == 0 ? limit : 0 }
        return try tables.repeats(of: 8, at: offset, limit: limit, of: "second table")
    }

    func run(at cluster: UInt64, limit: UInt64) throws(UrsaError) -> (place: ClusterPlace, count: UInt64) {
        guard try secondTable(of: cluster) == 0 else { return try merged(at: cluster, limit: limit) }
        return try missing(at: cluster, limit: limit, perTable: 1 << tableBits) { (last, limit) throws(UrsaError) in
            let entry = firstTable + (last >> tableBits) * 8
            let more = try tables.repeats(of: 8, at: entry, limit: limit, of: "first table")
            // The next number is on the next page.
            return try more > 0 ? more : secondTable(of: last + 1) == 0 ? 1 : 0
        }
    }

    func decompress(_ cluster: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(UrsaError) {
        let entry = try entry(cluster, in: try secondTable(of: cluster))
        let length = entry >> (63 - clusterBits) & (unit - 1)
        let offset = entry & ((1 << (63 - clusterBits)) - 1)
        guard length > 0 else { throw source.damaged(.qcow, "a compressed cluster has no bytes", at: offset) }
        // The stream gives a whole cluster, also where the disk ends earlier.
        try withScratch(Int(length + unit)) { (memory) throws(UrsaError) in
            let packed = UnsafeMutableRawBufferPointer(rebasing: memory[0..<Int(length)])
            let whole = UnsafeMutableRawBufferPointer(rebasing: memory[Int(length)...])
            try source.data(of: .qcow, into: packed, at: offset)
            let target = buffer.count == whole.count ? buffer : whole
            try source.inflate(packed, into: target, least: buffer.count, .raw, of: .qcow, at: offset)
            if buffer.count < whole.count {
                buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: whole[0..<buffer.count]))
            }
        }
    }
}
