import Glibc
import Synchronization
public import UrsaBase

extension Qcow2Image {
    /// Changes the size of the disk, in whole sectors. What a shrinking disk loses is lost at once.
    public func resize(to wanted: UInt64, preallocation: Preallocation) throws(UrsaError) {
        let size = (wanted + 511) & ~511
        guard size <= UInt64(Int64.max) - 511 else { throw UrsaError(.usage, "a disk of \(wanted) bytes") }
        monitor.enter()
        defer { monitor.leave() }
        try prepare()
        guard size != header.size else { return }
        if header.version < 3, header.snapshotCount > 0 {
            throw UrsaError(
                .unsupported, "\(name) is of version 2 and has snapshots, which would not know their own size",
                remedy: "delete the snapshots, or convert the image to version 3")
        }
        try refuseBitmaps(unless: false, "to be resized")
        let entries = geometry.l1Entries(for: size)
        guard entries * 8 <= Qcow2Geometry.largestL1 else {
            throw UrsaError(
                .usage, "a disk of \(size) bytes is too large for clusters of \(geometry.clusterSize) bytes")
        }
        if size < header.size {
            guard preallocation == .off else {
                throw UrsaError(.usage, "preallocation is for growing, but \(name) would shrink")
            }
            try shrink(to: size)
        } else {
            try grow(to: size, entries, preallocation)
        }
    }

    /// Everything past the new end is given up and the size changes, at once.
    private func shrink(to size: UInt64) throws(UrsaError) {
        let old = (header, l1)
        let kept = Int(geometry.l1Entries(for: size))
        // The table that has both: a copy without what is cut off.
        let coverage = UInt64(1) << UInt64(geometry.clusterBits + geometry.l2Bits)
        let split = size & (coverage - 1) == 0 ? nil : Int(size / coverage)
        let firstCut = Int(geometry.clusters(for: size & (coverage - 1)))
        var cut: UInt64?
        try transaction { new throws(UrsaError) in
            l1 = Array(old.1[..<min(kept, old.1.count)])
            if let split, split < l1.count, l1[split] & Qcow2Entry.offsetMask != 0 {
                let table = try checkedTable(l1[split])
                l1[split] = try shortenedCopy(table, firstCut) | Qcow2Entry.copied
                cut = table
            }
            new.l1Offset = try writeNewTable(l1)
            new.l1Size = UInt32(l1.count)
            new.size = size
        } lower: { new throws(UrsaError) in
            try changeCounts(of: Array(old.1[min(kept, old.1.count)...]), raise: false)
            if let cut {
                try changeCounts(ofTable: cut, from: firstCut, raise: false)
                try giveUpTable(cut, Int(geometry.clusterSize))
            }
            try giveUpTable(old.0.l1Offset, Int(old.0.l1Size) * 8)
        }
        if hasDataFile, !dataFile.isBlockDevice { try dataFile.resize(to: size) }
        try trimFile()
        // Other programs rely on it when they make the disk larger again.
        try zeroTail(size)
        try flushInside()
    }

    /// Makes what the last cluster holds behind the end of the disk zeros, where it holds anything.
    private func zeroTail(_ size: UInt64) throws(UrsaError) {
        let end = (size + geometry.clusterSize - 1) & ~(geometry.clusterSize - 1)
        monitor.leave()
        defer { monitor.enter() }
        var offset = size
        while offset < end {
            let found = try monitor.inside { () throws(UrsaError) in
                try settledMapping(at: offset, limit: end - offset)
            }
            if found.kind == .data || found.kind == .compressed {
                try writeZerosAnywhere(offset..<(offset + found.length))
            }
            offset += found.length
        }
    }

    /// A copy of an L2 table without the entries from `end` on.
    private func shortenedCopy(_ table: UInt64, _ end: Int) throws(UrsaError) -> UInt64 {
        let run = try allocate(upTo: 1)
        let new = run.lowerBound << UInt64(geometry.clusterBits)
        l2Cache.forget(new, count: geometry.clusterSize)
        try zeroTaken(run)
        var kept: [(Int, UInt64, UInt64)] = []
        try eachEntry(of: table) { index, entry, bitmap throws(UrsaError) in
            if index < end { kept.append((index, entry, bitmap)) }
        }
        var bytes = [UInt8](repeating: 0, count: Int(geometry.clusterSize))
        for (index, entry, bitmap) in kept {
            bytes.storeBigEndian(entry, at: index << geometry.l2EntryBits)
            if geometry.hasSubclusters { bytes.storeBigEndian(bitmap, at: index << geometry.l2EntryBits + 8) }
        }
        try file.write(bytes, at: new)
        noteWritten()
        return new
    }

