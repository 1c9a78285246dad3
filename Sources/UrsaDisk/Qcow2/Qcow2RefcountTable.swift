/// The refcount table in memory, and what of it the file does not have yet.
struct Qcow2RefcountTable {
    /// File offsets of the refcount blocks; 0 where there is none.
    var table: [UInt64]
    /// Where the table lies in the file, and how many clusters it takes there.
    var offset: UInt64
    var clusters: Int
    /// Entries that the file does not have yet.
    var changed: Range<Int>?
    /// Where the table goes with the next write-back, when it outgrew its place.
    var newPlace: (offset: UInt64, clusters: Int)?
    /// During a transaction: the blocks that have been given a new place already.
    var shadowed: Set<Int>?
    /// During a transaction: clusters of the old tables, to be given back when the new ones count.
    var replaced: [Range<UInt64>] = []

    mutating func set(_ index: Int, _ offset: UInt64) {
        table[index] = offset
        changed = changed.map { min($0.lowerBound, index)..<max($0.upperBound, index + 1) } ?? index..<(index + 1)
    }
}

/// Where free clusters are looked for.
struct Qcow2Allocator {
    /// Every cluster below is in use.
    var cursor: UInt64 = 0
    /// Bytes of the file from which on nothing was ever written: clusters there read as zeros.
    var cleanFrom: UInt64 = 0
    /// Next free byte of the cluster that compressed data was last put into; 0 for none.
    var compressedByte: UInt64 = 0
    /// At the end of a transaction: what became free in it, which must not be used before the transaction counts. The
    /// lowest of them, and the runs, as long as they are not too many to remember.
    var freedInTransaction: (lowest: UInt64, runs: [Range<UInt64>])?

    mutating func noteFree(_ cluster: UInt64) {
        guard let noted = freedInTransaction else { return cursor = min(cursor, cluster) }
        freedInTransaction?.lowest = min(noted.lowest, cluster)
        if noted.runs.count < 65536 { freedInTransaction?.runs.appendRun(cluster..<(cluster + 1)) }
    }
}

extension [Range<UInt64>] {
    /// Adds a run, joined with the last one where they touch.
    mutating func appendRun(_ run: Range<UInt64>) {
        if let last = indices.last, self[last].upperBound == run.lowerBound {
            self[last] = self[last].lowerBound..<run.upperBound
        } else {
            append(run)
        }
    }
}
