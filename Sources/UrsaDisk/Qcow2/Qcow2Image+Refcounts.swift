import Synchronization
import UrsaBase

// Refcounts: reading and changing them. All of it from inside the monitor; clusters are counted from the file's start.

extension Qcow2Image {
    /// The refcount block that has the count of `cluster`; 0 when there is none and so all its counts are 0.
    func refcountBlock(_ index: UInt64) throws(UrsaError) -> UInt64 {
        guard index < UInt64(refcounts.table.count) else { return 0 }
        let entry = refcounts.table[Int(index)]
        guard entry & Qcow2Entry.reservedRefcountTable == 0, geometry.inCluster(entry) == 0 else {
            throw damaged("refcount table entry \(index) is 0x\(String(entry, radix: 16))")
        }
        return entry
    }

    func refcountIndex(_ cluster: UInt64) -> (block: UInt64, at: Int) {
        (
            cluster >> UInt64(geometry.refcountBlockBits),
            Int(cluster & ((1 << UInt64(geometry.refcountBlockBits)) - 1))
        )
    }

    /// A slice of a refcount block, and the first count in it.
    private func slice(
        _ block: UInt64, _ index: Int, writing: Bool
    ) throws(UrsaError) -> (base: UnsafeMutableRawPointer, index: Int) {
        let byte = (index << geometry.refcountOrder) >> 3
        let start = byte & ~(geometry.sliceSize - 1)
        let first = (start << 3) >> geometry.refcountOrder
        while true {
            if let base = try refcountCache.slice(block + UInt64(start), writing: writing) {
                return (base, index - first)
            }
            // Raised counts may always go to the file; lowered ones wait in `freed` until they may.
            try refcountCache.writeDirty()
            needsBarrier.store(true, ordering: .releasing)
        }
    }

    /// Counts of one slice.
    var refcountsPerSlice: Int { (geometry.sliceSize << 3) >> geometry.refcountOrder }

    @inline(__always)
    func loadCount(_ base: UnsafeMutableRawPointer, _ index: Int) -> UInt64 {
        switch geometry.refcountOrder {
        case 3: return UInt64(base.bigEndian(index, as: UInt8.self))
        case 4: return UInt64(base.bigEndian(index * 2, as: UInt16.self))
        case 5: return UInt64(base.bigEndian(index * 4, as: UInt32.self))
        case 6: return base.bigEndian(index * 8, as: UInt64.self)
        default:
            let bit = index << geometry.refcountOrder
            let byte = base.bigEndian(bit >> 3, as: UInt8.self)
            return UInt64(byte >> UInt8(bit & 7)) & geometry.largestRefcount
        }
    }

    @inline(__always)
    func storeCount(_ base: UnsafeMutableRawPointer, _ index: Int, _ value: UInt64) {
        switch geometry.refcountOrder {
        case 3: base.storeBigEndian(UInt8(truncatingIfNeeded: value), index)
        case 4: base.storeBigEndian(UInt16(truncatingIfNeeded: value), index * 2)
        case 5: base.storeBigEndian(UInt32(truncatingIfNeeded: value), index * 4)
        case 6: base.storeBigEndian(value, index * 8)
        default:
            let bit = index << geometry.refcountOrder
            let shift = UInt8(bit & 7)
            let mask = UInt8(truncatingIfNeeded: geometry.largestRefcount) << shift
            let byte = base.bigEndian(bit >> 3, as: UInt8.self)
            base.storeBigEndian(byte & ~mask | UInt8(truncatingIfNeeded: value) << shift & mask, bit >> 3)
        }
    }

    /// How many users a cluster has.
    func refcount(_ cluster: UInt64) throws(UrsaError) -> UInt64 {
        let (index, at) = refcountIndex(cluster)
        let block = try refcountBlock(index)
        guard block != 0 else { return 0 }
        let found = try slice(block, at, writing: false)
        return loadCount(found.base, found.index)
    }

    /// The slice with the count of a cluster whose block exists, to look at many of them.
    func countSlice(_ cluster: UInt64) throws(UrsaError) -> (base: UnsafeMutableRawPointer, index: Int) {
        let (index, at) = refcountIndex(cluster)
        return try slice(try refcountBlock(index), at, writing: false)
    }

