import UrsaBase

/// The L2 tables of a qcow2 image that is being filled from several threads, mostly in order.
///
/// A table stays in memory until every piece below its end is done; so only those around the present place are there.
struct StreamTables {
    private let file: ImageFile
    private let geometry: Qcow2Geometry
    private var l1: [UInt64]
    private let l1Offset: UInt64
    private var open: [UInt64: [UInt8]] = [:]
    /// Ends of pieces that are done though earlier ones are not.
    private var ends: [Int: UInt64] = [:]
    private var nextPiece = 0
    private var doneBelow: UInt64 = 0

    /// The tables of a new image, all empty.
    init(_ file: ImageFile, _ header: Qcow2Header) {
        self.file = file
        geometry = header.geometry
        l1 = [UInt64](repeating: 0, count: Int(header.l1Size))
        l1Offset = header.l1Offset
    }

    /// Writes down where the cluster at a guest offset is.
    ///
    /// - Parameters:
    ///   - entry: the L2 entry.
    ///   - subclusters: the bitmap that goes with it in an image with extended L2 entries.
    mutating func set(_ offset: UInt64, _ entry: UInt64, subclusters: UInt64) {
        let index = geometry.l1Index(offset)
        let place = geometry.l2Index(offset) << geometry.l2EntryBits
        let (size, hasSubclusters) = (Int(geometry.clusterSize), geometry.hasSubclusters)
        func store(_ table: inout [UInt8]) {
            table.storeBigEndian(entry, at: place)
            if hasSubclusters { table.storeBigEndian(subclusters, at: place + 8) }
        }
        store(&open[index, default: [UInt8](repeating: 0, count: size)])
    }

    /// Notes that a piece is done; writes the tables that nothing will change any more.
    mutating func done(_ piece: Piece, _ space: inout StreamSpace) throws(UrsaError) {
        ends[piece.number] = piece.end
        while let end = ends.removeValue(forKey: nextPiece) {
            nextPiece += 1
            doneBelow = end
        }
        for index in open.keys.sorted() where (index + 1) * geometry.l2Coverage <= doneBelow {
            try write(index, &space)
        }
    }

    private mutating func write(_ index: UInt64, _ space: inout StreamSpace) throws(UrsaError) {
        guard let table = open.removeValue(forKey: index) else { return }
        guard index < UInt64(l1.count) else { throw UrsaError(.bug, "an L1 table that is too small") }
        let offset = try space.clusters(1)
        try file.write(table, at: offset)
        l1[Int(index)] = offset | Qcow2Entry.copied
    }

    /// Writes all that is left, and the L1 table.
    mutating func finish(_ space: inout StreamSpace) throws(UrsaError) {
        for index in open.keys.sorted() { try write(index, &space) }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(l1.count * 8)
        for entry in l1 { bytes.appendBigEndian(entry) }
        try file.write(bytes, at: l1Offset)
    }
}
