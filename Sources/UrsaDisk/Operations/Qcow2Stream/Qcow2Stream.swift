import UrsaBase

/// Fills a new, empty qcow2 image with several threads: data and compressed data one behind the other, tables when they
/// are complete, counters at the end.
///
/// Until it is finished the file is no valid image: it must lie under a name that nobody takes for one.
final class Qcow2Stream: CopyTarget {
    private struct State {
        var space: StreamSpace
        var tables: StreamTables
    }
    private let state: Locked<State>
    private let file: ImageFile
    private let header: Qcow2Header
    private let geometry: Qcow2Geometry
    private let compresses: Bool
    private let sparse: Bool

    let alignment: UInt64
    let startsAsZeroes: Bool

    /// Whether an image can be filled this way: made a moment ago, nothing in it, all in one file.
    static func fits(_ header: Qcow2Header, _ file: ImageFile) -> Bool {
        // What a new image has at most: a header, a table of counters with its first blocks, an L1 table.
        let tables = UInt64(header.l1Size) * 8 + UInt64(header.refcountTableClusters) << UInt64(header.clusterBits)
        return !header.hasDataFile && header.snapshotCount == 0 && header.autoclear == 0
            && header.incompatible & (Qcow2Features.dirty | Qcow2Features.corrupt) == 0
            && file.size <= tables * 2 + 16 << UInt64(header.clusterBits)
    }

    /// Begins to fill an image for which `fits` holds.
    ///
    /// - Parameters:
    ///   - compresses: compress clusters, as the image's header says.
    ///   - sparse: leave out clusters of zeros.
    init(_ file: ImageFile, compresses: Bool, sparse: Bool) throws(UrsaError) {
        header = try Qcow2Header.read(file)
        self.file = file
        geometry = header.geometry
        self.compresses = compresses
        self.sparse = sparse
        alignment = geometry.clusterSize
        startsAsZeroes = header.backingFile == nil
        let data = geometry.clusters(for: header.size)
        // A compressed cluster that did not fit beside others may waste one.
        let most = data + UInt64(header.l1Size) + (compresses ? data / 8 : 0)
        state = Locked(
            State(
                space: try StreamSpace(file, header, mostClusters: most), tables: StreamTables(file, header)))
    }

    func makeWriter() throws(UrsaError) -> any PieceWriter {
        compresses ? try CompressingWriter(self) : PlainWriter(self)
    }

    func finish() throws(UrsaError) {
        var header = header
        let used = try state.withLock { (state) throws(UrsaError) -> UInt64 in
            try state.tables.finish(&state.space)
            let table = try state.space.finish()
            header.refcountTableOffset = table.offset
            header.refcountTableClusters = UInt32(table.clusters)
            return state.space.usedClusters
        }
        try file.write(try header.encoded(for: file.name), at: 0)
        // The last cluster may have been written in part.
        if file.size < used * geometry.clusterSize { try file.resize(to: used * geometry.clusterSize) }
    }

    // ---- for the writers ----------------------------------------------------------------------------------------------

    /// A run of clusters of a piece: where in its data, and where on the disk.
    struct Span {
        var position: Int
        var count: Int
        var offset: UInt64
    }

    var clusterSize: Int { Int(geometry.clusterSize) }
    var compression: Qcow2Compression { header.compression }

    /// The clusters of a piece that must be stored, joined to runs; those of zeros come apart, where they must be told.
    func spans(_ piece: Piece, _ data: UnsafeMutableRawBufferPointer) -> (data: [Span], zeroes: [Span]) {
        var spans: [Span] = []
        var zeroes: [Span] = []
        var position = 0
        for run in piece.runs {
            if run.isZero {
                zeroes.append(Span(position: 0, count: Int(run.count), offset: run.offset))
                continue
            }
            let bytes = UnsafeRawBufferPointer(rebasing: data[position..<position + Int(run.count)])
            var done = 0
            while done < bytes.count {
                let found = sparse ? ZeroScan.dataRun(bytes, from: done, block: clusterSize) : done..<bytes.count
                let part = found ?? bytes.count..<bytes.count
                if !startsAsZeroes, part.lowerBound > done {
                    zeroes.append(
                        Span(position: 0, count: part.lowerBound - done, offset: run.offset + UInt64(done)))
                }
                if !part.isEmpty {
                    spans.append(
                        Span(
                            position: position + part.lowerBound, count: part.count,
                            offset: run.offset + UInt64(part.lowerBound)))
                }
                done = part.upperBound
            }
            position += bytes.count
        }
        return (spans, zeroes)
    }

