public import UrsaBase

// Zeros and discards: whole clusters (or subclusters) by their entries, the edges by writing zeros.

extension Qcow2Image {
    /// Makes a range of the disk read as zeros.
    public func writeZeroes(at offset: UInt64, count: UInt64, unmap: Bool) throws(UrsaError) {
        try checkRange(offset, count)
        guard count > 0 else { return }
        let end = offset + count
        // The last cluster of the disk counts as whole when the range reaches the disk's end.
        let reach = end == size ? (end + geometry.clusterSize - 1) & ~(geometry.clusterSize - 1) : end
        let unit = geometry.subclusterSize
        let first = (offset + unit - 1) & ~(unit - 1)
        let last = reach & ~(unit - 1)
        guard first < last else { return try writeZeroBytes(offset..<end) }
        try writeZeroBytes(offset..<first)
        try zeroEntries(first..<last, unmap: unmap, isDiscard: false)
        if last < end { try writeZeroBytes(last..<end) }
    }

    /// Gives the space of the whole clusters of a range back; they read as zeros where the format can say so.
    public func discard(at offset: UInt64, count: UInt64) throws(UrsaError) {
        try checkRange(offset, count)
        // Version 2 can't say that a cluster reads as zeros: the backing image would show through.
        guard header.version >= 3 || backing == nil else { return }
        let end = offset + count
        let reach = end == size ? (end + geometry.clusterSize - 1) & ~(geometry.clusterSize - 1) : end
        let first = (offset + geometry.clusterSize - 1) & ~(geometry.clusterSize - 1)
        let last = geometry.clusterStart(reach)
        guard first < last else { return }
        try zeroEntries(first..<last, unmap: true, isDiscard: true)
    }

    /// Zeros as data, where they are not there already.
    private func writeZeroBytes(_ range: Range<UInt64>) throws(UrsaError) {
        var offset = range.lowerBound
        while offset < range.upperBound {
            let found = try monitor.inside { () throws(UrsaError) in
                try settledMapping(at: offset, limit: range.upperBound - offset)
            }
            let isBelow = found.kind == .unallocated || found.kind == .unallocatedInCluster
            let isZero =
                found.kind == .zero || found.kind == .zeroAllocated
                || (isBelow && (backing.map { offset >= $0.size } ?? true))
            if !isZero { try writeZerosAnywhere(offset..<(offset + found.length)) }
            offset += found.length
        }
    }

    /// Zeros as data, also past the end of the disk.
    func writeZerosAnywhere(_ range: Range<UInt64>) throws(UrsaError) {
        var offset = range.lowerBound
        while offset < range.upperBound {
            let piece = min(range.upperBound - offset, UInt64(Qcow2Image.zeros.count))
            try writeAnywhere(UnsafeRawBufferPointer(Qcow2Image.zeros.prefix(Int(piece))), at: offset)
            offset += piece
        }
    }

    private static let zeros: AlignedBuffer = {
        let buffer = AlignedBuffer(count: 1 << 20)
        buffer.bytes.initializeMemory(as: UInt8.self, repeating: 0)
        return buffer
    }()

    /// Makes whole subclusters read as zeros.
    func zeroEntries(_ range: Range<UInt64>, unmap: Bool, isDiscard: Bool) throws(UrsaError) {
        if hasDataFile, header.dataFileIsRaw, range.lowerBound < size {
            // The data file reads as a disk by itself, so it has to say the same.
            try dataFile.writeZeroes(
                at: range.lowerBound, count: min(range.upperBound, size) - range.lowerBound, unmap: unmap)
            noteWritten()
        }
        var offset = range.lowerBound
        while offset < range.upperBound {
            let limit = range.upperBound - offset
            offset += try monitor.inside { () throws(UrsaError) -> UInt64 in
                giveWay()
                try prepare()
                noteDirty(offset, min(limit, size - min(size, offset)))
                let done = try zeroInSlice(at: offset, limit: limit, unmap: unmap)
                // Freed space is only usable after a flush, so many frees without one would fill the file system.
                if freed.count >= 1 << 16 { try flushInside() }
                return done
            }
        }
    }

