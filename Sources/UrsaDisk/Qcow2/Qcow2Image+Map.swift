public import UrsaBase

/// Where a run of guest bytes lies.
struct Qcow2Mapping {
    enum Kind {
        /// No entry: the backing image, or zeros.
        case unallocated
        /// Zeros without a host cluster.
        case zero
        /// Zeros, with a host cluster reserved.
        case zeroAllocated
        /// Subclusters without data in a host cluster that others have data in.
        case unallocatedInCluster
        case data
        case compressed
    }
    var kind: Kind
    /// Guest bytes of the run, all of one kind and, with host clusters, one behind the other in the file.
    var length: UInt64
    /// File offset of the first byte, for kinds that have a host cluster.
    var host: UInt64 = 0
    /// Whether the host clusters may be written in place.
    var isOwned = false
    /// The whole entry, for compressed clusters.
    var entry: UInt64 = 0
}

extension Qcow2Image {
    /// From inside the monitor: the L2 table for a guest offset, and whether nobody else uses it; nil where there is none.
    func l2Table(for offset: UInt64) throws(UrsaError) -> (offset: UInt64, isOwned: Bool)? {
        let index = geometry.l1Index(offset)
        guard index < UInt64(l1.count) else { return nil }
        let entry = l1[Int(index)]
        let table = entry & Qcow2Entry.offsetMask
        guard table != 0 else { return nil }
        guard entry & Qcow2Entry.reservedL1 == 0, geometry.inCluster(table) == 0 else {
            throw damaged("L1 entry \(index) is 0x\(String(entry, radix: 16))")
        }
        return (table, entry & Qcow2Entry.copied != 0)
    }

    /// From inside: the slice of an L2 table that has the entry at `index`, and where in it.
    func l2Slice(
        _ table: UInt64, index: Int, writing: Bool
    ) throws(UrsaError) -> (base: UnsafeMutableRawPointer, at: Int) {
        let byte = index << geometry.l2EntryBits
        let start = byte & ~(geometry.sliceSize - 1)
        while true {
            if let base = try l2Cache.slice(table + UInt64(start), writing: writing) { return (base, byte - start) }
            try writeBack()
        }
    }

    /// From inside: how the bytes at `offset` are stored, for at most `limit` bytes, ending with the slice at the latest.
    func mapping(at offset: UInt64, limit: UInt64) throws(UrsaError) -> Qcow2Mapping {
        guard let table = try l2Table(for: offset) else {
            let left = geometry.l2Coverage - (offset & (geometry.l2Coverage - 1))
            return Qcow2Mapping(kind: .unallocated, length: min(left, limit))
        }
        let index = geometry.l2Index(offset)
        let (base, start) = try l2Slice(table.offset, index: index, writing: false)
        var position = start
        var first = try subcluster(base, position, offset, isTableOwned: table.isOwned)
        if first.kind == .compressed {
            first.length = min(limit, geometry.clusterSize - geometry.inCluster(offset))
            return first
        }
        // Joins what follows, as long as it is the same and continues in the file.
        var next = offset
        var length = geometry.subclusterSize - (offset & (geometry.subclusterSize - 1))
        while length < limit {
            next = offset + length
            if geometry.inCluster(next) == 0 {
                position += geometry.l2EntrySize
                if position >= geometry.sliceSize { break }
            }
            let following = try subcluster(base, position, next, isTableOwned: table.isOwned)
            guard following.kind == first.kind, following.isOwned == first.isOwned else { break }
            let hasHost = first.kind == .data || first.kind == .zeroAllocated || first.kind == .unallocatedInCluster
            if hasHost, following.host != first.host + length { break }
            length += geometry.subclusterSize
        }
        first.length = min(length, limit)
        return first
    }

