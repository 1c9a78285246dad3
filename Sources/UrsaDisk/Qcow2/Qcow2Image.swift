import Synchronization
public import UrsaBase

/// A qcow2 image, version 2 or 3, for reading and writing (QEMU, docs/interop/qcow2.txt).
///
/// **Threads.** Any number of threads may read and write. One monitor guards the tables; the bytes of the guest move
/// outside of it. A write that needs new clusters notes the guest clusters it works on, so that a second one to the
/// same clusters waits; readers see the old mapping until the data is in place.
///
/// **Order.** Whatever write the power fails at, flushed data is there and at most clusters leak. `writeBack` sends
/// tables to the file in this order, with a barrier (fdatasync) at each arrow that something has to cross:
///
///     data, refcounts raised → refcount table → L2 tables → L1 table → (refcounts lowered)
///
/// - A refcount is on the disk before anything that counts on it, the data before the entry that points at it (also the
///   copied parts of a cluster, which may be old, flushed data).
/// - A cluster that lost its last user keeps its refcount until the entry that pointed at it is gone from the disk, and
///   until no reader or writer that found it through that entry is at work (`freed`, `applyFrees`). Only then somebody
///   else may get it.
/// - What changes many tables at once (snapshots, shrinking, repair, emptying) writes new copies of everything it
///   touches, refcounts included, and then one sector: the header (`Qcow2Image+Transaction.swift`).
///
/// **Memory.** L1 table and refcount table are held whole (at most 32 and 8 MiB, by the format's own limits in QEMU);
/// L2 tables and refcount blocks in slices of 4 KiB in caches of fixed size.
public final class Qcow2Image: DiskWriter, @unchecked Sendable {
    // SAFETY: the properties below `monitor` are read and changed only inside it.

    /// How an image is opened.
    public struct Options: Sendable {
        /// Bytes of L2 tables in memory at most; 4 MiB map 32 GiB of a disk with clusters of 64 KiB.
        public var l2CacheSize = 4 << 20
        /// Bytes of refcount blocks in memory at most.
        public var refcountCacheSize = 1 << 20
        /// Gives the space of freed clusters back to the filesystem.
        public var unmapsFreed = true
        /// Opens an image that is marked dirty or corrupt as it is, for checking and mending.
        public var forRepair = false

        /// The defaults.
        public init() {}
    }

    /// Which format this is.
    public var format: DiskFormat { .qcow2 }
    /// The file's path.
    public var name: String { file.name }
    /// Bytes of the disk.
    public var size: UInt64 { knownSize.load(ordering: .acquiring) }
    /// Bytes of a cluster.
    public var clusterSize: UInt64? { geometry.clusterSize }
    /// What is read where the image says nothing.
    public let backing: (any DiskReader)?

    /// The file of the tables.
    public let file: ImageFile
    /// The file of the guest's data: the same, or the external data file.
    public let dataFile: ImageFile
    let hasDataFile: Bool
    let geometry: Qcow2Geometry
    let options: Options
    let knownSize: Atomic<UInt64>

    let monitor = Monitor()
    var header: Qcow2Header
    var l1: [UInt64]
    /// L1 entries that the file does not have yet, as a range of indices.
    var changedL1: Range<Int>?
    let l2Cache: Qcow2MetadataCache
    let refcountCache: Qcow2MetadataCache
    var refcounts: Qcow2RefcountTable
    var allocator = Qcow2Allocator()
    /// Guest clusters that writers are giving new host clusters to.
    var busy: [Range<UInt64>] = []
    /// Clusters whose refcount is to be lowered by one when the tables that pointed at them are on the disk.
    var freed: [Range<UInt64>] = []
    /// Whether anything was written since the last barrier.
    let needsBarrier = Atomic<Bool>(false)
    /// Held by who waits for stable storage. Taken inside of `monitor` or without it, never the other way round.
    let syncing = Monitor()
    /// Readers and writers that are at work on host clusters outside of the monitor.
    let atWork = Atomic<Int>(0)
    let someoneDrains = Atomic<Bool>(false)
    /// Whether `freed` holds anything, for those outside of the monitor.
    let hasFreed = Atomic<Bool>(false)
    var isPrepared = false
    var isClosed = false
    var broken: UrsaError?
    var bitmaps = Qcow2BitmapTracking()
    let inflated: Qcow2InflatedClusters

    /// The header as it is now.
    public var currentHeader: Qcow2Header { monitor.inside { header } }

