import Glibc
public import UrsaBase

// Internal snapshots. A snapshot is an L1 table of its own; tables and clusters that several of them use are counted
// that often, and those of the active table that have one user say so in their entries (the "copied" bit). All of it
// changes in one transaction.

extension Qcow2Image {
    /// The snapshots of the image, in the order of their table.
    public func snapshots() throws(UrsaError) -> [Qcow2Snapshot] {
        try Qcow2Snapshot.read(file, currentHeader).list
    }

    /// The snapshot with that id or, when there is none, the first with that name.
    public static func find(_ idOrName: String, in list: [Qcow2Snapshot]) -> Qcow2Snapshot? {
        list.first { $0.id == idOrName } ?? list.first { $0.name == idOrName }
    }

    /// Keeps the disk's present content as a snapshot.
    @discardableResult
    public func createSnapshot(name: String) throws(UrsaError) -> Qcow2Snapshot {
        guard name.utf8.count <= 65535, !name.isEmpty else {
            throw UrsaError(.usage, "a snapshot's name has 1 to 65535 bytes")
        }
        guard !hasDataFile else { throw noSnapshots }
        monitor.enter()
        defer { monitor.leave() }
        let (list, oldTable) = try Qcow2Snapshot.read(file, header)
        guard list.count < 65536 else {
            throw UrsaError(.io, "\(self.name) has 65536 snapshots, the most there can be")
        }
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        let highest = list.compactMap { UInt64($0.id) }.max() ?? 0
        var snapshot = Qcow2Snapshot(
            id: "\(highest &+ 1)", name: name, seconds: UInt32(truncatingIfNeeded: time.tv_sec),
            nanoseconds: UInt32(time.tv_nsec), guestClock: 0, machineStateSize: 0, diskSize: header.size,
            instructionCount: .max, l1Offset: 0, l1Size: 0)
        let oldHeader = header
        var givenUp: [Range<UInt64>] = []
        try transaction { new throws(UrsaError) in
            // Both the snapshot and the disk use all tables and clusters now, so nobody may write to them in place.
            var shared = [UInt64](repeating: 0, count: l1.count)
            var seen: Set<UInt64> = []
            for index in l1.indices where l1[index] & Qcow2Entry.offsetMask != 0 {
                let table = try checkedTable(l1[index])
                guard seen.insert(table).inserted else {
                    throw damaged("its L1 table uses the L2 table at offset \(table) twice")
                }
                try changeCounts(ofTable: table, raise: true)
                if try hasOwned(table) {
                    let copy = try copyOfTable(table, keepingOwned: { _ in false })
                    let cluster = copy >> UInt64(geometry.clusterBits)
                    try changeRefcounts(cluster..<(cluster + 1), raise: true)
                    shared[index] = copy
                    givenUp.appendRun(
                        table >> UInt64(geometry.clusterBits)..<(table >> UInt64(geometry.clusterBits)) + 1)
                } else {
                    let cluster = table >> UInt64(geometry.clusterBits)
                    try changeRefcounts(cluster..<(cluster + 1), raise: true)
                    shared[index] = table
                }
            }
            snapshot.l1Offset = try writeNewTable(shared)
            snapshot.l1Size = UInt32(shared.count)
            new.l1Offset = try writeNewTable(shared)
            l1 = shared
            try writeSnapshots(list + [snapshot], &new)
        } lower: { new throws(UrsaError) in
            for run in givenUp { try changeRefcounts(run, raise: false) }
            try giveUpTable(oldHeader.l1Offset, Int(oldHeader.l1Size) * 8)
            try giveUpTable(oldHeader.snapshotsOffset, oldTable)
        }
        return snapshot
    }