    private func grow(to size: UInt64, _ entries: UInt64, _ preallocation: Preallocation) throws(UrsaError) {
        let old = header.size
        drain()
        try flushInside()
        if entries > UInt64(l1.count) {
            // The longer table first, with the size as it was: until then nobody looks past the old entries.
            let longer = l1 + [UInt64](repeating: 0, count: Int(entries) - l1.count)
            let before = header
            let place = try writeNewTable(longer)
            try writeRefcounts()
            noteWritten()
            try barrier()
            header.l1Offset = place
            header.l1Size = UInt32(entries)
            try writeHeaderFields()
            noteWritten()
            try barrier()
            l1 = longer
            let first = before.l1Offset >> UInt64(geometry.clusterBits)
            release(first..<(first + geometry.clusters(for: max(1, UInt64(before.l1Size) * 8))))
        }
        try hide(old..<size)
        if hasDataFile, !dataFile.isBlockDevice, dataFile.size < size { try dataFile.resize(to: size) }
        if preallocation != .off {
            guard backing == nil || geometry.hasSubclusters else {
                throw UrsaError(.usage, "preallocation with a backing file", remedy: "grow without it")
            }
            try preallocate((old + geometry.clusterSize - 1) & ~(geometry.clusterSize - 1)..<size, preallocation)
        }
        try writeBack()
        try barrier()
        header.size = size
        try writeHeaderFields()
        noteWritten()
        try barrier()
        knownSize.store(size, ordering: .releasing)
        try flushInside()
    }

    /// Makes the range that the disk grows by read as zeros: what the last cluster holds behind the old end, what a
    /// larger backing image has there, and what older programs may have left in entries past the end.
    private func hide(_ range: Range<UInt64>) throws(UrsaError) {
        let boundary = min(
            range.upperBound, (range.lowerBound + geometry.clusterSize - 1) & ~(geometry.clusterSize - 1))
        monitor.leave()
        defer { monitor.enter() }
        var offset = range.lowerBound
        while offset < boundary {
            let found = try monitor.inside { () throws(UrsaError) in
                try settledMapping(at: offset, limit: boundary - offset)
            }
            let isBelow = found.kind == .unallocated || found.kind == .unallocatedInCluster
            let isZero =
                found.kind == .zero || found.kind == .zeroAllocated
                || (isBelow && (backing.map { offset >= $0.size } ?? true))
            if !isZero { try writeZerosAnywhere(offset..<(offset + found.length)) }
            offset += found.length
        }
        let end = (range.upperBound + geometry.clusterSize - 1) & ~(geometry.clusterSize - 1)
        guard boundary < end else { return }
        // Only where there is something: an empty table says zeros by itself.
        var start = boundary
        while start < end {
            let found = try monitor.inside { () throws(UrsaError) in
                try settledMapping(at: start, limit: end - start)
            }
            let showsBelow = found.kind == .unallocated && backing.map { start < $0.size } ?? false
            if found.kind != .unallocated || showsBelow {
                if header.version >= 3 || !showsBelow {
                    try zeroEntries(
                        start..<(start + max(found.length, geometry.clusterSize)), unmap: true, isDiscard: true)
                } else {
                    try writeZerosAnywhere(start..<min(start + found.length, range.upperBound))
                }
            }
            start += max(found.length, geometry.clusterSize)
            start = geometry.clusterStart(start)
        }
    }

    /// From inside, after clusters at the end became free: cuts the file behind the last one in use.
    func trimFile() throws(UrsaError) {
        guard !file.isBlockDevice, options.unmapsFreed else { return }
        var cluster = geometry.clusters(for: file.size)
        while cluster > 1 {
            let (index, at) = refcountIndex(cluster - 1)
            if try refcountBlock(index) == 0 {
                cluster -= min(cluster - 1, UInt64(at) + 1)
                continue
            }
            guard try refcount(cluster - 1) == 0 else { break }
            cluster -= 1
        }
        let end = cluster << UInt64(geometry.clusterBits)
        if end < file.size {
            try file.resize(to: end)
            allocator.cleanFrom = end
        }
    }

    /// Bitmaps are as long as the disk: who changes that must change them too.
    func refuseBitmaps(unless fits: Bool, _ what: String) throws(UrsaError) {
        guard !fits, header.data(of: Qcow2Header.Extension.bitmaps) != nil else { return }
        throw UrsaError(
            .unsupported, "\(name) has persistent bitmaps, which are as long as the disk, so it is not \(what)",
            remedy: "remove them with: qemu-img bitmap --remove")
    }
}
