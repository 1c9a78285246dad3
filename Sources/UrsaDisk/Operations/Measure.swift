public import UrsaBase

/// How large the file of a new image will be, as `measure` tells it.
public struct Measurement: Sendable, Equatable {
    /// Bytes for what is there now.
    public var required: UInt64
    /// Bytes when every sector has been written.
    public var fullyAllocated: UInt64

    /// A raw image has its size and nothing else.
    public static func raw(size: UInt64) -> Measurement { Measurement(required: size, fullyAllocated: size) }

    /// A qcow2 image of a size, or of what a disk holds.
    ///
    /// - Parameters:
    ///   - size: of the disk in bytes.
    ///   - source: what will be converted; nil: nothing will be in it.
    ///   - clusterSize: of the new image, a power of two.
    ///   - hasBacking: whether it will have a backing image: then nobody knows what will be in it.
    ///   - isPreallocated: whether all data clusters will be allocated from the start.
    public static func qcow2(
        size: UInt64, source: (any DiskReader)?, clusterSize: UInt64, refcountBits: Int, extendedL2: Bool,
        hasBacking: Bool, isPreallocated: Bool
    ) throws(UrsaError) -> Measurement {
        guard size <= UInt64(Int64.max) - clusterSize else { throw UrsaError(.usage, "a disk can't be that large") }
        let virtual = roundUp(size, to: clusterSize)
        let entrySize: UInt64 = extendedL2 ? 16 : 8
        let l1 = (virtual / clusterSize).dividedUp(by: clusterSize / entrySize) * 8
        guard l1 <= Qcow2Geometry.largestL1 else {
            throw UrsaError(
                .usage, "a disk of \(size) bytes is too large for clusters of \(clusterSize) bytes",
                remedy: "use larger clusters (-o cluster_size=)")
        }
        var data: UInt64 = 0
        if isPreallocated || (source != nil && hasBacking) {
            data = virtual
        } else if let source {
            data = try dataBytes(source, clusterSize)
        }
        let metadata = metadataSize(virtual, clusterSize, entrySize, refcountBits)
        return Measurement(required: metadata + data, fullyAllocated: metadata + virtual)
    }

    /// Bytes of the clusters that hold data.
    private static func dataBytes(_ source: any DiskReader, _ clusterSize: UInt64) throws(UrsaError) -> UInt64 {
        let layers = DiskLayers(source)
        var data: UInt64 = 0
        var offset: UInt64 = 0
        while offset < source.size {
            let entry = try layers.entry(at: offset, limit: source.size - offset)
            var length = entry.length
            if entry.isData, !entry.isZero {
                length = roundUp(offset + length, to: clusterSize) - offset
                data += offset % clusterSize + length
            }
            offset += length
        }
        return data
    }

    /// Bytes of all tables of an image in which everything is allocated.
    private static func metadataSize(
        _ virtual: UInt64, _ clusterSize: UInt64, _ entrySize: UInt64, _ refcountBits: Int
    ) -> UInt64 {
        let l2 = roundUp(virtual / clusterSize, to: clusterSize / entrySize) * entrySize
        let l1 = roundUp(l2 / clusterSize, to: clusterSize / 8) * 8
        let tables = clusterSize + l2 + l1
        // The counters count themselves, so this is repeated until it no longer grows.
        let clusters = (tables + virtual) / clusterSize
        let perBlock = clusterSize * 8 / UInt64(refcountBits)
        var (blocks, table, before): (UInt64, UInt64, UInt64) = (0, 0, 0)
        repeat {
            before = blocks + table
            blocks = (clusters + table + blocks).dividedUp(by: perBlock)
            table = blocks.dividedUp(by: clusterSize / 8)
        } while blocks + table != before
        return tables + (blocks + table) * clusterSize
    }
}
