import Glibc
public import UrsaBase

// Checking: counts how often the tables use each cluster of the file, and compares that with the refcounts.

extension Qcow2Image {
    /// Checks the image's tables against its refcounts, and mends what may be mended. Data is not read. An image that is
    /// marked dirty or corrupt must have been opened with `forRepair`.
    public func check(repair: Qcow2Repair = .nothing) throws(UrsaError) -> Qcow2CheckResult {
        monitor.enter()
        defer { monitor.leave() }
        return try checkInside(repair)
    }

    /// Mends the refcounts of an image that was not closed, as its dirty bit asks.
    func mendDirty() throws(UrsaError) {
        monitor.enter()
        defer { monitor.leave() }
        let found = try checkInside(.all)
        guard found.corruptions <= found.corruptionsFixed, found.failures == 0 else {
            throw damaged(
                "it was not closed, and mending its refcounts failed: \(found.corruptions) things in its tables are wrong, "
                    + "\(found.corruptionsFixed) of them could be mended, \(found.failures) could not be read")
        }
    }

    func checkInside(_ repair: Qcow2Repair) throws(UrsaError) -> Qcow2CheckResult {
        if file.isWritable, isPrepared { try flushInside() }
        if refcounts.table.isEmpty {
            // Opened for reading, without refcounts.
            refcounts.table = try Qcow2Image.readTable(
                file, at: header.refcountTableOffset,
                entries: Int(header.refcountTableClusters) << (geometry.clusterBits - 3), "refcount table", padded: true
            )
        }
        let checking = Qcow2Checking(self)
        try checking.countUses()
        if repair != .nothing { try checking.beginRepair() }
        try checking.compareRefcounts(repair)
        try checking.compareOwners(repair)
        if repair == .all { try checking.finishRepair() }
        if repair != .nothing { try flushInside(); try writeRefcounts(); try barrier() }
        return checking.result
    }
}

/// One check at work. From inside the image's monitor.
final class Qcow2Checking {
    private let image: Qcow2Image
    private let geometry: Qcow2Geometry
    private var uses = Qcow2UseCounts()
    var result = Qcow2CheckResult()
    private var fileClusters: UInt64
    /// L2 tables of one L1 table that were seen, to walk each but once.
    private var seenTables: Set<UInt64> = []
    /// Bytes of L2 tables that may still be walked: snapshots can name the same tables any number of times.
    private var budget: UInt64 = 64 << 30

    init(_ image: Qcow2Image) {
        self.image = image
        geometry = image.geometry
        fileClusters = image.geometry.clusters(for: image.file.size)
        result.totalClusters = image.geometry.clusters(for: image.header.size)
    }

    // ---- counting ---------------------------------------------------------------------------------------------------

    private func use(_ offset: UInt64, _ bytes: UInt64, _ what: @autoclosure () -> String) throws(UrsaError) {
        guard bytes > 0 else { return }
        let (end, overflow) = offset.addingReportingOverflow(bytes - 1)
        // The last cluster of a file need not be whole; anything further is not there.
        guard !overflow, end >> UInt64(geometry.clusterBits) <= fileClusters else {
            result.corruptions += 1
            return result.say("\(what()) at offset \(offset) lies past the end of the file")
        }
        for cluster in (offset >> UInt64(geometry.clusterBits))...(end >> UInt64(geometry.clusterBits)) {
            guard uses.add(cluster) else {
                throw UrsaError(.unsupported, "\(image.name) uses more clusters than can be checked in 1 GiB of memory")
            }
        }
    }

    func countUses() throws(UrsaError) {
        let header = image.header
        try use(0, geometry.clusterSize, "the header")
        try countTables(image.l1, at: header.l1Offset, "the L1 table", isActive: true)
        try countSnapshots()
        try use(
            header.refcountTableOffset, UInt64(header.refcountTableClusters) * geometry.clusterSize,
            "the refcount table")
        for (index, block) in image.refcounts.table.enumerated() where block != 0 {
            guard geometry.inCluster(block) == 0, block & Qcow2Entry.reservedRefcountTable == 0 else {
                result.corruptions += 1
                result.say("refcount block \(index) lies at the odd offset \(block)")
                continue
            }
            try use(block, geometry.clusterSize, "refcount block \(index)")
        }
        try countBitmaps()
        uses.seal()
    }

    private func countSnapshots() throws(UrsaError) {
        let list: [Qcow2Snapshot]
        let size: Int
        do throws(UrsaError) { (list, size) = try Qcow2Snapshot.read(image.file, image.header) } catch {
            result.failures += 1
            return result.say("the snapshot table can't be read: \(error.message)")
        }
        try use(image.header.snapshotsOffset, UInt64(size), "the snapshot table")
        for snapshot in list {
            let table: [UInt64]
            do throws(UrsaError) {
                table = try Qcow2Image.readTable(
                    image.file, at: snapshot.l1Offset, entries: Int(snapshot.l1Size), "L1 table")
            } catch {
                result.failures += 1
                result.say("snapshot \(snapshot.id): \(error.message)")
                continue
            }
            try countTables(table, at: snapshot.l1Offset, "the L1 table of snapshot \(snapshot.id)", isActive: false)
        }
    }

