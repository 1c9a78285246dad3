/// Sizes that follow from a qcow2 header: how guest offsets divide into tables and clusters.
public struct Qcow2Geometry: Sendable, Equatable {
    /// Largest tables that are read, those of QEMU: it refuses images with larger ones too.
    static let largestL1: UInt64 = 32 << 20
    static let largestRefcountTable: UInt64 = 8 << 20
    static let clusterBitsRange = 9...21

    let clusterBits: Int
    let clusterSize: UInt64
    let hasSubclusters: Bool
    /// log2 of the bytes of a refcount times eight: 0 (one bit) to 6 (64 bits).
    let refcountOrder: Int

    init(clusterBits: Int, extendedL2: Bool, refcountOrder: Int) {
        self.clusterBits = clusterBits
        clusterSize = 1 << UInt64(clusterBits)
        hasSubclusters = extendedL2
        self.refcountOrder = refcountOrder
        l2EntryBits = extendedL2 ? 4 : 3
        l2Bits = clusterBits - (extendedL2 ? 4 : 3)
        subclusterBits = extendedL2 ? clusterBits - 5 : clusterBits
        refcountBlockBits = clusterBits + 3 - refcountOrder
        sliceSize = min(Int(clusterSize), 4096)
        compressedOffsetBits = 62 - (clusterBits - 8)
    }

    let l2EntryBits: Int
    /// log2 of the entries of an L2 table.
    let l2Bits: Int
    let subclusterBits: Int
    /// log2 of the refcounts of a refcount block.
    let refcountBlockBits: Int
    /// The unit in which tables are cached, in bytes.
    let sliceSize: Int
    let compressedOffsetBits: Int

    var l2EntrySize: Int { 1 << l2EntryBits }
    var subclusterSize: UInt64 { 1 << UInt64(subclusterBits) }
    var subclustersPerCluster: Int { hasSubclusters ? 32 : 1 }
    var refcountBits: Int { 1 << refcountOrder }
    var largestRefcount: UInt64 { refcountOrder == 6 ? .max : (1 << UInt64(refcountBits)) - 1 }
    /// Guest bytes that one L2 table maps: at most 2^39.
    var l2Coverage: UInt64 { 1 << UInt64(clusterBits + l2Bits) }

    @inline(__always)
    func l1Index(_ offset: UInt64) -> UInt64 { offset >> UInt64(clusterBits + l2Bits) }
    @inline(__always)
    func l2Index(_ offset: UInt64) -> Int { Int((offset >> UInt64(clusterBits)) & ((1 << UInt64(l2Bits)) - 1)) }
    @inline(__always)
    func inCluster(_ offset: UInt64) -> UInt64 { offset & (clusterSize - 1) }
    @inline(__always)
    func clusterStart(_ offset: UInt64) -> UInt64 { offset & ~(clusterSize - 1) }

    /// L1 entries that a disk of `size` bytes needs.
    func l1Entries(for size: UInt64) -> UInt64 { size.dividedUp(by: l2Coverage) }
    /// Clusters that `bytes` bytes need.
    func clusters(for bytes: UInt64) -> UInt64 { bytes.dividedUp(by: clusterSize) }
}

/// The bits of L1 and L2 entries.
enum Qcow2Entry {
    static let copied: UInt64 = 1 << 63
    static let compressed: UInt64 = 1 << 62
    static let zero: UInt64 = 1
    static let offsetMask: UInt64 = 0x00ff_ffff_ffff_fe00
    static let reservedL1: UInt64 = 0x7f00_0000_0000_01ff
    static let reservedL2: UInt64 = 0x3f00_0000_0000_01fe
    static let reservedRefcountTable: UInt64 = 0x1ff
    /// Largest host offset that entries hold, exclusive.
    static let offsetLimit: UInt64 = 1 << 56
}
