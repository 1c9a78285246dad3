/// Where things lie in the guest's physical address space.
///
/// Memory is below the hole and above 4 GiB; the hole of 1 GiB below 4 GiB holds what is addressed like memory but is none.
public enum AddressMap {
    /// End of the memory below 4 GiB: 3 GiB.
    public static let lowMemoryEnd: UInt64 = 0xc000_0000
    /// Start of the memory that does not fit below: 4 GiB.
    public static let highMemoryStart: UInt64 = 0x1_0000_0000

    /// Window for 32-bit base address registers of PCI functions.
    public static let pciWindow32: Range<UInt64> = 0xc000_0000..<0xe000_0000
    /// PCI Express configuration space of bus 0: 4 KiB for each of 256 functions (PCIe 4.0, 7.2.2).
    public static let pciConfiguration: Range<UInt64> = 0xe000_0000..<0xe010_0000
    /// Windows of virtio-mmio devices, 4 KiB each.
    public static let virtioWindows: Range<UInt64> = 0xfe00_0000..<0xfe02_0000
    /// Registers of the IOAPIC (in the kernel).
    public static let ioAPIC: UInt64 = 0xfec0_0000
    /// Registers of the local APICs (in the kernel).
    public static let localAPIC: UInt64 = 0xfee0_0000
    /// One page and, after it, three pages that Intel processors need to run real mode (api.rst, 4.35 and 4.39).
    public static let identityMap: UInt64 = 0xfffb_c000, taskState: UInt64 = 0xfffb_d000

    /// Window for 64-bit base address registers of PCI functions: above all memory, on a border of 1 GiB, 32 GiB long, below
    /// the end of what every processor with 40 address bits reaches as long as memory leaves room.
    public static func pciWindow64(memory: UInt64) -> Range<UInt64> {
        let end = memory > lowMemoryEnd ? highMemoryStart &+ (memory &- lowMemoryEnd) : highMemoryStart
        let start = (end &+ 0x3fff_ffff) & ~0x3fff_ffff
        return start..<(start &+ (32 << 30))
    }

    /// Ports of the power management registers and the first of our own (see `PowerManagement`).
    public static let powerManagement: UInt64 = 0x600
}