    /// Changes the counts of a run of clusters by +1 or -1. The blocks must exist for those that are raised.
    func changeRefcounts(_ run: Range<UInt64>, raise: Bool) throws(UrsaError) {
        var cluster = run.lowerBound
        while cluster < run.upperBound {
            let (index, at) = refcountIndex(cluster)
            let block = try writableBlock(index)
            guard block != 0 else { throw damaged("cluster \(cluster) is in use but not counted") }
            let found = try slice(block, at, writing: true)
            let count = min(run.upperBound - cluster, UInt64(refcountsPerSlice - found.index))
            for number in 0..<Int(count) {
                let value = loadCount(found.base, found.index + number)
                if raise {
                    guard value < geometry.largestRefcount else {
                        throw UrsaError(
                            .io,
                            "cluster \(cluster + UInt64(number)) of \(name) is used \(value) times, the most that "
                                + "refcounts of \(geometry.refcountBits) bits can count",
                            remedy: "convert the image to one with refcount_bits=64")
                    }
                    storeCount(found.base, found.index + number, value + 1)
                } else {
                    guard value > 0 else {
                        throw damaged("cluster \(cluster + UInt64(number)) is given back but was counted as free")
                    }
                    storeCount(found.base, found.index + number, value - 1)
                    if value == 1 { allocator.noteFree(cluster + UInt64(number)) }
                }
            }
            cluster += count
        }
    }

    /// Sets the count of a cluster whose block exists.
    func setRefcount(_ cluster: UInt64, _ value: UInt64) throws(UrsaError) {
        let (index, at) = refcountIndex(cluster)
        let block = try writableBlock(index)
        guard block != 0 else { throw damaged("cluster \(cluster) is in use but not counted") }
        let found = try slice(block, at, writing: true)
        storeCount(found.base, found.index, value)
        if value == 0 { allocator.noteFree(cluster) }
    }

    /// The block at `index` of the table, in a place where it may be changed: during a transaction in a new one.
    func writableBlock(_ index: UInt64) throws(UrsaError) -> UInt64 {
        let block = try refcountBlock(index)
        guard block != 0, let shadowed = refcounts.shadowed, !shadowed.contains(Int(index)) else { return block }
        return try shadow(Int(index), block)
    }

    // ---- finding free clusters --------------------------------------------------------------------------------------

    /// The first cluster from `start` on that nobody uses. Past the table all are free.
    func firstFree(from start: UInt64) throws(UrsaError) -> UInt64 {
        var cluster = start
        while true {
            let (index, at) = refcountIndex(cluster)
            let block = try refcountBlock(index)
            guard block != 0 else { return cluster }
            let found = try slice(block, at, writing: false)
            for number in found.index..<refcountsPerSlice where loadCount(found.base, number) == 0 {
                return cluster + UInt64(number - found.index)
            }
            cluster += UInt64(refcountsPerSlice - found.index)
        }
    }

    /// How many clusters from `start` on are free, `limit` at most.
    func freeRun(from start: UInt64, limit: UInt64) throws(UrsaError) -> UInt64 {
        var cluster = start
        let end = start + limit
        while cluster < end {
            let (index, at) = refcountIndex(cluster)
            let block = try refcountBlock(index)
            guard block != 0 else {
                cluster = min(end, (index + 1) << UInt64(geometry.refcountBlockBits))
                continue
            }
            let found = try slice(block, at, writing: false)
            for number in found.index..<refcountsPerSlice {
                if loadCount(found.base, number) != 0 || cluster == end { return cluster - start }
                cluster += 1
            }
        }
        return limit
    }

    // ---- taking clusters --------------------------------------------------------------------------------------------

    /// Takes up to `wanted` clusters in a row, at least one. Their counts are one now.
    func allocate(upTo wanted: UInt64) throws(UrsaError) -> Range<UInt64> {
        while true {
            let first = try firstFree(from: allocator.cursor)
            let (index, at) = refcountIndex(first)
            if try refcountBlock(index) == 0 {
                try addBlock(index, at: first)
                continue
            }
            let most = min(wanted, (1 << UInt64(geometry.refcountBlockBits)) - UInt64(at))
            let run = first..<(first + (try freeRun(from: first, limit: most)))
            // In a transaction the block's own new place may be taken out of the run.
            if try refcountBlock(index) != writableBlock(index) { continue }
            try claim(run)
            return run
        }
    }

    /// Takes exactly `count` clusters in a row.
    func allocateContiguous(_ count: UInt64) throws(UrsaError) -> Range<UInt64> {
        var start = allocator.cursor
        while true {
            let first = try firstFree(from: start)
            let length = try freeRun(from: first, limit: count)
            guard length == count else {
                start = first + length
                continue
            }
            let run = first..<(first + count)
            var isComplete = true
            for index in refcountIndex(first).block...refcountIndex(run.upperBound - 1).block {
                let block = try refcountBlock(index)
                if block == 0 {
                    try addBlock(index, at: max(first, index << UInt64(geometry.refcountBlockBits)))
                    isComplete = false
                } else if try writableBlock(index) != block {
                    isComplete = false
                }
            }
            guard isComplete else { continue }
            try claim(run)
            return run
        }
    }

    private func claim(_ run: Range<UInt64>) throws(UrsaError) {
        guard run.upperBound <= Qcow2Entry.offsetLimit >> UInt64(geometry.clusterBits) else {
            throw UrsaError(.io, "\(name) can't grow past the 64 PiB that its tables can point at")
        }
        try checkNotTable(run)
        try changeRefcounts(run, raise: true)
        if allocator.cursor >= run.lowerBound { allocator.cursor = run.upperBound }
    }

