import Glibc
import UrsaBase

/// Where the bytes of a cluster are.
enum ClusterPlace: Equatable {
    /// As they are, from this offset in the file.
    case stored(UInt64)
    /// Compressed somewhere; `decompress` knows.
    case compressed
    /// Nowhere: the image says that they are zeros.
    case zero
    /// Nowhere, and the image says nothing.
    case unallocated

    /// What the cluster `count` further would be if the run went on.
    func advanced(by count: UInt64, of unit: UInt64) -> ClusterPlace {
        guard case .stored(let offset) = self else { return self }
        return .stored(offset &+ count &* unit)
    }
}

/// A format that divides the disk into clusters of one size and says for each where it is. Reading and extents follow.
///
/// A conforming type checks when it is opened that `size` is below 2^62 and `unit` at least 512 and below 2^32, and in
/// `place` that offsets don't overflow; whether they lie in the file is checked when data is read.
protocol ClusterReader: DiskReader {
    var source: any ByteSource { get }
    /// Bytes of a cluster.
    var unit: UInt64 { get }
    var chunks: ChunkCache { get }
    /// Where a cluster inside the disk is.
    func place(of cluster: UInt64) throws(UrsaError) -> ClusterPlace
    /// Like `place`, with the number (1 to `limit`) of clusters for which it holds: those that are stored follow each
    /// other in the file. Formats with two levels of tables answer for a whole missing table at once.
    func run(at cluster: UInt64, limit: UInt64) throws(UrsaError) -> (place: ClusterPlace, count: UInt64)
    /// How many of the clusters after this one, at most `limit`, are surely in the same place because the table repeats
    /// itself: tables of empty disks are long and are gone through fast.
    func repeats(of cluster: UInt64, limit: UInt64) throws(UrsaError) -> UInt64
    /// Undoes the compression of a cluster. `buffer` has the cluster's size, less for the last of the disk.
    func decompress(_ cluster: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(UrsaError)
}

extension ClusterReader {
    var name: String { source.name }
    var clusterSize: UInt64? { unit }

    func decompress(_ cluster: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(UrsaError) {
        throw UrsaError(.bug, "\(format.rawValue) has no compressed clusters")
    }

    func repeats(of cluster: UInt64, limit: UInt64) throws(UrsaError) -> UInt64 { 0 }

    func run(at cluster: UInt64, limit: UInt64) throws(UrsaError) -> (place: ClusterPlace, count: UInt64) {
        try merged(at: cluster, limit: limit)
    }

    /// The run that single places add up to. However long the tables, one question looks at a bounded part of them.
    func merged(at cluster: UInt64, limit: UInt64) throws(UrsaError) -> (place: ClusterPlace, count: UInt64) {
        let place = try place(of: cluster)
        let isEmpty = place == .zero || place == .unallocated
        let limit = min(limit, isEmpty ? 1 << 18 : 1 << 16)
        var count: UInt64 = 1
        while count < limit {
            if isEmpty {
                let more = try repeats(of: cluster + count - 1, limit: limit - count)
                count += more
                if more > 0 { continue }
            }
            guard try self.place(of: cluster + count) == place.advanced(by: count, of: unit) else { break }
            count += 1
        }
        return (place, count)
    }

    /// The run of clusters whose tables, each for `perTable` of them, are missing. That of the first is; `more` says how
    /// many of the tables after it, at most its second argument, are too as far as one page of the first table tells.
    func missing(
        at cluster: UInt64, limit: UInt64, perTable: UInt64, _ more: (UInt64, UInt64) throws(UrsaError) -> UInt64
    ) throws(UrsaError) -> (place: ClusterPlace, count: UInt64) {
        var count = perTable - cluster % perTable
        let most = min(limit, perTable << 14)
        while count < most {
            let found = try more(cluster + count - 1, (most - count + perTable - 1) / perTable)
            guard found > 0 else { break }
            count += found * perTable
        }
        return (.unallocated, min(count, limit))
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(UrsaError) {
        guard offset <= size, UInt64(buffer.count) <= size - offset else {
            throw source.outside(offset, buffer.count, of: size)
        }
        var done = 0
        while done < buffer.count {
            let position = offset + UInt64(done)
            let within = position % unit
            let wanted = UInt64(buffer.count - done)
            let run = try run(at: position / unit, limit: (within + wanted + unit - 1) / unit)
            var length = min(wanted, run.count * unit - within)
            if run.place == .compressed { length = min(length, unit - within) }
            let target = UnsafeMutableRawBufferPointer(rebasing: buffer[done..<done + Int(length)])
            switch run.place {
            case .stored(let start):
                let (from, overflow) = start.addingReportingOverflow(within)
                guard !overflow else { throw source.damaged(format, "a cluster lies past every file", at: start) }
                try source.data(of: format, into: target, at: from)
            case .compressed: try readCompressed(position / unit, Int(within), target)
            case .zero: clear(target)
            case .unallocated: try readBacking(target, at: position)
            }
            done += Int(length)
        }
    }

    func extent(at offset: UInt64, limit: UInt64) throws(UrsaError) -> Extent {
        try clusterExtent(at: offset, limit: limit)
    }

    /// The extent as the clusters say it.
    func clusterExtent(at offset: UInt64, limit: UInt64) throws(UrsaError) -> Extent {
        guard offset < size, limit > 0 else { throw source.outside(offset, 1, of: size) }
        let within = offset % unit
        let most = min(limit, size - offset)
        let run = try run(at: offset / unit, limit: (within + most + unit - 1) / unit)
        let length = min(most, run.count * unit - within)
        switch run.place {
        case .stored(let start): return Extent(kind: .data, length: length, fileOffset: start &+ within)
        case .compressed: return Extent(kind: .data, length: length, isCompressed: true)
        case .zero: return Extent(kind: .zero, length: length)
        case .unallocated: return Extent(kind: .unallocated, length: length)
        }
    }

    /// A whole cluster goes straight to where it is wanted, parts of one through the cache.
    private func readCompressed(
        _ cluster: UInt64, _ within: Int, _ target: UnsafeMutableRawBufferPointer
    ) throws(UrsaError) {
        let length = Int(min(unit, size - cluster * unit))
        if within == 0, target.count == length { return try decompress(cluster, into: target) }
        let chunk = try chunks.chunk(cluster, count: length) { (buffer) throws(UrsaError) in
            try decompress(cluster, into: buffer)
        }
        target.copyMemory(from: UnsafeRawBufferPointer(rebasing: chunk.bytes[within..<within + target.count]))
    }

    private func readBacking(_ target: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(UrsaError) {
        var present = 0
        if let backing, offset < backing.size {
            present = Int(min(UInt64(target.count), backing.size - offset))
            try backing.read(into: UnsafeMutableRawBufferPointer(rebasing: target[0..<present]), at: offset)
        }
        clear(UnsafeMutableRawBufferPointer(rebasing: target[present...]))
    }
}

/// Fills a buffer with zeros.
func clear(_ buffer: UnsafeMutableRawBufferPointer) {
    if let base = buffer.baseAddress, buffer.count > 0 { memset(base, 0, buffer.count) }
}
