import Glibc
import UrsaBase

/// Where clusters of a qcow2 image lie, for the one thread that serves a queue: copies of L2 slices that it reads
/// without any lock.
///
/// An entry may be stale in one way only: a cluster may have got a new place since (a copy on write). Whoever causes
/// that through the queue forgets the slice before the request counts as complete. Clusters never lose their place while
/// requests are on their way: discards and the like go alone.
final class Qcow2QueueMap {
    static let valid: UInt64 = 1
    /// May be written in place.
    static let owned: UInt64 = 2
    private static let slices = 256

    private let geometry: Qcow2Geometry
    private let entriesPerSlice: Int
    private let sliceShift: UInt64
    /// Number of the slice in each place, plus one; 0 for none.
    private let keys: UnsafeMutablePointer<UInt64>
    private let entries: UnsafeMutablePointer<UInt64>

    init(_ geometry: Qcow2Geometry) {
        self.geometry = geometry
        entriesPerSlice = geometry.sliceSize >> geometry.l2EntryBits
        sliceShift = UInt64(geometry.clusterBits + entriesPerSlice.trailingZeroBitCount)
        keys = .allocate(capacity: Qcow2QueueMap.slices)
        keys.initialize(repeating: 0, count: Qcow2QueueMap.slices)
        // Not initialised: a slice is filled before its key is set, and memory that is not used is not taken.
        entries = .allocate(capacity: Qcow2QueueMap.slices * entriesPerSlice)
    }

    deinit {
        keys.deallocate()
        entries.deallocate()
    }

    /// The file offset of a run of guest bytes that lies in one piece in the file, or nil when it does not, is not all
    /// there, or has to be found by the image.
    @inline(__always)
    func place(_ offset: UInt64, _ count: UInt64, writing: Bool, _ image: Qcow2Image) -> UInt64? {
        let needed = writing ? Qcow2QueueMap.valid | Qcow2QueueMap.owned : Qcow2QueueMap.valid
        guard let first = entry(offset, image), first & needed == needed else { return nil }
        let start = (first & ~511) + geometry.inCluster(offset)
        var covered = geometry.clusterSize - geometry.inCluster(offset)
        while covered < count {
            guard let next = entry(offset + covered, image), next & needed == needed, next & ~511 == start + covered
            else {
                return nil
            }
            covered += geometry.clusterSize
        }
        return start
    }

    @inline(__always)
    private func entry(_ offset: UInt64, _ image: Qcow2Image) -> UInt64? {
        let slice = offset >> sliceShift
        let place = Int(slice % UInt64(Qcow2QueueMap.slices))
        if keys[place] != slice + 1 {
            keys[place] = 0
            guard image.copySlice(at: slice << sliceShift, into: entries + place * entriesPerSlice) else { return nil }
            keys[place] = slice + 1
        }
        let index = Int(offset >> UInt64(geometry.clusterBits)) & (entriesPerSlice - 1)
        return entries[place * entriesPerSlice + index]
    }

    /// Clusters of a range may have got places.
    func forget(_ offset: UInt64, _ count: UInt64) {
        guard count > 0 else { return }
        let last = (offset + count - 1) >> sliceShift
        guard last - (offset >> sliceShift) < UInt64(Qcow2QueueMap.slices) else { return forgetAll() }
        for slice in (offset >> sliceShift)...last {
            let place = Int(slice % UInt64(Qcow2QueueMap.slices))
            if keys[place] == slice + 1 { keys[place] = 0 }
        }
    }

    func forgetAll() { for place in 0..<Qcow2QueueMap.slices { keys[place] = 0 } }
}

extension Qcow2Image {
    /// Copies what a slice of an L2 table says of data in the file: offset and marks of `Qcow2QueueMap` for whole
    /// clusters of plain data, 0 for everything else. False when the slice is not in memory.
    func copySlice(at offset: UInt64, into entries: UnsafeMutablePointer<UInt64>) -> Bool {
        let count = geometry.sliceSize >> geometry.l2EntryBits
        return monitor.inside {
            let index = geometry.l1Index(offset)
            guard index < UInt64(l1.count) else { return false }
            let entry = l1[Int(index)]
            let table = entry & Qcow2Entry.offsetMask
            guard table != 0, entry & Qcow2Entry.reservedL1 == 0, geometry.inCluster(table) == 0 else { return false }
            let isTableOwned = entry & Qcow2Entry.copied != 0
            let start = UInt64(geometry.l2Index(offset) << geometry.l2EntryBits)
            guard let base = l2Cache.present(table + start) else { return false }
            for number in 0..<count {
                let position = number << geometry.l2EntryBits
                let guest = offset + UInt64(number) * geometry.clusterSize
                guard let found = try? subcluster(base, position, guest, isTableOwned: isTableOwned),
                    found.kind == .data
                else {
                    entries[number] = 0
                    continue
                }
                if geometry.hasSubclusters, base.bigEndian(position + 8, as: UInt64.self) != 0xffff_ffff {
                    entries[number] = 0
                    continue
                }
                entries[number] = found.host | Qcow2QueueMap.valid | (found.isOwned ? Qcow2QueueMap.owned : 0)
            }
            return true
        }
    }

    /// Writes tables back and waits for stable storage, without giving freed clusters back: requests on their way may
    /// still be reading them.
    func flushKeepingFrees() throws(UrsaError) {
        monitor.enter()
        defer { monitor.leave() }
        try writeBack()
        try barrier()
    }

    /// Makes the image ready for writes that go past it: what the format asks for before the first change.
    func prepareForRequests() throws(UrsaError) {
        try monitor.inside { () throws(UrsaError) in try prepare() }
    }

    /// Whether every write must be told to bitmaps.
    var tracksWrites: Bool { monitor.inside { bitmapsFollow } }
}