    /// Opens an image whose header was read already. It is written to when its file is open for writing; then a dirty
    /// image is mended first.
    ///
    /// - Parameters:
    ///   - dataFile: the external data file, for images that have one.
    ///   - backing: what is read where the image says nothing. The image's own words about it are the caller's to judge.
    public init(
        file: ImageFile, header: Qcow2Header, dataFile: ImageFile? = nil, backing: (any DiskReader)? = nil,
        options: Options = Options()
    ) throws(UrsaError) {
        guard header.hasDataFile == (dataFile != nil) else {
            throw UrsaError(
                .usage,
                header.hasDataFile
                    ? "\(file.name) keeps its data in an external data file, which was not given"
                    : "\(file.name) has no external data file, but one was given")
        }
        self.file = file
        self.dataFile = dataFile ?? file
        hasDataFile = dataFile != nil
        self.header = header
        self.backing = backing
        self.options = options
        let geometry = header.geometry
        self.geometry = geometry
        knownSize = Atomic(header.size)
        l2Cache = Qcow2MetadataCache(file: file, sliceSize: geometry.sliceSize, capacity: options.l2CacheSize)
        refcountCache = Qcow2MetadataCache(
            file: file, sliceSize: geometry.sliceSize, capacity: options.refcountCacheSize)
        inflated = Qcow2InflatedClusters(clusterSize: Int(geometry.clusterSize))
        l1 = try Qcow2Image.readTable(file, at: header.l1Offset, entries: Int(header.l1Size), "L1 table")
        // A reader has no use for refcounts: images with damaged ones can be read.
        let entries = Int(header.refcountTableClusters) << (geometry.clusterBits - 3)
        refcounts = Qcow2RefcountTable(
            table: file.isWritable || options.forRepair
                ? try Qcow2Image.readTable(
                    file, at: header.refcountTableOffset, entries: entries, "refcount table",
                    padded: options.forRepair) : [],
            offset: header.refcountTableOffset, clusters: Int(header.refcountTableClusters))
        guard file.isWritable, !options.forRepair else { return }
        if header.incompatible & Qcow2Features.corrupt != 0 {
            throw UrsaError(
                .io, "\(file.name) is marked corrupt, so it can only be read", remedy: "ursa image check -r all FILE")
        }
        if header.incompatible & Qcow2Features.dirty != 0 { try mendDirty() }
    }

    deinit { if !isClosed { try? close() } }

    /// A table of 64-bit entries, all of which must lie in the file.
    static func readTable(
        _ file: ImageFile, at offset: UInt64, entries: Int, _ what: String, padded: Bool = false
    ) throws(UrsaError) -> [UInt64] {
        guard entries > 0 else { return [] }
        let length = UInt64(entries) * 8
        guard padded || (offset <= file.size && length <= file.size - offset) else {
            throw UrsaError(
                .io,
                "\(file.name) is damaged: its \(what) of \(length) bytes at offset \(offset) is past the file's end",
                remedy: "restore it from a copy")
        }
        var table = [UInt64](repeating: 0, count: entries)
        let failure: UrsaError? = table.withUnsafeMutableBytes { buffer in
            do throws(UrsaError) { try file.readPadded(into: buffer, at: offset) } catch { return error }
            return nil
        }
        if let failure { throw failure }
        for index in table.indices { table[index] = UInt64(bigEndian: table[index]) }
        return table
    }

    // ---- what goes wrong --------------------------------------------------------------------------------------------

    func damaged(_ what: String) -> UrsaError {
        UrsaError(.io, "\(file.name) is damaged: \(what)", remedy: "look at it with: ursa image check \(file.name)")
    }

    func checkRange(_ offset: UInt64, _ count: UInt64) throws(UrsaError) {
        let size = size
        guard offset <= size, count <= size - offset else {
            throw UrsaError(
                .usage, "\(count) bytes at offset \(offset) lie past the end of \(name), a disk of \(size) bytes")
        }
    }

    // ---- who is at work on clusters ---------------------------------------------------------------------------------

    /// From inside the monitor: somebody goes to work on host clusters that were found through the tables.
    func beginWork() { atWork.add(1, ordering: .acquiringAndReleasing) }

    /// From outside: has done so.
    func endWork() {
        let (_, left) = atWork.subtract(1, ordering: .sequentiallyConsistent)
        if left == 0, someoneDrains.load(ordering: .sequentiallyConsistent) { monitor.inside { monitor.signal() } }
    }

    /// From inside, before new work: lets somebody who waits for all others go first.
    func giveWay() {
        while someoneDrains.load(ordering: .sequentiallyConsistent) { monitor.wait() }
    }

    /// From inside: waits until nobody is at work and no cluster is busy. The monitor is open meanwhile.
    func drain() {
        defer { monitor.signal() }
        while atWork.load(ordering: .sequentiallyConsistent) > 0 || !busy.isEmpty {
            someoneDrains.store(true, ordering: .sequentiallyConsistent)
            if atWork.load(ordering: .sequentiallyConsistent) > 0 || !busy.isEmpty { monitor.wait() }
        }
        someoneDrains.store(false, ordering: .sequentiallyConsistent)
    }
}
