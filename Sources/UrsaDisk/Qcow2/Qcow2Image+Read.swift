import Glibc
import Synchronization
public import UrsaBase

extension Qcow2Image {
    /// Fills a buffer with the disk's bytes from an offset.
    public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(UrsaError) {
        try checkRange(offset, UInt64(buffer.count))
        if someoneDrains.load(ordering: .relaxed) { monitor.inside { giveWay() } }
        try readAnywhere(into: buffer, at: offset)
    }

    /// Reads what may lie past the end of the disk too: the state of a machine in a snapshot, or a cluster's rest.
    func readAnywhere(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(UrsaError) {
        guard let base = buffer.baseAddress else { return }
        var done = 0
        while done < buffer.count {
            let position = offset + UInt64(done)
            monitor.enter()
            let found: Qcow2Mapping
            do throws(UrsaError) {
                found = try mapping(at: position, limit: UInt64(buffer.count - done))
            } catch {
                monitor.leave()
                throw error
            }
            beginWork()
            monitor.leave()
            defer { endWork() }
            let part = UnsafeMutableRawBufferPointer(start: base + done, count: Int(found.length))
            try read(found, into: part, at: position)
            done += part.count
        }
    }

    private func read(
        _ found: Qcow2Mapping, into part: UnsafeMutableRawBufferPointer, at offset: UInt64
    ) throws(UrsaError) {
        switch found.kind {
        case .data: try readData(into: part, at: found.host)
        case .zero, .zeroAllocated: zero(part)
        case .unallocated, .unallocatedInCluster: try readBelow(into: part, at: offset)
        case .compressed: try readCompressed(found.entry, into: part, from: geometry.inCluster(offset))
        }
    }

    /// Bytes of a host cluster. A file may end inside of its last cluster: the rest was never written.
    private func readData(into part: UnsafeMutableRawBufferPointer, at host: UInt64) throws(UrsaError) {
        guard hasDataFile || host < dataFile.size + geometry.clusterSize else {
            throw damaged("data should lie at offset \(host), but the file has only \(dataFile.size) bytes")
        }
        try dataFile.readPadded(into: part, at: host)
    }

    /// What the backing image has, and zeros where it ends.
    func readBelow(into part: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(UrsaError) {
        guard let backing, offset < backing.size else { return zero(part) }
        let count = Int(min(UInt64(part.count), backing.size - offset))
        try backing.read(into: UnsafeMutableRawBufferPointer(rebasing: part[..<count]), at: offset)
        if count < part.count { zero(UnsafeMutableRawBufferPointer(rebasing: part[count...])) }
    }

    func zero(_ part: UnsafeMutableRawBufferPointer) {
        if let base = part.baseAddress { memset(base, 0, part.count) }
    }

    // ---- compressed clusters ----------------------------------------------------------------------------------------

    /// Where the bytes of a compressed cluster lie, and how many there are at most: whole sectors, the last of which may
    /// belong to another one too.
    func compressedRange(_ entry: UInt64) throws(UrsaError) -> (offset: UInt64, count: Int) {
        let bits = UInt64(geometry.compressedOffsetBits)
        let offset = entry & ((1 << bits) - 1)
        let sectors = (entry & ~(Qcow2Entry.compressed | Qcow2Entry.copied)) >> bits + 1
        guard offset < Qcow2Entry.offsetLimit, offset < file.size else {
            throw damaged("compressed data should lie at offset \(offset), past the end of the file")
        }
        return (offset, Int(sectors) * 512 - Int(offset % 512))
    }

    private func readCompressed(
        _ entry: UInt64, into part: UnsafeMutableRawBufferPointer, from start: UInt64
    ) throws(UrsaError) {
        guard let base = part.baseAddress else { return }
        if part.count == Int(geometry.clusterSize) { return try inflate(entry, into: part) }
        if inflated.copy(entry, into: part, from: Int(start)) { return }
        let whole = inflated.buffer()
        try inflate(entry, into: whole.prefix(Int(geometry.clusterSize)))
        memcpy(base, whole.base + Int(start), part.count)
        inflated.keep(entry, whole)
    }

    /// Undoes the compression of one cluster; `output` is a cluster long.
    func inflate(_ entry: UInt64, into output: UnsafeMutableRawBufferPointer) throws(UrsaError) {
        let range = try compressedRange(entry)
        let packed = AlignedBuffer(count: range.count)
        let count = try file.readAvailable(into: packed.prefix(range.count), at: range.offset)
        let input = UnsafeRawBufferPointer(start: packed.base, count: count)
        do throws(UrsaError) {
            let produced: Int
            switch header.compression {
            case .zlib:
                produced = try Pool<Inflater>.inflaters.with { inflater throws(UrsaError) in
                    try inflater.inflate(input, into: output, form: .raw).produced
                }
            case .zstd:
                produced = try Pool<Zstandard.Decompressor>.zstandard.with { decompressor throws(UrsaError) in
                    try decompressor.decompress(input, into: output).produced
                }
            }
            guard produced == output.count else {
                throw UrsaError(.io, "\(produced) of \(output.count) bytes came out")
            }
        } catch {
            throw damaged("the compressed cluster at offset \(range.offset) can't be undone: \(error.message)")
        }
    }
}

/// The last few compressed clusters that were undone, because guests read in pieces smaller than a cluster.
final class Qcow2InflatedClusters: Sendable {
    private let entries = Locked<[(entry: UInt64, content: AlignedBuffer)]>([])
    private let clusterSize: Int
    private let limit: Int

    init(clusterSize: Int) {
        self.clusterSize = clusterSize
        limit = max(2, min(8, (1 << 20) / clusterSize))
    }

    func buffer() -> AlignedBuffer { AlignedBuffer(count: clusterSize) }

    func copy(_ entry: UInt64, into part: UnsafeMutableRawBufferPointer, from start: Int) -> Bool {
        entries.withLock { entries in
            guard let known = entries.first(where: { $0.entry == entry }), let base = part.baseAddress else {
                return false
            }
            memcpy(base, known.content.base + start, part.count)
            return true
        }
    }

    func keep(_ entry: UInt64, _ content: AlignedBuffer) {
        entries.withLock { entries in
            if entries.count >= limit { entries.removeFirst() }
            entries.append((entry, content))
        }
    }

    /// The places of compressed clusters were given to others.
    func forgetAll() { entries.withLock { $0.removeAll() } }
}