    /// Makes the disk's content and size those of a snapshot, by id or name. What the disk held is lost.
    public func applySnapshot(_ idOrName: String) throws(UrsaError) {
        monitor.enter()
        defer { monitor.leave() }
        guard let snapshot = Qcow2Image.find(idOrName, in: try Qcow2Snapshot.read(file, header).list) else {
            throw notFound(idOrName)
        }
        let size = snapshot.diskSize ?? header.size
        guard size <= UInt64(Int64.max), geometry.l1Entries(for: size) <= UInt64(snapshot.l1Size) else {
            throw damaged("snapshot \(snapshot.id) has an L1 table too small for its disk of \(size) bytes")
        }
        try refuseBitmaps(unless: size == header.size, "to take on the size of snapshot \(snapshot.id)")
        try prepare()
        noteDirty(0, header.size)
        let old = (header, l1)
        try transaction { new throws(UrsaError) in
            let table = try Qcow2Image.readTable(
                file, at: snapshot.l1Offset, entries: Int(snapshot.l1Size), "L1 table of snapshot \(snapshot.id)")
            try changeCounts(of: table, raise: true)
            l1 = table.map { $0 & ~Qcow2Entry.copied }
            new.l1Size = UInt32(table.count)
            new.size = size
        } lower: { new throws(UrsaError) in
            try changeCounts(of: old.1, raise: false)
            try giveUpTable(old.0.l1Offset, Int(old.0.l1Size) * 8)
            try settleOwners()
            new.l1Offset = try writeNewTable(l1)
        }
    }

    /// Deletes a snapshot, by id or name.
    public func deleteSnapshot(_ idOrName: String) throws(UrsaError) {
        monitor.enter()
        defer { monitor.leave() }
        var (list, oldTable) = try Qcow2Snapshot.read(file, header)
        guard let snapshot = Qcow2Image.find(idOrName, in: list), let index = list.firstIndex(of: snapshot) else {
            throw notFound(idOrName)
        }
        list.remove(at: index)
        let old = header
        let left = list
        try transaction { new throws(UrsaError) in
            try writeSnapshots(left, &new)
        } lower: { new throws(UrsaError) in
            let table = try Qcow2Image.readTable(
                file, at: snapshot.l1Offset, entries: Int(snapshot.l1Size), "L1 table of snapshot \(snapshot.id)")
            try changeCounts(of: table, raise: false)
            try giveUpTable(snapshot.l1Offset, table.count * 8)
            try giveUpTable(old.snapshotsOffset, oldTable)
            let before = l1
            try settleOwners()
            guard l1 != before else { return }
            new.l1Offset = try writeNewTable(l1)
            try giveUpTable(old.l1Offset, Int(old.l1Size) * 8)
        }
    }

    /// Makes the disk read as its backing image, or as zeros: everything that it holds is given up, at once.
    public func makeEmpty() throws(UrsaError) {
        monitor.enter()
        defer { monitor.leave() }
        try prepare()
        noteDirty(0, size)
        let old = (header, l1)
        try transaction { new throws(UrsaError) in
            l1 = [UInt64](repeating: 0, count: old.1.count)
            new.l1Offset = try writeNewTable(l1)
        } lower: { new throws(UrsaError) in
            try changeCounts(of: old.1, raise: false)
            try giveUpTable(old.0.l1Offset, Int(old.0.l1Size) * 8)
        }
        try trimFile()
    }

    private var noSnapshots: UrsaError {
        UrsaError(.unsupported, "\(name) has an external data file, so it can't have internal snapshots")
    }

    private func notFound(_ idOrName: String) -> UrsaError {
        UrsaError(.notFound, "\(name) has no snapshot '\(idOrName)'", remedy: "list them with: ursa image snapshot -l")
    }

    // ---- tables -----------------------------------------------------------------------------------------------------

    /// Writes a table of 64-bit entries to new clusters; returns where.
    func writeNewTable(_ entries: [UInt64]) throws(UrsaError) -> UInt64 {
        let bytes = max(1, UInt64(entries.count) * 8)
        let run = try allocateContiguous(geometry.clusters(for: bytes))
        try zeroTaken(run)
        let offset = run.lowerBound << UInt64(geometry.clusterBits)
        try writeTable(entries, at: offset)
        return offset
    }

