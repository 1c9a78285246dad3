import UrsaBase

/// The space of a qcow2 image that is being filled front to back: hands out clusters and keeps their counters.
///
/// Counters of what lies behind are final, so they are written block by block and forgotten: memory stays the same however
/// large the image grows.
struct StreamSpace {
    private let file: ImageFile
    private let geometry: Qcow2Geometry
    /// The next host cluster that nobody has.
    private var next: UInt64
    /// Counters of the clusters from `base` on.
    private var counts: [UInt32]
    private var base: UInt64 = 0
    /// Host offsets of the counter blocks, 0 where there is none yet.
    private var table: [UInt64]
    private var tableOffset: UInt64
    private var tableClusters: UInt64
    /// Where the next compressed cluster goes: inside of a host cluster that others share, nil when there is none.
    private var shared: UInt64?

    /// Clusters in use so far.
    var usedClusters: UInt64 { next }

    /// Takes over the space of a new image whose file holds nothing but its first tables.
    ///
    /// - Parameter mostClusters: clusters that will be asked for at most.
    init(_ file: ImageFile, _ header: Qcow2Header, mostClusters: UInt64) throws(UrsaError) {
        self.file = file
        geometry = header.geometry
        next = geometry.clusters(for: file.size)
        counts = [UInt32](repeating: 1, count: Int(next))
        tableOffset = header.refcountTableOffset
        tableClusters = UInt64(header.refcountTableClusters)
        let bytes = try file.bytes(at: tableOffset, count: Int(tableClusters * geometry.clusterSize))
        table = stride(from: 0, to: bytes.count, by: 8).map { bytes.bigEndian($0) ?? 0 }

        // Counter blocks need clusters themselves, and those need counters.
        let perBlock = UInt64(1) << UInt64(geometry.refcountBlockBits)
        let most = next + mostClusters
        let blocks = (most + most / perBlock * 2).dividedUp(by: perBlock) + 2
        guard blocks > UInt64(table.count) else { return }
        let clusters = (blocks * 8).dividedUp(by: geometry.clusterSize)
        guard clusters * geometry.clusterSize <= Qcow2Geometry.largestRefcountTable else {
            throw UrsaError(
                .unsupported, "\(file.name) would need counters for more clusters than qcow2 can count",
                remedy: "use larger clusters")
        }
        for cluster in 0..<tableClusters { counts[Int(tableOffset / geometry.clusterSize + cluster)] = 0 }
        tableOffset = try clusterRun(clusters) * geometry.clusterSize
        tableClusters = clusters
        table += [UInt64](repeating: 0, count: Int(clusters * geometry.clusterSize / 8) - table.count)
    }

    /// Takes whole clusters, one behind the other; returns the offset of the first.
    mutating func clusters(_ count: UInt64) throws(UrsaError) -> UInt64 {
        let first = try clusterRun(count)
        try writeFinalCounts()
        return first * geometry.clusterSize
    }

    /// Takes room for one compressed cluster of `length` bytes, beside others where they fit; returns its offset.
    mutating func bytes(_ length: UInt64) throws(UrsaError) -> UInt64 {
        let size = geometry.clusterSize
        if let offset = shared {
            let cluster = offset / size
            let room = roundUp(offset, to: size) - offset
            let isFull = UInt64(counts[Int(cluster - base)]) >= geometry.largestRefcount
            if !isFull, room >= length || cluster + 1 == next {
                if room < length { _ = try clusterRun((length - room).dividedUp(by: size)) }
                counts[Int(cluster - base)] += 1
                return try place(offset, length)
            }
        }
        let offset = try clusterRun(length.dividedUp(by: size)) * size
        return try place(offset, length)
    }

    private mutating func place(_ offset: UInt64, _ length: UInt64) throws(UrsaError) -> UInt64 {
        let end = offset + length
        shared = end % geometry.clusterSize == 0 ? nil : end
        try writeFinalCounts()
        return offset
    }

    private mutating func clusterRun(_ count: UInt64) throws(UrsaError) -> UInt64 {
        let first = next
        guard first + count <= Qcow2Entry.offsetLimit >> UInt64(geometry.clusterBits) else {
            throw UrsaError(.io, "\(file.name) would grow past what qcow2 can address")
        }
        next += count
        let missing = Int(next - base) - counts.count
        if missing > 0 { counts += [UInt32](repeating: 0, count: missing) }
        for cluster in first..<next { counts[Int(cluster - base)] = 1 }
        return first
    }

    /// Writes the blocks of counters that nothing will change any more.
    private mutating func writeFinalCounts() throws(UrsaError) {
        let perBlock = UInt64(1) << UInt64(geometry.refcountBlockBits)
        while next >= base + perBlock { try writeBlock() }
        if let offset = shared, offset / geometry.clusterSize < base { shared = nil }
    }

    private mutating func writeBlock() throws(UrsaError) {
        let perBlock = 1 << geometry.refcountBlockBits
        let index = Int(base >> UInt64(geometry.refcountBlockBits))
        guard index < table.count else { throw UrsaError(.bug, "a table of counters that is too small") }
        if table[index] == 0 { table[index] = try clusterRun(1) * geometry.clusterSize }
        let block = RefcountBits.encode(
            counts.prefix(perBlock), order: geometry.refcountOrder, size: Int(geometry.clusterSize))
        try file.write(block, at: table[index])
        counts.removeFirst(min(perBlock, counts.count))
        base += UInt64(perBlock)
    }

    /// Writes all counters that are left and their table.
    ///
    /// - Returns: where the table is, and its clusters.
    mutating func finish() throws(UrsaError) -> (offset: UInt64, clusters: UInt64) {
        while base < next { try writeBlock() }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(table.count * 8)
        for entry in table { bytes.appendBigEndian(entry) }
        try file.write(bytes, at: tableOffset)
        return (tableOffset, tableClusters)
    }
}

/// Counters of a block as bits: below a byte from the lowest bit up, else big-endian (QEMU, docs/interop/qcow2.txt).
enum RefcountBits {
    /// A block of `size` bytes that begins with these counters.
    static func encode(_ counts: ArraySlice<UInt32>, order: Int, size: Int) -> [UInt8] {
        var block = [UInt8](repeating: 0, count: size)
        for (index, count) in counts.enumerated() {
            switch order {
            case 0, 1, 2:
                let bit = index << order
                block[bit / 8] |= UInt8(truncatingIfNeeded: count) << UInt8(bit % 8)
            case 3: block[index] = UInt8(truncatingIfNeeded: count)
            case 4: block.storeBigEndian(UInt16(truncatingIfNeeded: count), at: index * 2)
            case 5: block.storeBigEndian(count, at: index * 4)
            default: block.storeBigEndian(UInt64(count), at: index * 8)
            }
        }
        return block
    }
}
