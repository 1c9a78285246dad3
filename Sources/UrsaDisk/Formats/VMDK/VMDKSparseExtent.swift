import UrsaBase

/// One file of a VMware disk that has its own tables: a hosted sparse extent (`KDMV`), also stream-optimised, or one of
/// the older kind (`COWD`).
///
/// VMware's "Virtual Disk Format 5.0": a directory of tables of sector numbers, one for each grain; 0 for a grain that
/// was never written, 1 for one of zeros where a flag allows it. Compressed grains have a marker before them: sector of
/// the disk, length, data.
final class VMDKSparseExtent: ClusterReader {
    let format = DiskFormat.vmdk
    let size: UInt64
    /// Place and length of the text inside of the file; nil when it has none.
    let descriptor: (offset: UInt64, count: Int)?

    let source: any ByteSource
    let unit: UInt64
    let chunks = ChunkCache()
    private let tables: TablePages
    private let directory: UInt64
    private let tableLength: UInt64
    private let isCompressed: Bool
    private let hasMarkers: Bool
    private let hasZeroGrains: Bool

    static func recognises(_ header: [UInt8]) -> Bool {
        header.starts(with: "KDMV".utf8) || header.starts(with: "COWD".utf8)
    }

    /// Opens an extent by its header.
    convenience init(file: any ByteSource) throws(UrsaError) {
        let header = try file.structure("header", of: .vmdk, at: 0, count: 512)
        if header.says("COWD") {
            try self.init(cowd: header, file)
        } else if header.says("KDMV") {
            try self.init(hosted: try Self.effective(header, file), file)
        } else {
            throw file.damaged(.vmdk, "it does not begin as an extent of a vmdk image", at: 0)
        }
    }

    private init(cowd header: Fields, _ file: any ByteSource) throws(UrsaError) {
        size = UInt64(header.little32(12)) * 512
        unit = UInt64(header.little32(16)) * 512
        directory = UInt64(header.little32(20)) * 512
        tableLength = 4096
        isCompressed = false
        hasMarkers = false
        hasZeroGrains = false
        descriptor = nil
        source = file
        tables = TablePages(file, .vmdk)
        try check(entries: UInt64(header.little32(24)))
    }

    private init(hosted header: Fields, _ file: any ByteSource) throws(UrsaError) {
        let version = header.little32(4)
        let flags = header.little32(8)
        guard (1...3).contains(version) else { throw file.refused(.vmdk, "its version \(version) is unknown") }
        guard flags & 1 == 0 || header.bytes[73..<77].elementsEqual([10, 32, 13, 10]) else {
            throw file.damaged(.vmdk, "its line ends were changed, as a transfer of text does", at: 73)
        }
        let capacity = header.little64(12)
        let grain = header.little64(20)
        guard capacity <= 1 << 52, (1...0x20_0000).contains(grain) else {
            throw file.damaged(.vmdk, "\(capacity) sectors in grains of \(grain) are impossible", at: 12)
        }
        size = capacity * 512
        unit = grain * 512
        let place = header.little64(56)
        guard place <= 1 << 52 else {
            throw file.damaged(.vmdk, "its grain directory lies past every file, in sector \(place)", at: 56)
        }
        directory = place * 512
        tableLength = UInt64(header.little32(44))
        let algorithm = header.little16(77)
        guard algorithm <= 1 else { throw file.refused(.vmdk, "its compression \(algorithm) is unknown") }
        isCompressed = algorithm == 1
        hasZeroGrains = flags & 4 != 0
        hasMarkers = flags & 1 << 17 != 0
        let text = (sector: header.little64(28), sectors: header.little64(36))
        descriptor =
            text.sector == 0 || text.sector > 1 << 52 || text.sectors == 0
            ? nil : (text.sector * 512, Int(min(text.sectors, UInt64(VMDKDescriptor.limit / 512))) * 512)
        source = file
        tables = TablePages(file, .vmdk)
        guard (1...512).contains(tableLength) else {
            throw file.damaged(.vmdk, "grain tables of \(tableLength) entries are impossible", at: 44)
        }
        guard !isCompressed || unit <= 64 << 20 else {
            throw file.refused(.vmdk, "its compressed grains have \(unit) bytes each")
        }
        // A file that only carries the text has no disk of its own.
        if capacity > 0 { try check(entries: nil) }
    }

