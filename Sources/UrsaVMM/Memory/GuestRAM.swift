import Glibc
public import UrsaBase

/// The guest's memory: from address 0 up to the hole below 4 GiB, the rest from 4 GiB on.
///
/// The guest changes it at any moment, so what is read must be copied first and checked afterwards, and nothing that Swift
/// believes to own (arrays, `inout`) is ever formed over it. Every access is checked here: `pointer(_:_:)` gives memory only
/// where the whole range lies inside one region.
public final class GuestRAM: Sendable {
    /// A range of guest-physical addresses that is memory.
    public struct Region: @unchecked Sendable {
        /// Guest-physical address of the first byte.
        public let guestStart: UInt64
        /// Bytes.
        public let size: UInt64
        /// Where the first byte lies in this process.
        public let base: UnsafeMutableRawPointer
        // SAFETY: the pointer is as good in any thread; the memory lives as long as the GuestRAM that it was made for.

        /// A region over memory that the caller keeps.
        public init(guestStart: UInt64, size: UInt64, base: UnsafeMutableRawPointer) {
            self.guestStart = guestStart
            self.size = size
            self.base = base
        }
    }

    /// The regions by address.
    public let regions: [Region]
    // SAFETY: `table` repeats `regions` at a fixed place, so that looking an address up touches no reference count; it is
    // written once in `init`. `mappings` are this object's own and are unmapped with it.
    nonisolated(unsafe) private let table: UnsafeMutablePointer<Region>
    private let count: Int
    nonisolated(unsafe) private let mappings: [(base: UnsafeMutableRawPointer, size: Int)]

    /// Bytes in all regions.
    public var size: UInt64 { regions.reduce(0) { $0 &+ $1.size } }

