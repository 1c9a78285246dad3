import UrsaBase

// What a check may change. Raised counts reach the disk before anything else relies on them, as everywhere; lowered
// ones say of a cluster only what the tables say already. So a repair that stops anywhere can be done again.

extension Qcow2Image {
    /// From inside: opens the image for changes though it is marked, and looks for free clusters only behind all others.
    func prepareForRepair(firstUnused: UInt64) throws(UrsaError) {
        guard file.isWritable else { throw UrsaError(.permission, "\(name) is open for reading only") }
        isPrepared = true
        allocator.cursor = max(allocator.cursor, firstUnused)
        allocator.cleanFrom = max(allocator.cleanFrom, firstUnused << UInt64(geometry.clusterBits))
    }

    /// Forgets a refcount block that can't be read.
    func dropBlock(_ index: UInt64) throws(UrsaError) { refcounts.set(Int(index), 0) }

    /// Sets a count right.
    func mendCount(_ cluster: UInt64, from old: UInt64, to new: UInt64) throws(UrsaError) {
        let cursor = allocator.cursor
        defer { allocator.cursor = max(cursor, allocator.cursor) }
        if new > old, try refcountBlock(refcountIndex(cluster).block) == 0 {
            try makeBlock(for: cluster)
        }
        guard new <= geometry.largestRefcount else {
            throw UrsaError(
                .io, "cluster \(cluster) of \(name) has \(new) users, more than its refcounts can count",
                remedy: "convert the image to one with refcount_bits=64")
        }
        // At once: a count that lies may be any number.
        try setRefcount(cluster, new)
    }

    /// Makes a refcount block for clusters that are in use: it can't lie among them, but behind all others.
    private func makeBlock(for cluster: UInt64) throws(UrsaError) {
        let index = refcountIndex(cluster).block
        let place = try allocate(upTo: 1)
        if try refcountBlock(index) != 0 { return try giveBackUnused(place) }
        refcountCache.forget(place.lowerBound << UInt64(geometry.clusterBits), count: geometry.clusterSize)
        try zeroTaken(place)
        refcounts.set(Int(index), place.lowerBound << UInt64(geometry.clusterBits))
    }

    /// Takes the dirty and corrupt marks away.
    func clearMarks() throws(UrsaError) {
        let marks = Qcow2Features.dirty | Qcow2Features.corrupt
        guard header.incompatible & marks != 0 else { return }
        try barrier()
        header.incompatible &= ~marks
        try writeHeaderFields()
        noteWritten()
        try barrier()
    }
}