    /// From inside: does so for the part of one slice of an L2 table. Returns how many bytes are done.
    private func zeroInSlice(at offset: UInt64, limit: UInt64, unmap: Bool) throws(UrsaError) -> UInt64 {
        let found = try settledMapping(at: offset, limit: min(limit, geometry.l2Coverage))
        let isAbove = backing.map { offset >= $0.size } ?? true
        if found.kind == .unallocated && isAbove || found.kind == .zero || (found.kind == .zeroAllocated && !unmap) {
            return found.length
        }
        let inFirst = min(limit, geometry.clusterSize - geometry.inCluster(offset))
        if (header.version < 3 && !isAbove) || (found.kind == .compressed && inFirst < geometry.clusterSize) {
            // Without a flag for zeros, and in a part of a compressed cluster, they have to be data. Outside of the
            // monitor that is `write`'s to do.
            monitor.leave()
            defer { monitor.enter() }
            try writeZerosAnywhere(offset..<(offset + inFirst))
            return inFirst
        }
        let table = try ownL2Table(for: offset)
        let index = geometry.l2Index(offset)
        let (base, start) = try l2Slice(table, index: index, writing: true)
        var position = start
        var done: UInt64 = 0
        while done < limit, position < geometry.sliceSize {
            let at = offset + done
            let left = geometry.clusterSize - geometry.inCluster(at)
            let count = min(left, limit - done)
            let entry: UInt64 = base.bigEndian(position)
            let isPart = count < geometry.clusterSize && entry & Qcow2Entry.compressed != 0
            if done > 0, isPart || isBusy(at) { break }
            try zeroEntry(base, position, at, count, unmap: unmap)
            done += count
            position += geometry.l2EntrySize
        }
        return done
    }

    private func isBusy(_ offset: UInt64) -> Bool {
        let cluster = offset >> UInt64(geometry.clusterBits)
        return busy.contains { $0.contains(cluster) }
    }

    /// From inside: changes one entry so that `count` bytes of its cluster read as zeros.
    private func zeroEntry(
        _ base: UnsafeMutableRawPointer, _ position: Int, _ offset: UInt64, _ count: UInt64, unmap: Bool
    ) throws(UrsaError) {
        let entry: UInt64 = base.bigEndian(position)
        let isCompressed = entry & Qcow2Entry.compressed != 0
        let isAbove = backing.map { geometry.clusterStart(offset) >= $0.size } ?? true
        let isWhole = count == geometry.clusterSize
        if geometry.hasSubclusters {
            let bitmap: UInt64 = isCompressed ? 0 : base.bigEndian(position + 8)
            if isWhole {
                if unmap || isCompressed {
                    try giveUp(entry)
                    base.storeBigEndian(0, position)
                }
                base.storeBigEndian(0xffff_ffff_0000_0000 as UInt64, position + 8)
            } else if isCompressed {
                throw UrsaError(.bug, "a part of a compressed cluster was to be zeroed by its entry")
            } else {
                let first = geometry.inCluster(offset) >> UInt64(geometry.subclusterBits)
                let mask = (((1 as UInt64) << (count >> UInt64(geometry.subclusterBits))) - 1) << first
                base.storeBigEndian(bitmap & ~mask | mask << 32, position + 8)
            }
            return
        }
        let host = entry & Qcow2Entry.offsetMask
        let hasHost = !isCompressed && (host != 0 || (hasDataFile && entry & Qcow2Entry.copied != 0))
        if hasHost, !unmap, header.version >= 3 {
            return base.storeBigEndian(entry | Qcow2Entry.zero, position)
        }
        try giveUp(entry)
        base.storeBigEndian(header.version >= 3 && !(isAbove && entry == 0) ? Qcow2Entry.zero : 0, position)
    }
}