    private func writeSnapshots(_ list: [Qcow2Snapshot], _ new: inout Qcow2Header) throws(UrsaError) {
        new.snapshotCount = UInt32(list.count)
        new.snapshotsOffset = 0
        guard !list.isEmpty else { return }
        let bytes = Qcow2Snapshot.encode(list)
        guard bytes.count <= Qcow2Snapshot.largestTable else {
            throw UrsaError(.io, "the snapshot table of \(name) would be larger than 64 MiB")
        }
        let run = try allocateContiguous(geometry.clusters(for: UInt64(bytes.count)))
        try zeroTaken(run)
        new.snapshotsOffset = run.lowerBound << UInt64(geometry.clusterBits)
        try file.write(bytes, at: new.snapshotsOffset)
        noteWritten()
    }

    /// Gives up the clusters of a table that lies in a row.
    func giveUpTable(_ offset: UInt64, _ bytes: Int) throws(UrsaError) {
        guard offset != 0 else { return }
        let first = offset >> UInt64(geometry.clusterBits)
        try changeRefcounts(first..<(first + geometry.clusters(for: UInt64(max(1, bytes)))), raise: false)
    }

    func checkedTable(_ entry: UInt64) throws(UrsaError) -> UInt64 {
        let table = entry & Qcow2Entry.offsetMask
        guard entry & Qcow2Entry.reservedL1 == 0, geometry.inCluster(table) == 0 else {
            throw damaged("an L1 entry is 0x\(String(entry, radix: 16))")
        }
        return table
    }

    // ---- counting ---------------------------------------------------------------------------------------------------

    /// Changes the counts of all that an L1 table reaches, its L2 tables included.
    func changeCounts(of table: [UInt64], raise: Bool) throws(UrsaError) {
        // A table that names one L2 table thousands of times would take for ever.
        var seen: Set<UInt64> = []
        for entry in table where entry & Qcow2Entry.offsetMask != 0 {
            let l2 = try checkedTable(entry)
            guard seen.insert(l2).inserted else { throw damaged("an L1 table uses the L2 table at offset \(l2) twice") }
            try changeCounts(ofTable: l2, raise: raise)
            let cluster = l2 >> UInt64(geometry.clusterBits)
            try changeRefcounts(cluster..<(cluster + 1), raise: raise)
        }
    }

    /// Changes the counts of the clusters that an L2 table points at, runs of them at once.
    func changeCounts(ofTable table: UInt64, from start: Int = 0, raise: Bool) throws(UrsaError) {
        var run: Range<UInt64> = 0..<0
        try eachEntry(of: table) { index, entry, _ throws(UrsaError) in
            guard index >= start else { return }
            let next: Range<UInt64>
            if entry & Qcow2Entry.compressed != 0 {
                let range = try compressedRange(entry)
                let first = range.offset >> UInt64(geometry.clusterBits)
                next = first..<(((range.offset + UInt64(range.count) - 1) >> UInt64(geometry.clusterBits)) + 1)
            } else {
                let host = entry & Qcow2Entry.offsetMask
                guard host != 0, !hasDataFile else { return }
                guard geometry.inCluster(host) == 0 else {
                    throw damaged("an L2 entry is 0x\(String(entry, radix: 16))")
                }
                next = (host >> UInt64(geometry.clusterBits))..<((host >> UInt64(geometry.clusterBits)) + 1)
            }
            if next.lowerBound == run.upperBound, !run.isEmpty {
                run = run.lowerBound..<next.upperBound
            } else {
                if !run.isEmpty { try changeRefcounts(run, raise: raise) }
                run = next
            }
        }
        if !run.isEmpty { try changeRefcounts(run, raise: raise) }
    }

    /// Calls `body` with index, entry and bitmap of each used entry of an L2 table. It may use the caches.
    func eachEntry(
        of table: UInt64, _ body: (Int, UInt64, UInt64) throws(UrsaError) -> Void
    ) throws(UrsaError) {
        let scratch = AlignedBuffer(count: geometry.sliceSize)
        var index = 0
        for start in stride(from: 0, to: geometry.clusterSize, by: geometry.sliceSize) {
            try loadSlice(table + start, into: scratch.base)
            for position in stride(from: 0, to: geometry.sliceSize, by: geometry.l2EntrySize) {
                let entry: UInt64 = scratch.base.bigEndian(position)
                let bitmap: UInt64 = geometry.hasSubclusters ? scratch.base.bigEndian(position + 8) : 0
                if entry | bitmap != 0 { try body(index, entry, bitmap) }
                index += 1
            }
        }
    }

