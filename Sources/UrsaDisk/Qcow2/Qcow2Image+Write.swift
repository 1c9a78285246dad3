import Glibc
public import UrsaBase

/// Where a writer puts a run of guest clusters.
struct Qcow2Placement {
    /// Guest offset of the first cluster.
    var guest: UInt64
    var clusters: Int
    /// File offset of the first host cluster; the others follow.
    var host: UInt64
    /// Taken for this write; otherwise a cluster that was reserved for the guest cluster already.
    var isNew: Bool
    /// The host clusters read as zeros.
    var isClean: Bool
    /// Guest bytes that must be filled in at least around what is written, as a power of two: a subcluster, or a cluster
    /// where the old content lies elsewhere.
    var fillSize: UInt64
}

extension Qcow2Image {
    /// Writes bytes of the disk.
    public func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(UrsaError) {
        try checkRange(offset, UInt64(bytes.count))
        try writeAnywhere(bytes, at: offset)
    }

    /// Writes what may lie past the end of the disk too, as far as the L1 table reaches.
    func writeAnywhere(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(UrsaError) {
        var done = 0
        while done < bytes.count {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[done...])
            done += try writeSome(rest, at: offset + UInt64(done))
        }
    }

    /// Writes a part of the bytes from the first on; returns how many.
    private func writeSome(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(UrsaError) -> Int {
        monitor.enter()
        let found: Qcow2Mapping
        let placement: Qcow2Placement
        do throws(UrsaError) {
            giveWay()
            try prepare()
            noteDirty(offset, UInt64(bytes.count))
            found = try settledMapping(at: offset, limit: UInt64(bytes.count))
            if found.kind == .data, found.isOwned {
                beginWork()
                monitor.leave()
                defer { endWork() }
                noteWritten()
                try dataFile.write(UnsafeRawBufferPointer(rebasing: bytes[..<Int(found.length)]), at: found.host)
                // A barrier that began during the write says nothing of it.
                noteWritten()
                return Int(found.length)
            }
            placement = try place(found, at: offset, count: UInt64(bytes.count))
        } catch {
            monitor.leave()
            throw error
        }
        let range = clusters(placement)
        busy.append(range)
        monitor.leave()

        let end = placement.guest + UInt64(placement.clusters) * geometry.clusterSize
        var count = min(bytes.count, Int(end - offset))
        if !placement.isNew { count = min(count, Int(found.length)) }
        let part = UnsafeRawBufferPointer(rebasing: bytes[..<count])
        let written: Range<UInt64>
        do throws(UrsaError) {
            written = try fill(placement, part, at: offset)
        } catch {
            monitor.enter()
            defer { monitor.leave() }
            endBusy(range)
            if placement.isNew, !hasDataFile { try? giveBackUnused(hostClusters(placement)) }
            throw error
        }
        monitor.enter()
        defer { monitor.leave() }
        defer { endBusy(range) }
        try enterIntoTables(placement, written)
        return count
    }

    func clusters(_ placement: Qcow2Placement) -> Range<UInt64> {
        let first = placement.guest >> UInt64(geometry.clusterBits)
        return first..<(first + UInt64(placement.clusters))
    }

    private func hostClusters(_ placement: Qcow2Placement) -> Range<UInt64> {
        let first = placement.host >> UInt64(geometry.clusterBits)
        return first..<(first + UInt64(placement.clusters))
    }

    func endBusy(_ range: Range<UInt64>) {
        if let index = busy.firstIndex(of: range) { busy.remove(at: index) }
        monitor.signal()
    }

    /// From inside: the mapping at an offset once nobody is giving the clusters from there on a new place.
    func settledMapping(at offset: UInt64, limit: UInt64) throws(UrsaError) -> Qcow2Mapping {
        let first = offset >> UInt64(geometry.clusterBits)
        while true {
            let found = try mapping(at: offset, limit: limit)
            if found.kind == .data, found.isOwned || busy.isEmpty { return found }
            // As far as a placement could reach.
            let last = (offset + limit - 1) >> UInt64(geometry.clusterBits)
            guard busy.contains(where: { $0.overlaps(first..<(last + 1)) }) else { return found }
            monitor.wait()
        }
    }

    // ---- finding a place --------------------------------------------------------------------------------------------

    /// From inside: where the bytes at `offset` go, whose present mapping can't be written in place.
    private func place(_ found: Qcow2Mapping, at offset: UInt64, count: UInt64) throws(UrsaError) -> Qcow2Placement {
        let table = try ownL2Table(for: offset)
        let guest = geometry.clusterStart(offset)
        let isReserved = found.kind == .zeroAllocated || found.kind == .unallocatedInCluster
        if isReserved, found.isOwned {
            return Qcow2Placement(
                guest: guest, clusters: 1, host: geometry.clusterStart(found.host), isNew: false, isClean: false,
                fillSize: geometry.subclusterSize)
        }
        // As many clusters as need a new place too, in the same slice.
        let wanted = Int(geometry.clusters(for: offset + count - guest))
        let index = geometry.l2Index(guest)
        let (base, start) = try l2Slice(table, index: index, writing: false)
        var clusters = 0
        var hasOldContent = false
        var position = start
        while clusters < wanted, position < geometry.sliceSize {
            let address = guest + UInt64(clusters) * geometry.clusterSize
            let old = try subcluster(base, position, address, isTableOwned: true)
            let isOurs = old.kind != .compressed && old.isOwned
            if clusters > 0, isOurs { break }
            let isOld = old.kind == .compressed || (old.entry & Qcow2Entry.offsetMask != 0)
            if clusters > 0, isOld != hasOldContent { break }
            hasOldContent = isOld
            clusters += 1
            position += geometry.l2EntrySize
        }
        let fillSize = hasOldContent ? geometry.clusterSize : geometry.subclusterSize
        if hasDataFile {
            return Qcow2Placement(
                guest: guest, clusters: clusters, host: guest, isNew: true, isClean: false, fillSize: fillSize)
        }
        let run = try allocate(upTo: UInt64(clusters))
        return Qcow2Placement(
            guest: guest, clusters: run.count, host: run.lowerBound << UInt64(geometry.clusterBits), isNew: true,
            isClean: takeClean(run), fillSize: fillSize)
    }

    /// From inside: the L2 table for an offset, made or copied when it is missing or shared with a snapshot.
    func ownL2Table(for offset: UInt64) throws(UrsaError) -> UInt64 {
        let found = try l2Table(for: offset)
        if let found, found.isOwned { return found.offset }
        let index = Int(geometry.l1Index(offset))
        guard index < l1.count else { throw damaged("its L1 table is too short for guest offset \(offset)") }
        let run = try allocate(upTo: 1)
        let new = run.lowerBound << UInt64(geometry.clusterBits)
        l2Cache.forget(new, count: geometry.clusterSize)
        do throws(UrsaError) {
            try zeroTaken(run)
            if let found {
                try copyTable(from: found.offset, to: new)
                let old = found.offset >> UInt64(geometry.clusterBits)
                release(old..<(old + 1))
            }
        } catch {
            try? giveBackUnused(run)
            throw error
        }
        l1[index] = new | Qcow2Entry.copied
        noteL1(index)
        return new
    }

    /// Copies an L2 table. Data that others use as well is not ours to write in place.
    private func copyTable(from old: UInt64, to new: UInt64) throws(UrsaError) {
        let scratch = AlignedBuffer(count: geometry.sliceSize)
        for start in stride(from: 0, to: geometry.clusterSize, by: geometry.sliceSize) {
            while true {
                guard let source = try l2Cache.slice(old + start, writing: false) else { try writeBack(); continue }
                memcpy(scratch.base, source, geometry.sliceSize)
                break
            }
            for position in stride(from: 0, to: geometry.sliceSize, by: geometry.l2EntrySize) {
                let entry: UInt64 = scratch.base.bigEndian(position)
                scratch.base.storeBigEndian(entry & ~Qcow2Entry.copied, position)
            }
            while true {
                guard let target = l2Cache.fresh(new + start) else { try writeBack(); continue }
                memcpy(target, scratch.base, geometry.sliceSize)
                break
            }
        }
    }

    // ---- the data ---------------------------------------------------------------------------------------------------

    /// Writes the data and, around it, what the guest saw there before. Returns the guest range that is in place now.
    private func fill(
        _ placement: Qcow2Placement, _ bytes: UnsafeRawBufferPointer, at offset: UInt64
    ) throws(UrsaError) -> Range<UInt64> {
        let end = offset + UInt64(bytes.count)
        let unit = placement.fillSize
        let first = offset & ~(unit - 1)
        let last = (end + unit - 1) & ~(unit - 1)
        let host = placement.host
        func position(_ guest: UInt64) -> UInt64 { host + (guest - placement.guest) }
        defer { noteWritten() }
        if first == offset, last == end {
            try dataFile.write(bytes, at: position(offset))
            return first..<last
        }
        let head = Int(offset - first)
        let tail = Int(last - end)
        let around = AlignedBuffer(count: head + tail)
        let before = UnsafeMutableRawBufferPointer(start: around.base, count: head)
        let after = UnsafeMutableRawBufferPointer(start: around.base + head, count: tail)
        try readAnywhere(into: before, at: first)
        try readAnywhere(into: after, at: end)
        let writesHead = head > 0 && !(placement.isClean && UnsafeRawBufferPointer(before).isZero)
        let writesTail = tail > 0 && !(placement.isClean && UnsafeRawBufferPointer(after).isZero)
        if (writesHead || writesTail) && bytes.count <= 1 << 20 {
            // One write of it all is faster than two or three.
            let from = writesHead ? first : offset
            let count = (writesHead ? head : 0) + bytes.count + (writesTail ? tail : 0)
            let joined = AlignedBuffer(count: count)
            var filled = 0
            if writesHead { memcpy(joined.base, around.base, head); filled = head }
            if let base = bytes.baseAddress { memcpy(joined.base + filled, base, bytes.count) }
            if writesTail { memcpy(joined.base + filled + bytes.count, around.base + head, tail) }
            try dataFile.write(UnsafeRawBufferPointer(start: joined.base, count: count), at: position(from))
            return first..<last
        }
        if writesHead { try dataFile.write(UnsafeRawBufferPointer(before), at: position(first)) }
        try dataFile.write(bytes, at: position(offset))
        if writesTail { try dataFile.write(UnsafeRawBufferPointer(after), at: position(end)) }
        return first..<last
    }

    // ---- the tables -------------------------------------------------------------------------------------------------

    /// From inside, with the data in the file: points the entries at it, and gives up what they pointed at.
    private func enterIntoTables(_ placement: Qcow2Placement, _ written: Range<UInt64>) throws(UrsaError) {
        // The table was ours when the place was found, and whoever could change that waits for busy clusters.
        let table = try ownL2Table(for: placement.guest)
        let (base, start) = try l2Slice(table, index: geometry.l2Index(placement.guest), writing: true)
        for number in 0..<placement.clusters {
            let guest = placement.guest + UInt64(number) * geometry.clusterSize
            guard guest < written.upperBound else { break }
            let position = start + number * geometry.l2EntrySize
            let old: UInt64 = base.bigEndian(position)
            let host = placement.host + UInt64(number) * geometry.clusterSize
            if geometry.hasSubclusters {
                let bitmap: UInt64 = base.bigEndian(position + 8)
                let wasCompressed = old & Qcow2Entry.compressed != 0
                base.storeBigEndian(
                    newBitmap(wasCompressed ? 0 : bitmap, guest, written), position + 8)
            }
            base.storeBigEndian(host | Qcow2Entry.copied, position)
            if placement.isNew { try giveUp(old, unless: host) }
        }
    }

    /// The subclusters of the cluster at `guest` after a range of bytes was put in place.
    private func newBitmap(_ old: UInt64, _ guest: UInt64, _ written: Range<UInt64>) -> UInt64 {
        let from = max(written.lowerBound, guest) - guest
        let to = min(written.upperBound, guest + geometry.clusterSize) - guest
        let first = from >> UInt64(geometry.subclusterBits)
        let count = (to >> UInt64(geometry.subclusterBits)) - first
        let mask = (((1 as UInt64) << count) - 1) << first
        return (old | mask) & ~(mask << 32)
    }

    /// From inside: an entry is not in a table any more.
    func giveUp(_ entry: UInt64, unless host: UInt64? = nil) throws(UrsaError) {
        guard !hasDataFile else { return }
        if entry & Qcow2Entry.compressed != 0 {
            let range = try compressedRange(entry)
            let first = range.offset >> UInt64(geometry.clusterBits)
            let last = (range.offset + UInt64(range.count) - 1) >> UInt64(geometry.clusterBits)
            return release(first..<(last + 1))
        }
        let old = entry & Qcow2Entry.offsetMask
        guard old != 0, old != host else { return }
        release((old >> UInt64(geometry.clusterBits))..<((old >> UInt64(geometry.clusterBits)) + 1))
    }
}

extension UnsafeRawBufferPointer {
    /// Whether all bytes are zero, eight at a time.
    var isZero: Bool {
        guard let base = baseAddress else { return true }
        var offset = 0
        while offset + 64 <= count {
            var joined: UInt64 = 0
            for word in 0..<8 { joined |= base.loadUnaligned(fromByteOffset: offset + word * 8, as: UInt64.self) }
            if joined != 0 { return false }
            offset += 64
        }
        while offset < count {
            if base.load(fromByteOffset: offset, as: UInt8.self) != 0 { return false }
            offset += 1
        }
        return true
    }
}
