/// What the guest is told about its addresses (ACPI 6.5, 15.2 and table 15.4: E820).
struct MemoryMap {
    /// One range.
    struct Entry: Hashable {
        /// E820 types.
        enum Kind: UInt32 {
            case memory = 1, reserved = 2
        }
        var start: UInt64
        var size: UInt64
        var kind: Kind
    }

    /// The ranges by address; they don't overlap.
    let entries: [Entry]

    /// End of the memory below the first MiB that kernels may use, and where our tables for ACPI lie.
    static let lowEnd: UInt64 = 0x9_fc00
    /// ACPI's tables, in the area where firmware is looked for.
    static let tables: Range<UInt64> = 0xe_0000..<0x10_0000

    /// The map for a guest's memory.
    ///
    /// - Parameter hasPCI: the configuration space of PCI Express is to be reserved, else Linux does not use it.
    init(_ ram: GuestRAM, hasPCI: Bool) {
        var entries = [
            Entry(start: 0, size: MemoryMap.lowEnd, kind: .memory),
            Entry(start: MemoryMap.lowEnd, size: 0xa_0000 - MemoryMap.lowEnd, kind: .reserved),
            Entry(
                start: MemoryMap.tables.lowerBound, size: UInt64(MemoryMap.tables.count), kind: .reserved),
        ]
        for region in ram.regions {
            let start = max(region.guestStart, 0x10_0000)
            let end = region.guestStart + region.size
            if end > start { entries.append(Entry(start: start, size: end - start, kind: .memory)) }
        }
        if hasPCI {
            let space = AddressMap.pciConfiguration
            let at = entries.firstIndex { $0.start > space.lowerBound } ?? entries.count
            entries.insert(Entry(start: space.lowerBound, size: UInt64(space.count), kind: .reserved), at: at)
        }
        self.entries = entries
    }
}
