import Glibc
import Synchronization
import UrsaBase

// Changes that touch many tables and must happen at once: snapshots, emptying, shrinking, repair.
//
// All that changes is written to new places: L1 and L2 tables by whoever makes the change, refcount blocks by
// `writableBlock`, and the refcount table. What lies in the old places stays as it is, and none of it is handed out. One
// write of the header's first sector then makes the new tables count; before it the image is the old one, after it the
// new one, whatever else the power did. Memory stays bounded: new blocks go through the caches as old ones do.

extension Qcow2Image {
    /// Makes a change that counts as a whole or not at all. From inside the monitor.
    ///
    /// - Parameters:
    ///   - build: writes new tables, raises counts, and changes the header's fields.
    ///   - lower: lowers the counts of what the new header does not need any more. What is allocated then, such as new
    ///     places for refcount blocks, lies behind the end of the file.
    func transaction(
        _ build: (inout Qcow2Header) throws(UrsaError) -> Void,
        lower: (inout Qcow2Header) throws(UrsaError) -> Void
    ) throws(UrsaError) {
        try prepare()
        drain()
        try writeBack()
        try barrier()
        try applyFrees()
        try writeRefcounts()
        let before = (refcounts, header, l1, allocator)
        do throws(UrsaError) {
            refcounts.shadowed = []
            refcounts.replaced = []
            var new = header
            try build(&new)
            try placeTable()
            let old = refcounts.offset >> UInt64(geometry.clusterBits)
            refcounts.replaced.append(old..<(old + UInt64(refcounts.clusters)))
            // From here on what becomes free is still the old image's.
            let end = max(allocator.cleanFrom, file.size)
            allocator.freedInTransaction = (lowest: .max, runs: [])
            allocator.cursor = geometry.clusters(for: end)
            try lower(&new)
            while let run = refcounts.replaced.popLast() { try changeRefcounts(run, raise: false) }
            guard let place = refcounts.newPlace else { throw UrsaError(.bug, "a transaction without a table") }
            try refcountCache.writeDirty()
            try l2Cache.writeDirty()
            try writeTable(refcounts.table, at: place.offset)
            noteWritten()
            try barrier()
            new.refcountTableOffset = place.offset
            new.refcountTableClusters = UInt32(place.clusters)
            header = new
        } catch {
            (refcounts, header, l1, allocator) = before
            refcounts.shadowed = nil
            refcounts.replaced = []
            refcountCache.forgetAll()
            l2Cache.forgetAll()
            changedL1 = nil
            throw error
        }
        do throws(UrsaError) {
            try writeHeaderFields()
            noteWritten()
            try barrier()
        } catch {
            // Nobody knows now which tables count.
            broken = error
            throw error
        }
        knownSize.store(header.size, ordering: .releasing)
        let freed = allocator.freedInTransaction
        refcounts.offset = header.refcountTableOffset
        refcounts.clusters = Int(header.refcountTableClusters)
        refcounts.newPlace = nil
        refcounts.changed = nil
        refcounts.shadowed = nil
        refcounts.replaced = []
        changedL1 = nil
        allocator.freedInTransaction = nil
        allocator.compressedByte = 0
        allocator.cursor = min(before.3.cursor, freed?.lowest ?? .max)
        inflated.forgetAll()
        l2Cache.forgetAll()
        guard options.unmapsFreed else { return }
        for run in freed?.runs ?? [] { try unmapFree(run) }
    }

    /// Gives a refcount block a new place, with the same content.
    func shadow(_ index: Int, _ block: UInt64) throws(UrsaError) -> UInt64 {
        while true {
            let cluster = try firstFree(from: allocator.cursor)
            if try refcountBlock(refcountIndex(cluster).block) == 0 {
                try makeBlock(at: cluster)
                continue
            }
            // Making room elsewhere may have moved this block already.
            if refcounts.shadowed?.contains(index) ?? true { return try refcountBlock(UInt64(index)) }
            allocator.cursor = max(allocator.cursor, cluster + 1)
            let run = cluster..<(cluster + 1)
            _ = takeClean(run)
            let place = cluster << UInt64(geometry.clusterBits)
            try copyBlock(from: block, to: place)
            refcounts.set(index, place)
            refcounts.shadowed?.insert(index)
            let old = block >> UInt64(geometry.clusterBits)
            refcounts.replaced.append(old..<(old + 1))
            try changeRefcounts(run, raise: true)
            return place
        }
    }

    private func copyBlock(from old: UInt64, to new: UInt64) throws(UrsaError) {
        let scratch = AlignedBuffer(count: geometry.sliceSize)
        for start in stride(from: 0, to: geometry.clusterSize, by: geometry.sliceSize) {
            while true {
                guard let source = try refcountCache.slice(old + start, writing: false) else {
                    try refcountCache.writeDirty()
                    continue
                }
                memcpy(scratch.base, source, geometry.sliceSize)
                break
            }
            while true {
                guard let target = refcountCache.fresh(new + start) else {
                    try refcountCache.writeDirty()
                    continue
                }
                memcpy(target, scratch.base, geometry.sliceSize)
                break
            }
        }
    }
}
