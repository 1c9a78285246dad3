public import UrsaBase

/// A run of bytes of a disk as its whole chain of images gives it.
public struct ChainExtent: Sendable {
    /// What the image at `depth` says of the run; `unallocated` when no image of the chain says anything.
    public var extent: Extent
    /// Which image says it: 0 is the one asked, 1 its backing image. For `unallocated` the last of the chain.
    public var depth: Int
    /// That image.
    public var source: any DiskReader
}

extension DiskReader {
    /// The run at `offset`, at most `limit` bytes, and which image of the chain it comes from. Past the end of a backing
    /// image the run reads as zeros and nobody says it.
    public func chainExtent(at offset: UInt64, limit: UInt64) throws(UrsaError) -> ChainExtent {
        var source: any DiskReader = self
        var depth = 0
        var limit = limit
        while true {
            let extent = try source.extent(at: offset, limit: limit)
            guard extent.kind == .unallocated, let below = source.backing else {
                return ChainExtent(extent: extent, depth: depth, source: source)
            }
            limit = extent.length
            guard offset < below.size else {
                // What a shorter backing image doesn't cover reads as zeros: the image above it stands for that.
                return ChainExtent(extent: Extent(kind: .zero, length: limit), depth: depth, source: source)
            }
            limit = min(limit, below.size - offset)
            source = below
            depth += 1
        }
    }
}