    /// Refcounts that lie must not make us write over what the image itself needs.
    private func checkNotTable(_ run: Range<UInt64>) throws(UrsaError) {
        func overlaps(_ offset: UInt64, _ bytes: UInt64) -> Bool {
            bytes > 0 && offset >> UInt64(geometry.clusterBits) < run.upperBound
                && geometry.clusters(for: offset &+ bytes) > run.lowerBound
        }
        if run.lowerBound == 0 || overlaps(header.l1Offset, UInt64(header.l1Size) * 8)
            || overlaps(header.refcountTableOffset, UInt64(header.refcountTableClusters) * geometry.clusterSize)
            || (header.snapshotCount > 0 && overlaps(header.snapshotsOffset, 1))
        {
            throw damaged("its refcounts call the clusters of its own tables free")
        }
    }

    /// What was taken and not used after all: nothing on the disk points at it.
    func giveBackUnused(_ run: Range<UInt64>) throws(UrsaError) {
        try changeRefcounts(run, raise: false)
    }

    /// Whether a cluster past all that was ever written reads as zeros, asked before it is used.
    func takeClean(_ run: Range<UInt64>) -> Bool {
        let start = run.lowerBound << UInt64(geometry.clusterBits)
        let isClean = start >= max(allocator.cleanFrom, file.size) && !file.isBlockDevice
        allocator.cleanFrom = max(allocator.cleanFrom, run.upperBound << UInt64(geometry.clusterBits))
        return isClean
    }

    /// Makes freshly taken clusters of the table file read as zeros.
    func zeroTaken(_ run: Range<UInt64>) throws(UrsaError) {
        let isClean = takeClean(run)
        let start = run.lowerBound << UInt64(geometry.clusterBits)
        let count = UInt64(run.count) << UInt64(geometry.clusterBits)
        needsBarrier.store(true, ordering: .releasing)
        if isClean {
            try file.write([0], at: start + count - 1)
        } else {
            try file.writeZeroes(at: start, count: count, unmap: false)
        }
    }

    // ---- blocks and the table ---------------------------------------------------------------------------------------

    /// Makes the refcount block at `index`, in the free cluster `cluster`, whose count it has itself.
    func makeBlock(at cluster: UInt64) throws(UrsaError) { try addBlock(refcountIndex(cluster).block, at: cluster) }

    private func addBlock(_ index: UInt64, at cluster: UInt64) throws(UrsaError) {
        if index >= UInt64(refcounts.table.count) { try growTable(for: index) }
        // Making room for the table may have made this very block.
        guard try refcountBlock(index) == 0 else { return }
        try checkNotTable(cluster..<(cluster + 1))
        guard cluster < Qcow2Entry.offsetLimit >> UInt64(geometry.clusterBits) else {
            throw UrsaError(.io, "\(name) can't grow past the 64 PiB that its tables can point at")
        }
        let offset = cluster << UInt64(geometry.clusterBits)
        refcountCache.forget(offset, count: geometry.clusterSize)
        try zeroTaken(cluster..<(cluster + 1))
        refcounts.set(Int(index), offset)
        refcounts.shadowed?.insert(Int(index))
        try changeRefcounts(cluster..<(cluster + 1), raise: true)
    }

    /// Makes the table longer, so that it has an entry `index`. Its new place is written with the next write-back.
    private func growTable(for index: UInt64) throws(UrsaError) {
        let perCluster = geometry.clusterSize / 8
        let old = UInt64(refcounts.table.count)
        let wanted = max(index + 1, old + old / 2)
        let clusters = min(wanted.dividedUp(by: perCluster), Qcow2Geometry.largestRefcountTable / geometry.clusterSize)
        guard index < clusters * perCluster else {
            throw UrsaError(
                .io, "\(name) can't grow further: its refcount table would be larger than 8 MiB",
                remedy: "convert it to an image with larger clusters")
        }
        refcounts.table += [UInt64](repeating: 0, count: Int(clusters * perCluster - old))
        try placeTable()
    }

    /// Finds a new place for the table as long as it is now.
    func placeTable() throws(UrsaError) {
        let clusters = UInt64(refcounts.table.count) * 8 / geometry.clusterSize
        let abandoned = refcounts.newPlace
        refcounts.newPlace = nil
        let run = try allocateContiguous(clusters)
        _ = takeClean(run)
        if refcounts.newPlace == nil {
            refcounts.newPlace = (run.lowerBound << UInt64(geometry.clusterBits), run.count)
        } else {
            // Finding the place made the table grow, and so find another one.
            try giveBackUnused(run)
        }
        if let abandoned {
            let first = abandoned.offset >> UInt64(geometry.clusterBits)
            try giveBackUnused(first..<(first + UInt64(abandoned.clusters)))
        }
    }
}