    private func countTables(
        _ l1: [UInt64], at offset: UInt64, _ what: String, isActive: Bool
    ) throws(UrsaError) {
        try use(offset, UInt64(l1.count) * 8, what)
        seenTables.removeAll(keepingCapacity: true)
        for (index, entry) in l1.enumerated() where entry != 0 {
            let table = entry & Qcow2Entry.offsetMask
            guard entry & Qcow2Entry.reservedL1 == 0, geometry.inCluster(table) == 0 else {
                result.corruptions += 1
                result.say("entry \(index) of \(what) is 0x\(String(entry, radix: 16))")
                continue
            }
            guard table != 0 else { continue }
            try use(table, geometry.clusterSize, "an L2 table")
            guard seenTables.insert(table).inserted else {
                result.corruptions += 1
                result.say("\(what) uses the L2 table at offset \(table) more than once")
                continue
            }
            guard table < image.file.size else { continue }
            try countTable(table, isActive: isActive)
        }
    }

    private func countTable(_ table: UInt64, isActive: Bool) throws(UrsaError) {
        guard budget >= geometry.clusterSize else {
            throw UrsaError(.unsupported, "the tables of \(image.name) name each other too often to be checked")
        }
        budget -= geometry.clusterSize
        var expected: UInt64 = 0
        do throws(UrsaError) {
            try image.eachEntry(of: table) { index, entry, bitmap throws(UrsaError) in
                try countEntry(entry, bitmap, index, table, isActive, &expected)
            }
        } catch  where error.code == .io {
            result.failures += 1
            result.say("the L2 table at offset \(table) can't be read: \(error.message)")
        }
    }

    private func countEntry(
        _ entry: UInt64, _ bitmap: UInt64, _ index: Int, _ table: UInt64, _ isActive: Bool, _ expected: inout UInt64
    ) throws(UrsaError) {
        func wrong(_ why: String) -> String { "entry \(index) of the L2 table at offset \(table) \(why)" }
        if entry & Qcow2Entry.compressed != 0 {
            guard entry & Qcow2Entry.copied == 0, !image.hasDataFile else {
                result.corruptions += 1
                return result.say(wrong("is compressed and can't be"))
            }
            let bits = UInt64(geometry.compressedOffsetBits)
            let offset = entry & ((1 << bits) - 1)
            let sectors = (entry & ~Qcow2Entry.compressed) >> bits + 1
            let start = offset & ~511
            try use(start, sectors * 512, "compressed data")
            if isActive {
                result.allocatedClusters += 1
                result.compressedClusters += 1
                result.fragmentedClusters += 1
            }
            return
        }
        let host = entry & Qcow2Entry.offsetMask
        let hasHost = host != 0 || (image.hasDataFile && entry & Qcow2Entry.copied != 0)
        if geometry.hasSubclusters, bitmap & (bitmap >> 32) & 0xffff_ffff != 0 {
            result.corruptions += 1
            result.say(wrong("has subclusters that are data and zeros"))
        }
        if entry & Qcow2Entry.reservedL2 != 0 || geometry.inCluster(host) != 0
            || (entry & Qcow2Entry.zero != 0 && (geometry.hasSubclusters || image.header.version < 3))
        {
            result.corruptions += 1
            result.say(wrong("is 0x\(String(entry, radix: 16))"))
            return
        }
        guard hasHost else { return }
        if isActive {
            result.allocatedClusters += 1
            if expected != 0, host != expected { result.fragmentedClusters += 1 }
            expected = host + geometry.clusterSize
        }
        if !image.hasDataFile { try use(host, geometry.clusterSize, "data") }
    }

    private func countBitmaps() throws(UrsaError) {
        do throws(UrsaError) {
            for range in try image.bitmapRanges() { try use(range.offset, range.count, range.what) }
        } catch  where error.code == .io {
            result.failures += 1
            result.say("the bitmaps can't be read: \(error.message)")
        }
    }

    // ---- comparing with the refcounts -------------------------------------------------------------------------------

    /// Before anything is mended: no cluster that the tables use may be taken for free.
    func beginRepair() throws(UrsaError) {
        try image.prepareForRepair(firstUnused: max(uses.end, fileClusters))
    }

    func compareRefcounts(_ repair: Qcow2Repair) throws(UrsaError) {
        // What is mended may need new blocks, which lie behind everything: that part is looked at first.
        let end = max(fileClusters, uses.end)
        var last = uses.end
        let counted = UInt64(image.refcounts.table.count) << UInt64(geometry.refcountBlockBits)
        try compare(end..<max(end, counted), repair, &last)
        try compare(0..<end, repair, &last)
        result.imageEnd = last << UInt64(geometry.clusterBits)
    }