    /// The entry at `position` of a slice, for the subcluster (or cluster) that `offset` lies in.
    @inline(__always)
    func subcluster(
        _ base: UnsafeMutableRawPointer, _ position: Int, _ offset: UInt64, isTableOwned: Bool
    ) throws(UrsaError) -> Qcow2Mapping {
        let entry: UInt64 = base.bigEndian(position)
        if entry & Qcow2Entry.compressed != 0 {
            guard !hasDataFile, entry & Qcow2Entry.copied == 0 else { throw wrongEntry(entry, offset) }
            return Qcow2Mapping(kind: .compressed, length: 0, entry: entry)
        }
        let cluster = entry & Qcow2Entry.offsetMask
        let hasHost = cluster != 0 || (hasDataFile && entry & Qcow2Entry.copied != 0)
        guard entry & Qcow2Entry.reservedL2 == 0, geometry.inCluster(cluster) == 0 else {
            throw wrongEntry(entry, offset)
        }
        if hasHost, hasDataFile, cluster != geometry.clusterStart(offset) { throw wrongEntry(entry, offset) }
        let isZero: Bool
        let isAllocated: Bool
        if geometry.hasSubclusters {
            let bitmap: UInt64 = base.bigEndian(position + 8)
            let bit = (geometry.inCluster(offset) >> UInt64(geometry.subclusterBits))
            isZero = bitmap >> (32 + bit) & 1 != 0
            isAllocated = bitmap >> bit & 1 != 0
            guard entry & Qcow2Entry.zero == 0, !(isZero && isAllocated), hasHost || !isAllocated else {
                throw wrongEntry(entry, offset)
            }
        } else {
            isZero = entry & Qcow2Entry.zero != 0
            isAllocated = hasHost && !isZero
            guard !isZero || header.version >= 3 else { throw wrongEntry(entry, offset) }
        }
        let kind: Qcow2Mapping.Kind =
            isZero
            ? (hasHost ? .zeroAllocated : .zero)
            : isAllocated ? .data : hasHost ? .unallocatedInCluster : .unallocated
        return Qcow2Mapping(
            kind: kind, length: 0, host: cluster + geometry.inCluster(offset),
            isOwned: hasHost && entry & Qcow2Entry.copied != 0 && isTableOwned, entry: entry)
    }

    func wrongEntry(_ entry: UInt64, _ offset: UInt64) -> UrsaError {
        damaged("the L2 entry for guest offset \(geometry.clusterStart(offset)) is 0x\(String(entry, radix: 16))")
    }

    // ---- what others ask --------------------------------------------------------------------------------------------

    /// The run at an offset, as this image alone says it.
    public func extent(at offset: UInt64, limit: UInt64) throws(UrsaError) -> Extent {
        try checkRange(offset, 1)
        let limit = max(1, min(limit, size - offset))
        var result = try extentOfSlice(at: offset, limit: limit)
        // Slices are short where clusters are: join what continues.
        while result.length < limit {
            let next = try extentOfSlice(at: offset + result.length, limit: limit - result.length)
            guard next.kind == result.kind, next.isCompressed == result.isCompressed,
                next.fileOffset == result.fileOffset.map({ $0 + result.length })
            else { break }
            result.length += next.length
        }
        return result
    }

    private func extentOfSlice(at offset: UInt64, limit: UInt64) throws(UrsaError) -> Extent {
        let found = try monitor.inside { () throws(UrsaError) in try mapping(at: offset, limit: limit) }
        switch found.kind {
        case .data: return Extent(kind: .data, length: found.length, fileOffset: found.host)
        case .compressed: return Extent(kind: .data, length: found.length, isCompressed: true)
        case .zero: return Extent(kind: .zero, length: found.length)
        case .zeroAllocated: return Extent(kind: .zero, length: found.length, fileOffset: found.host)
        case .unallocated: return Extent(kind: .unallocated, length: found.length)
        case .unallocatedInCluster: return Extent(kind: .unallocated, length: found.length, fileOffset: found.host)
        }
    }
}
