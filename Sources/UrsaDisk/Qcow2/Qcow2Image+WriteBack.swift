import Glibc
import Synchronization
public import UrsaBase

// How tables reach the file: the order that `Qcow2Image` describes.

extension Qcow2Image {
    /// Everything written so far, of data and tables, is on stable storage when this has returned.
    /// Who finds that there is nothing to wait for must not return before somebody else's wait for it has ended.
    func barrier() throws(UrsaError) {
        syncing.enter()
        defer { syncing.leave() }
        guard needsBarrier.exchange(false, ordering: .acquiringAndReleasing) else { return }
        do throws(UrsaError) {
            if hasDataFile { try dataFile.sync() }
            try file.sync()
        } catch {
            needsBarrier.store(true, ordering: .releasing)
            throw error
        }
    }

    func noteWritten() { needsBarrier.store(true, ordering: .releasing) }

    /// From inside the monitor: writes all changed tables, in their order.
    func writeBack() throws(UrsaError) {
        if let broken { throw broken }
        try writeRefcounts()
        guard l2Cache.hasDirty || changedL1 != nil else { return }
        try barrier()
        if l2Cache.hasDirty {
            try l2Cache.writeDirty()
            noteWritten()
        }
        if let range = changedL1 {
            try barrier()
            try writeL1(range)
            changedL1 = nil
            noteWritten()
        }
    }

    /// Refcount blocks, then the table that points at new ones, then the header where the table moved.
    func writeRefcounts() throws(UrsaError) {
        if refcountCache.hasDirty {
            try refcountCache.writeDirty()
            noteWritten()
        }
        if let place = refcounts.newPlace {
            try writeTable(refcounts.table, at: place.offset)
            noteWritten()
            try barrier()
            let old = (refcounts.offset, refcounts.clusters)
            header.refcountTableOffset = place.offset
            header.refcountTableClusters = UInt32(place.clusters)
            try writeHeaderFields()
            noteWritten()
            try barrier()
            refcounts.offset = place.offset
            refcounts.clusters = place.clusters
            refcounts.newPlace = nil
            refcounts.changed = nil
            let first = old.0 >> UInt64(geometry.clusterBits)
            release(first..<(first + UInt64(old.1)))
        } else if let range = refcounts.changed {
            try barrier()
            try writeTable(Array(refcounts.table[range]), at: refcounts.offset + UInt64(range.lowerBound) * 8)
            refcounts.changed = nil
            noteWritten()
        }
    }

    /// Writes entries of the L1 table, as whole sectors so far as there are any.
    private func writeL1(_ range: Range<Int>) throws(UrsaError) {
        let start = range.lowerBound & ~63
        let end = min(l1.count, (range.upperBound + 63) & ~63)
        try writeTable(Array(l1[start..<end]), at: header.l1Offset + UInt64(start) * 8)
    }

    func writeTable(_ entries: [UInt64], at offset: UInt64) throws(UrsaError) {
        var bigEndian = entries
        for index in bigEndian.indices { bigEndian[index] = bigEndian[index].bigEndian }
        let failure: UrsaError? = bigEndian.withUnsafeBytes { bytes in
            do throws(UrsaError) { try file.write(bytes, at: offset) } catch { return error }
            return nil
        }
        if let failure { throw failure }
    }

    /// Writes the header's fields: less than a sector, so either the old ones or the new ones are there afterwards.
    func writeHeaderFields() throws(UrsaError) {
        try file.write(header.encodedFields(), at: 0)
    }

    func noteL1(_ index: Int) {
        changedL1 = changedL1.map { min($0.lowerBound, index)..<max($0.upperBound, index + 1) } ?? index..<(index + 1)
    }

    // ---- giving clusters back ---------------------------------------------------------------------------------------

    /// From inside: a cluster lost a user; to be told when the table that says so is on its way.
    func release(_ run: Range<UInt64>) {
        freed.appendRun(run)
        hasFreed.store(true, ordering: .releasing)
    }

    /// From inside, after `writeBack` and a barrier: lowers the counts of what was freed. Waits for everybody who may
    /// still be at work on those clusters.
    func applyFrees() throws(UrsaError) {
        guard !freed.isEmpty else { return }
        drain()
        let runs = freed
        freed.removeAll(keepingCapacity: true)
        hasFreed.store(false, ordering: .releasing)
        inflated.forgetAll()
        allocator.compressedByte = 0
        for run in runs {
            try changeRefcounts(run, raise: false)
            guard options.unmapsFreed else { continue }
            try unmapFree(run)
        }
    }

    /// Gives the space of those clusters of a run back that nobody uses any more.
    func unmapFree(_ run: Range<UInt64>) throws(UrsaError) {
        var cluster = run.lowerBound
        while cluster < run.upperBound {
            let count = try freeRun(from: cluster, limit: run.upperBound - cluster)
            if count > 0 {
                try file.discard(
                    at: cluster << UInt64(geometry.clusterBits), count: count << UInt64(geometry.clusterBits))
            }
            cluster += max(1, count)
        }
    }

    // ---- flush and close --------------------------------------------------------------------------------------------

    /// Returns when everything written before is on stable storage.
    public func flush() throws(UrsaError) {
        guard file.isWritable else { return }
        monitor.enter()
        let isClean =
            !l2Cache.hasDirty && !refcountCache.hasDirty && changedL1 == nil && freed.isEmpty
            && refcounts.changed == nil && refcounts.newPlace == nil && broken == nil
        if isClean {
            monitor.leave()
            return try barrier()
        }
        defer { monitor.leave() }
        try flushInside()
    }

    func flushInside() throws(UrsaError) {
        try writeBack()
        try barrier()
        try applyFrees()
    }

    /// The clusters that wait to be given back, in runs: when there are many, a flush is due.
    var waitingFrees: Int { monitor.inside { freed.count } }

    /// Writes everything out; nothing may be called afterwards.
    public func close() throws(UrsaError) {
        monitor.enter()
        defer { monitor.leave() }
        guard !isClosed else { return }
        isClosed = true
        defer {
            ImageLock.release(file)
            if hasDataFile { ImageLock.release(dataFile) }
        }
        guard file.isWritable, isPrepared, broken == nil else { return }
        try closeBitmaps()
        try flushInside()
        // Lowered counts may be lost without harm: clusters would leak. So there is nothing to wait for here.
        try writeRefcounts()
        if !file.isBlockDevice, file.size % 512 != 0 { try file.resize(to: (file.size + 511) & ~511) }
        try barrier()
    }

    /// Forgets the image without writing anything more, as a crash would.
    func abandon() { monitor.inside { isClosed = true } }

    // ---- the first change -------------------------------------------------------------------------------------------

    /// From inside, before the first change of an opened image: what the format asks of whoever changes it.
    func prepare() throws(UrsaError) {
        if let broken { throw broken }
        guard !isPrepared else { return }
        guard file.isWritable else {
            throw UrsaError(.permission, "\(name) is open for reading only")
        }
        guard !isClosed else { throw UrsaError(.bug, "\(name) is closed already") }
        let unknown = header.autoclear & ~Qcow2Features.knownAutoclear
        if unknown != 0 {
            header.autoclear &= ~unknown
            try writeHeaderFields()
            noteWritten()
            try barrier()
        }
        try prepareBitmaps()
        isPrepared = true
    }
}
