import UrsaBase

/// A kernel in the guest's memory, ready to be entered.
struct LoadedKernel {
    /// How the first processor enters it.
    enum Entry: Hashable {
        /// Linux' 64-bit boot protocol: long mode, RSI is the zero page (Documentation/arch/x86/boot.rst, "64-bit Boot Protocol").
        case linux64(UInt64)
        /// PVH: 32-bit protected mode without paging, EBX is the start info (Xen, docs/misc/pvh.pandoc).
        case pvh(UInt64)
    }
    /// Where and how.
    var entry: Entry
    /// What the kernel occupies, with what it needs to unpack itself and to start.
    var range: Range<UInt64>
    /// The setup header of a bzImage, to be repeated in the zero page: bytes from 0x1f1 on.
    var setupHeader: [UInt8]?
    /// Highest address of the initial ram disk's last byte.
    var highestInitrdByte: UInt64
    /// Longest command line, in bytes without the zero.
    var longestCommandLine: Int
}

/// Reads kernels: ELF (vmlinux, or anything with a PVH note) and bzImage.
///
/// The file is not trusted: every offset and size is checked before it is used, and a kernel can only be placed where memory is, above
/// the first MiB.
enum KernelImage {
    /// Lowest address of a kernel: below are our own tables.
    static let lowest: UInt64 = 0x10_0000

    /// Loads a kernel straight into the guest's memory.
    ///
    /// - Parameters:
    ///   - fd: a regular file, open for reading.
    ///   - isMovable: a bzImage gets a random virtual address.
    /// - Throws: what is wrong with the file.
    static func load(fd: Int32, into ram: GuestRAM, isMovable: Bool = true) throws(UrsaError) -> LoadedKernel {
        let file = try BootFile(fd: fd, name: "the kernel")
        let head = Fields(bytes: try file.bytes(0x1000, at: 0))
        if head.load(0, as: UInt32.self) == ELFImage.magic {
            return try ELFImage(file).load(into: ram)
        }
        if head.load(0x202, as: UInt32.self) == CompressedImage.magic {
            return try CompressedImage(file, head).load(into: ram, isMovable: isMovable)
        }
        throw UrsaError(
            .usage, "the kernel is neither an ELF file nor a bzImage",
            remedy: "give the file vmlinuz of a distribution, or the vmlinux of a kernel's build")
    }
}