    private func check(entries stated: UInt64?) throws(UrsaError) {
        guard unit >= 512, unit <= 1 << 30, size > 0 else {
            throw source.damaged(.vmdk, "a disk of \(size) bytes in grains of \(unit) is impossible", at: 12)
        }
        let entries = (size - 1) / (unit * tableLength) + 1
        guard stated.map({ $0 >= entries }) ?? true, source.holds(entries * 4, at: directory) else {
            throw source.damaged(.vmdk, "its grain directory of \(entries) entries passes the end", at: directory)
        }
    }

    /// The header, or where that says so the footer: a stream that was written in one go knows its directory at the end.
    private static func effective(_ header: Fields, _ file: any ByteSource) throws(UrsaError) -> Fields {
        guard header.little64(56) == .max else { return header }
        let end = file.size / 512 * 512
        guard end >= 2048 else { throw file.damaged(.vmdk, "its footer passes the beginning of the file") }
        let place = end - 1536
        let tail = try file.structure("footer", of: .vmdk, at: place, count: 1536)
        let footer = Fields(Array(tail.bytes[512..<1024]))
        guard tail.little32(8) == 0, tail.little32(12) == 3, tail.isZero(1024, 16), footer.says("KDMV"),
            footer.little64(56) != .max
        else { throw file.damaged(.vmdk, "its footer is not there", at: place) }
        return footer
    }

    private func table(of cluster: UInt64) throws(UrsaError) -> UInt64 {
        UInt64(try tables.little32(at: directory + cluster / tableLength * 4, of: "grain directory")) * 512
    }

    private func grain(_ cluster: UInt64, in table: UInt64) throws(UrsaError) -> UInt32 {
        try tables.little32(at: table + cluster % tableLength * 4, of: "grain table")
    }

    func place(of cluster: UInt64) throws(UrsaError) -> ClusterPlace {
        let table = try table(of: cluster)
        guard table != 0 else { return .unallocated }
        switch try grain(cluster, in: table) {
        case 0: return .unallocated
        case 1 where hasZeroGrains: return .zero
        case let sector: return isCompressed ? .compressed : .stored(UInt64(sector) * 512)
        }
    }

    func repeats(of cluster: UInt64, limit: UInt64) throws(UrsaError) -> UInt64 {
        let table = try table(of: cluster)
        let limit = min(limit, tableLength - 1 - cluster % tableLength)
        return table == 0 || limit == 0
            ? limit
            : try tables.repeats(of: 4, at: table + cluster % tableLength * 4, limit: limit, of: "grain table")
    }

    func run(at cluster: UInt64, limit: UInt64) throws(UrsaError) -> (place: ClusterPlace, count: UInt64) {
        guard try table(of: cluster) == 0 else { return try merged(at: cluster, limit: limit) }
        return try missing(at: cluster, limit: limit, perTable: tableLength) { (last, limit) throws(UrsaError) in
            let entry = directory + last / tableLength * 4
            let more = try tables.repeats(of: 4, at: entry, limit: limit, of: "grain directory")
            // The next number is on the next page.
            return try more > 0 ? more : table(of: last + 1) == 0 ? 1 : 0
        }
    }

    func decompress(_ cluster: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(UrsaError) {
        let offset = UInt64(try grain(cluster, in: try table(of: cluster))) * 512
        var start = offset
        var length = unit
        if hasMarkers {
            let marker = try source.structure("marker of a grain", of: .vmdk, at: offset, count: 12)
            length = UInt64(marker.little32(8))
            start += 12
            guard (1...unit * 2).contains(length) else {
                throw source.damaged(.vmdk, "a compressed grain has \(length) bytes", at: offset)
            }
        } else if start < source.size {
            length = min(length, source.size - start)
        }
        // Some writers give the last grain whole, others only as far as the disk goes.
        try withScratch(Int(length + unit)) { (memory) throws(UrsaError) in
            let packed = UnsafeMutableRawBufferPointer(rebasing: memory[0..<Int(length)])
            let whole = UnsafeMutableRawBufferPointer(rebasing: memory[Int(length)...])
            try source.data(of: .vmdk, into: packed, at: start)
            let target = buffer.count == whole.count ? buffer : whole
            try source.inflate(packed, into: target, least: buffer.count, .zlib, of: .vmdk, at: start)
            if buffer.count < whole.count {
                buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: whole[0..<buffer.count]))
            }
        }
    }
}