    private func loadSlice(_ offset: UInt64, into scratch: UnsafeMutableRawPointer) throws(UrsaError) {
        while true {
            if let source = try l2Cache.slice(offset, writing: false) {
                memcpy(scratch, source, geometry.sliceSize)
                return
            }
            try makeRoom()
        }
    }

    /// During a transaction new tables may go to the file at any time, since nothing points at them yet.
    private func makeRoom() throws(UrsaError) {
        guard refcounts.shadowed != nil else { return try writeBack() }
        try l2Cache.writeDirty()
        noteWritten()
    }

    /// Whether an L2 table calls any cluster its own.
    private func hasOwned(_ table: UInt64) throws(UrsaError) -> Bool {
        var found = false
        try eachEntry(of: table) { _, entry, _ throws(UrsaError) in
            if entry & Qcow2Entry.copied != 0 { found = true }
        }
        return found
    }

    /// A copy of an L2 table in a new cluster, whose entries are called its own where `keepingOwned` says so.
    private func copyOfTable(
        _ table: UInt64, keepingOwned: (UInt64) throws(UrsaError) -> Bool
    ) throws(UrsaError) -> UInt64 {
        let run = try allocate(upTo: 1)
        let new = run.lowerBound << UInt64(geometry.clusterBits)
        l2Cache.forget(new, count: geometry.clusterSize)
        try zeroTaken(run)
        let scratch = AlignedBuffer(count: geometry.sliceSize)
        for start in stride(from: 0, to: geometry.clusterSize, by: geometry.sliceSize) {
            try loadSlice(table + start, into: scratch.base)
            for position in stride(from: 0, to: geometry.sliceSize, by: geometry.l2EntrySize) {
                let entry: UInt64 = scratch.base.bigEndian(position)
                guard entry != 0, entry & Qcow2Entry.compressed == 0 else { continue }
                let hasHost = entry & Qcow2Entry.offsetMask != 0
                let owned = hasHost ? try keepingOwned(entry) : false
                scratch.base.storeBigEndian(
                    owned ? entry | Qcow2Entry.copied : entry & ~Qcow2Entry.copied, position)
            }
            while true {
                guard let target = l2Cache.fresh(new + start) else { try makeRoom(); continue }
                memcpy(target, scratch.base, geometry.sliceSize)
                break
            }
        }
        return new
    }

    /// Makes the active tables say of each cluster whether it is their own, as the counts have it now. Tables in which
    /// that changes are copied.
    func settleOwners() throws(UrsaError) {
        for index in l1.indices where l1[index] & Qcow2Entry.offsetMask != 0 {
            let table = try checkedTable(l1[index])
            let isOwned = try refcount(table >> UInt64(geometry.clusterBits)) == 1
            var changes = false
            try eachEntry(of: table) { _, entry, _ throws(UrsaError) in
                let host = entry & Qcow2Entry.offsetMask
                guard !changes, entry & Qcow2Entry.compressed == 0, host != 0 else { return }
                let should = try refcount(host >> UInt64(geometry.clusterBits)) == 1
                if should != (entry & Qcow2Entry.copied != 0) { changes = true }
            }
            guard changes else {
                l1[index] = isOwned ? table | Qcow2Entry.copied : table
                continue
            }
            let copy = try copyOfTable(table) { entry throws(UrsaError) in
                try refcount((entry & Qcow2Entry.offsetMask) >> UInt64(geometry.clusterBits)) == 1
            }
            l1[index] = copy | Qcow2Entry.copied
            let cluster = table >> UInt64(geometry.clusterBits)
            try changeRefcounts(cluster..<(cluster + 1), raise: false)
        }
    }
}