    /// Stores spans as they are, all in one run of host clusters.
    func store(_ spans: [Span], _ data: UnsafeMutableRawBufferPointer) throws(UrsaError) {
        let total = spans.reduce(UInt64(0)) { $0 + geometry.clusters(for: UInt64($1.count)) }
        guard total > 0 else { return }
        let first = try state.withLock { (state) throws(UrsaError) in try state.space.clusters(total) }
        var host = first
        for span in spans {
            try file.write(UnsafeRawBufferPointer(rebasing: data[span.position..<span.position + span.count]), at: host)
            host += geometry.clusters(for: UInt64(span.count)) * geometry.clusterSize
        }
        state.withLock { state in
            var host = first
            for span in spans {
                for number in 0..<geometry.clusters(for: UInt64(span.count)) {
                    state.tables.set(
                        span.offset + number * geometry.clusterSize, host | Qcow2Entry.copied, subclusters: 0xffff_ffff)
                    host += geometry.clusterSize
                }
            }
        }
    }

    /// Stores compressed clusters, whose bytes lie one behind the other in `packed`.
    func store(_ clusters: [(offset: UInt64, count: Int)], packed: UnsafeMutableRawBufferPointer) throws(UrsaError) {
        guard !clusters.isEmpty else { return }
        let places = try state.withLock { (state) throws(UrsaError) -> [UInt64] in
            var places: [UInt64] = []
            for cluster in clusters { places.append(try state.space.bytes(UInt64(cluster.count))) }
            return places
        }
        // Those that came to lie one behind the other go in one write.
        var (start, position, count) = (places[0], 0, clusters[0].count)
        for index in 1...clusters.count {
            if index < clusters.count, places[index] == start + UInt64(count) {
                count += clusters[index].count
                continue
            }
            try file.write(UnsafeRawBufferPointer(rebasing: packed[position..<position + count]), at: start)
            guard index < clusters.count else { break }
            (start, position, count) = (places[index], position + count, clusters[index].count)
        }
        state.withLock { state in
            for (index, cluster) in clusters.enumerated() {
                let place = places[index]
                let sectors = ((place & 511) + UInt64(cluster.count) - 1) >> 9
                let entry = Qcow2Entry.compressed | place | sectors << UInt64(geometry.compressedOffsetBits)
                state.tables.set(cluster.offset, entry, subclusters: 0)
            }
        }
    }

    /// Writes down clusters that read as zeros though a backing image says otherwise.
    func storeZeroes(_ spans: [Span], _ scratch: UnsafeMutableRawBufferPointer) throws(UrsaError) {
        guard header.version >= 3 else { return try storeOldZeroes(spans, scratch) }
        state.withLock { state in
            for span in spans {
                for number in 0..<geometry.clusters(for: UInt64(span.count)) {
                    state.tables.set(
                        span.offset + number * geometry.clusterSize, geometry.hasSubclusters ? 0 : Qcow2Entry.zero,
                        subclusters: 0xffff_ffff_0000_0000)
                }
            }
        }
    }

    /// Version 2 knows no zero clusters: they are stored.
    private func storeOldZeroes(_ spans: [Span], _ scratch: UnsafeMutableRawBufferPointer) throws(UrsaError) {
        for span in spans {
            var done = 0
            while done < span.count {
                let count = min(span.count - done, clusterSize)
                let zeroes = UnsafeMutableRawBufferPointer(rebasing: scratch[..<count])
                zeroes.initializeMemory(as: UInt8.self, repeating: 0)
                try store([Span(position: 0, count: count, offset: span.offset + UInt64(done))], zeroes)
                done += count
            }
        }
    }

    func done(_ piece: Piece) throws(UrsaError) {
        try state.withLock { (state) throws(UrsaError) in try state.tables.done(piece, &state.space) }
    }
}