    /// Maps zeroed memory; pages are taken from the system when they are first touched.
    ///
    /// - Parameters:
    ///   - bytes: a multiple of 4096, at most 2^40.
    ///   - hugePages: asks for pages of 2 MiB (madvise(2), MADV_HUGEPAGE); faster, but whole pages are taken.
    ///   - mergeable: lets the kernel share equal pages of machines (MADV_MERGEABLE).
    public init(bytes: UInt64, hugePages: Bool = false, mergeable: Bool = false) throws(UrsaError) {
        guard bytes > 0, bytes <= 1 << 40, bytes % 4096 == 0 else {
            throw UrsaError(.usage, "a guest's memory must be a multiple of 4096 up to 1 TiB, not \(bytes) bytes")
        }
        let low = min(bytes, AddressMap.lowMemoryEnd)
        var parts: [(start: UInt64, size: UInt64)] = [(0, low)]
        if bytes > low { parts.append((AddressMap.highMemoryStart, bytes - low)) }
        var regions: [Region] = []
        var mappings: [(base: UnsafeMutableRawPointer, size: Int)] = []
        for part in parts {
            // KVM uses large pages only where host and guest addresses agree in their low 21 bits.
            let slack = 2 << 20
            let wanted = Int(part.size) + slack
            let mapped = mmap(
                nil, wanted, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
            guard let mapped, mapped != MAP_FAILED else {
                let error = UrsaError.system(.current, "map \(ByteCount(part.size)) of guest memory")
                for mapping in mappings { munmap(mapping.base, mapping.size) }
                throw error
            }
            let skip = (slack - Int(bitPattern: mapped) % slack) % slack
            if skip > 0 { munmap(mapped, skip) }
            if slack - skip > 0 { munmap(mapped + skip + Int(part.size), slack - skip) }
            let base = mapped + skip
            let size = Int(part.size)
            if hugePages { madvise(base, size, MADV_HUGEPAGE) }
            if mergeable { madvise(base, size, MADV_MERGEABLE) }
            madvise(base, size, MADV_DONTDUMP)
            mappings.append((base, size))
            regions.append(Region(guestStart: part.start, size: part.size, base: base))
        }
        self.mappings = mappings
        self.regions = regions
        count = regions.count
        table = .allocate(capacity: max(1, regions.count))
        table.initialize(from: regions, count: regions.count)
    }

    /// Memory that somebody else owns and keeps mapped: for tests and fuzzers. Regions must not overlap.
    public init(adopting regions: [Region]) {
        let sorted = regions.sorted { $0.guestStart < $1.guestStart }
        self.regions = sorted
        mappings = []
        count = sorted.count
        table = .allocate(capacity: max(1, sorted.count))
        table.initialize(from: sorted, count: sorted.count)
    }

    deinit {
        table.deinitialize(count: count)
        table.deallocate()
        for mapping in mappings { munmap(mapping.base, mapping.size) }
    }

    /// Where `count` bytes from `address` lie in this process; nil unless all of them are inside one region.
    @inline(__always)
    public func pointer(_ address: UInt64, _ count: UInt64) -> UnsafeMutableRawPointer? {
        var index = 0
        while index < self.count {
            let offset = address &- table[index].guestStart
            let size = table[index].size
            // An address below the region wraps around and is then larger than any size.
            if offset < size || (offset == size && count == 0) {
                guard count <= size &- offset else { return nil }
                return table[index].base + Int(truncatingIfNeeded: offset)
            }
            index &+= 1
        }
        return nil
    }

    /// An integer as the guest wrote it (little endian, any alignment); nil outside of memory. One load: aligned words of up to
    /// 8 bytes are never torn.
    @inline(__always)
    public func load<T: FixedWidthInteger>(_ address: UInt64, as type: T.Type = T.self) -> T? {
        guard let place = pointer(address, UInt64(MemoryLayout<T>.size)) else { return nil }
        return T(littleEndian: place.loadUnaligned(as: T.self))
    }

    /// Writes an integer little endian; false outside of memory.
    @inline(__always)
    public func store<T: FixedWidthInteger>(_ value: T, _ address: UInt64) -> Bool {
        guard let place = pointer(address, UInt64(MemoryLayout<T>.size)) else { return false }
        place.storeBytes(of: value.littleEndian, as: T.self)
        return true
    }

    /// Copies bytes into the guest; false, and nothing written, unless all of them lie inside one region.
    public func write(_ bytes: UnsafeRawBufferPointer, at address: UInt64) -> Bool {
        guard let place = pointer(address, UInt64(bytes.count)) else { return false }
        if let source = bytes.baseAddress { place.copyMemory(from: source, byteCount: bytes.count) }
        return true
    }

    /// Copies an array into the guest; as `write(_:at:)`.
    public func write(_ bytes: [UInt8], at address: UInt64) -> Bool {
        bytes.withUnsafeBytes { write($0, at: address) }
    }

    /// Copies bytes out of the guest; false, and nothing read, unless all of them lie inside one region.
    public func read(into bytes: UnsafeMutableRawBufferPointer, at address: UInt64) -> Bool {
        guard let place = pointer(address, UInt64(bytes.count)) else { return false }
        if let target = bytes.baseAddress { target.copyMemory(from: place, byteCount: bytes.count) }
        return true
    }

    /// Copies bytes out of the guest into an array; nil outside of memory. Not for paths that carry guest data.
    public func read(_ count: Int, at address: UInt64) -> [UInt8]? {
        guard count >= 0, let place = pointer(address, UInt64(count)) else { return nil }
        return Array(UnsafeRawBufferPointer(start: place, count: count))
    }

    /// Gives the whole pages of a range back to the system (MADV_DONTNEED); the guest reads zeros there afterwards. What lies
    /// outside of memory is left alone.
    public func discard(_ address: UInt64, _ count: UInt64) {
        guard count > 0, pointer(address, count) != nil else { return }
        let start = (address &+ 4095) & ~4095
        let end = (address &+ count) & ~4095
        guard end > start, let place = pointer(start, end &- start) else { return }
        madvise(place, Int(end &- start), MADV_DONTNEED)
    }

    /// Forgets everything that the guest wrote: all pages are zero again.
    public func clear() {
        for region in regions { discard(region.guestStart, region.size) }
    }
}
