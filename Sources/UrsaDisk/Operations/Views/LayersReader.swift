public import UrsaBase

/// The upper images of a chain: what they say together, and nothing where only images below would.
public final class LayersReader: DiskReader {
    private let top: any DiskReader
    private let depth: Int
    /// Bytes of the disk.
    public var size: UInt64 { top.size }
    /// The format that it counts as.
    public var format: DiskFormat { top.format }
    /// What errors call it.
    public var name: String { top.name }
    /// The unit of the upper image.
    public var clusterSize: UInt64? { top.clusterSize }

    /// The first `depth` images of a chain, at least 1.
    public init(_ top: any DiskReader, depth: Int) {
        self.top = top
        self.depth = depth
    }

    /// Reads through the whole chain.
    public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(UrsaError) {
        try top.read(into: buffer, at: offset)
    }

    /// A run that one of the images says something of, or `unallocated`.
    public func extent(at offset: UInt64, limit: UInt64) throws(UrsaError) -> Extent {
        var reader: any DiskReader = top
        var limit = limit
        for level in 1...max(1, depth) {
            let extent = try reader.extent(at: offset, limit: limit)
            guard extent.kind == .unallocated, level < depth, let below = reader.backing else { return extent }
            limit = extent.length
            // An image that is too short ends in zeros, and those count as its own.
            guard offset < below.size else { return Extent(kind: .zero, length: limit) }
            limit = min(limit, below.size - offset)
            reader = below
        }
        return Extent(kind: .unallocated, length: limit)
    }
}
