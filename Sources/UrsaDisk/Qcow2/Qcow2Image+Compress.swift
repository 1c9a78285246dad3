public import UrsaBase

// Writing compressed clusters. They are packed byte by byte; each cluster of the file that they touch is counted once
// for each of them.

extension Qcow2Image {
    /// How this image's clusters are compressed.
    public var compression: Qcow2Compression { header.compression }
    /// Whether compressed clusters can be written: not beside an external data file.
    public var takesCompressed: Bool { !hasDataFile }

    /// Compresses a cluster of data into `output`; returns the length, or nil when it does not become smaller and is to
    /// be written as it is. `content` is padded with zeros to a whole cluster by the caller.
    public static func compress(
        _ content: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer, with method: Qcow2Compressor
    ) throws(UrsaError) -> Int? {
        // Less than a cluster, or there would be no use in it.
        let room = UnsafeMutableRawBufferPointer(rebasing: output[..<min(output.count, content.count - 1)])
        switch method {
        case .zlib(let deflater): return deflater.deflate(content, into: room, form: .raw)
        case .zstd(let compressor): return try compressor.compress(content, into: room)
        }
    }

    /// Stores a cluster that was compressed already by the image's method: `packed` stands for the whole guest cluster
    /// at `offset`.
    public func writeCompressed(_ packed: UnsafeRawBufferPointer, at offset: UInt64) throws(UrsaError) {
        guard geometry.inCluster(offset) == 0 else {
            throw UrsaError(.usage, "compressed data for offset \(offset), which is not the start of a cluster")
        }
        try checkRange(offset, 1)
        guard takesCompressed else {
            throw UrsaError(.unsupported, "\(name) has an external data file, so it can't hold compressed clusters")
        }
        guard packed.count > 0, packed.count < Int(geometry.clusterSize) else {
            throw UrsaError(.usage, "\(packed.count) bytes of compressed data for a cluster")
        }
        let cluster = offset >> UInt64(geometry.clusterBits)
        monitor.enter()
        let place: UInt64
        do throws(UrsaError) {
            giveWay()
            try prepare()
            noteDirty(offset, geometry.clusterSize)
            _ = try settledMapping(at: offset, limit: geometry.clusterSize)
            place = try placeBytes(UInt64(packed.count))
        } catch {
            monitor.leave()
            throw error
        }
        busy.append(cluster..<(cluster + 1))
        monitor.leave()
        do throws(UrsaError) {
            noteWritten()
            defer { noteWritten() }
            try file.write(packed, at: place)
        } catch {
            monitor.inside { endBusy(cluster..<(cluster + 1)) }
            throw error
        }
        monitor.enter()
        defer { monitor.leave() }
        defer { endBusy(cluster..<(cluster + 1)) }
        let table = try ownL2Table(for: offset)
        let (base, position) = try l2Slice(table, index: geometry.l2Index(offset), writing: true)
        let old: UInt64 = base.bigEndian(position)
        let sectors = (place + UInt64(packed.count) - 1) / 512 - place / 512
        base.storeBigEndian(
            Qcow2Entry.compressed | sectors << UInt64(geometry.compressedOffsetBits) | place, position)
        if geometry.hasSubclusters { base.storeBigEndian(0 as UInt64, position + 8) }
        try giveUp(old)
    }

    /// From inside: room for compressed bytes, right behind the last ones where possible.
    private func placeBytes(_ count: UInt64) throws(UrsaError) -> UInt64 {
        let bits = UInt64(geometry.clusterBits)
        let next = allocator.compressedByte
        if next != 0, geometry.inCluster(next) != 0 {
            let current = next >> bits
            let left = geometry.clusterSize - geometry.inCluster(next)
            if try refcount(current) < geometry.largestRefcount {
                if count <= left {
                    try changeRefcounts(current..<(current + 1), raise: true)
                    allocator.compressedByte = next + count
                    return next
                }
                let run = try allocate(upTo: 1)
                _ = takeClean(run)
                if run.lowerBound == current + 1 {
                    try changeRefcounts(current..<(current + 1), raise: true)
                    allocator.compressedByte = next + count
                    return try belowLimit(next, count)
                }
                allocator.compressedByte = (run.lowerBound << bits) + count
                return try belowLimit(run.lowerBound << bits, count)
            }
        }
        let run = try allocate(upTo: 1)
        _ = takeClean(run)
        allocator.compressedByte = (run.lowerBound << bits) + count
        return try belowLimit(run.lowerBound << bits, count)
    }

    private func belowLimit(_ place: UInt64, _ count: UInt64) throws(UrsaError) -> UInt64 {
        guard place + count <= 1 << UInt64(min(56, geometry.compressedOffsetBits)) else {
            throw UrsaError(.io, "\(name) is too large for more compressed clusters")
        }
        return place
    }
}

/// A compressor for an image's clusters. One thread at a time.
public enum Qcow2Compressor {
    case zlib(Deflater)
    case zstd(Zstandard.Compressor)

    /// One for a method.
    ///
    /// - Parameter level: as the method counts; nil for the usual one.
    public init(_ method: Qcow2Compression, level: Int? = nil) throws(UrsaError) {
        switch method {
        case .zlib: self = .zlib(try Deflater(level: level ?? 6))
        case .zstd: self = .zstd(try Zstandard.Compressor(level: level ?? 3))
        }
    }
}