    private func compare(_ clusters: Range<UInt64>, _ repair: Qcow2Repair, _ last: inout UInt64) throws(UrsaError) {
        var cluster = clusters.lowerBound
        var nextUsed = uses.firstUsed(from: cluster) ?? .max
        while cluster < clusters.upperBound {
            let index = image.refcountIndex(cluster).block
            let left = ((index + 1) << UInt64(geometry.refcountBlockBits)) - cluster
            let count = min(left, clusters.upperBound - cluster)
            let block = index < UInt64(image.refcounts.table.count) ? image.refcounts.table[Int(index)] : 0
            let isReadable =
                block & Qcow2Entry.reservedRefcountTable == 0 && block != 0 && geometry.inCluster(block) == 0
                && block < image.file.size
            if isReadable {
                try compareCounted(cluster..<(cluster + count), repair, &last)
            } else {
                if block != 0, repair == .all { try image.dropBlock(index) }
                while nextUsed < cluster + count {
                    if nextUsed >= cluster { try mend(nextUsed, 0, repair) }
                    nextUsed = uses.firstUsed(from: max(nextUsed &+ 1, cluster)) ?? .max
                }
            }
            cluster += count
        }
    }

    /// Clusters of one refcount block.
    private func compareCounted(_ clusters: Range<UInt64>, _ repair: Qcow2Repair, _ last: inout UInt64)
        throws(UrsaError)
    {
        var cluster = clusters.lowerBound
        while cluster < clusters.upperBound {
            let known = uses.chunk(of: cluster)
            let length = Int(min(clusters.upperBound - cluster, known.left))
            var index = 0
            let found = try image.countSlice(cluster)
            let count = min(length, image.refcountsPerSlice - found.index)
            while index < count {
                let counted = image.loadCount(found.base, found.index + index)
                let used = known.counts.isEmpty ? 0 : UInt64(known.counts[known.first + index])
                index += 1
                if counted != 0 { last = max(last, cluster + UInt64(index)) }
                if counted != used {
                    try mend(cluster + UInt64(index) - 1, counted, repair)
                    break  // the slice may have gone from the cache
                }
            }
            cluster += UInt64(index)
        }
    }

    private func mend(_ cluster: UInt64, _ counted: UInt64, _ repair: Qcow2Repair) throws(UrsaError) {
        let used = uses.count(cluster)
        if counted > used {
            result.leaks += 1
            result.say("cluster \(cluster) leaked: counted \(counted) times, used \(used)")
            guard repair != .nothing else { return }
            try image.mendCount(cluster, from: counted, to: used)
            result.leaksFixed += 1
        } else if counted < used {
            result.corruptions += 1
            result.say("cluster \(cluster) is counted \(counted) times but used \(used)")
            guard repair == .all else { return }
            try image.mendCount(cluster, from: counted, to: used)
            result.corruptionsFixed += 1
        }
    }

    /// Entries of the active tables say whether their cluster has one user.
    func compareOwners(_ repair: Qcow2Repair) throws(UrsaError) {
        let mends = repair == .all
        for index in image.l1.indices {
            let entry = image.l1[index]
            let table = entry & Qcow2Entry.offsetMask
            guard table != 0, entry & Qcow2Entry.reservedL1 == 0, geometry.inCluster(table) == 0,
                table < image.file.size
            else { continue }
            let should = uses.count(table >> UInt64(geometry.clusterBits)) == 1
            if should != (entry & Qcow2Entry.copied != 0) {
                result.corruptions += 1
                result.say("L1 entry \(index) says wrongly whether its table has one user")
                if mends {
                    image.l1[index] = should ? entry | Qcow2Entry.copied : table
                    image.noteL1(index)
                    result.corruptionsFixed += 1
                }
            }
            try compareOwners(ofTable: table, mends)
        }
    }

    private func compareOwners(ofTable table: UInt64, _ mends: Bool) throws(UrsaError) {
        var wrong: [(index: Int, entry: UInt64)] = []
        let (uses, geometry, hasDataFile) = (uses, geometry, image.hasDataFile)
        do throws(UrsaError) {
            try image.eachEntry(of: table) { index, entry, _ throws(UrsaError) in
                guard entry & (Qcow2Entry.compressed | Qcow2Entry.reservedL2) == 0 else { return }
                let host = entry & Qcow2Entry.offsetMask
                guard geometry.inCluster(host) == 0, host != 0 || hasDataFile else { return }
                let isOwned = entry & Qcow2Entry.copied != 0
                let should = hasDataFile ? host != 0 || isOwned : uses.count(host >> UInt64(geometry.clusterBits)) == 1
                if should != isOwned {
                    wrong.append((index, should ? entry | Qcow2Entry.copied : entry & ~Qcow2Entry.copied))
                }
            }
        } catch  where error.code == .io {
            return
        }
        for item in wrong {
            result.corruptions += 1
            result.say(
                "entry \(item.index) of the L2 table at offset \(table) says wrongly whether its cluster has one user")
            guard mends else { continue }
            let (base, position) = try image.l2Slice(table, index: item.index, writing: true)
            base.storeBigEndian(item.entry, position)
            result.corruptionsFixed += 1
        }
    }

    /// With everything mended the marks go.
    func finishRepair() throws(UrsaError) {
        guard result.corruptions == result.corruptionsFixed, result.failures == 0 else { return }
        try image.flushInside()
        try image.clearMarks()
    }
}
