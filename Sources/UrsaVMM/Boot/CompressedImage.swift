import UrsaBase

/// A bzImage: Linux with a setup header, compressed (Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header").
struct CompressedImage {
    /// "HdrS" at 0x202.
    static let magic: UInt32 = 0x5372_6448

    private let file: BootFile
    private let header: [UInt8]
    /// Where the part for protected mode begins in the file.
    private let bodyOffset: UInt64
    private let bodySize: UInt64
    private let preferredAddress: UInt64
    private let unpackedSize: UInt64
    private let highestInitrdByte: UInt64
    private let longestCommandLine: Int
    private let is64Bit: Bool

    /// Reads the setup header.
    init(_ file: BootFile, _ head: Fields) throws(UrsaError) {
        guard let sectors: UInt8 = head.load(0x1f1), let version: UInt16 = head.load(0x206),
            let jump: UInt8 = head.load(0x201), let loadFlags: UInt8 = head.load(0x211),
            let highest: UInt32 = head.load(0x22c), let flags: UInt16 = head.load(0x236),
            let longest: UInt32 = head.load(0x238), let preferred: UInt64 = head.load(0x258),
            let needed: UInt32 = head.load(0x260)
        else { throw UrsaError(.usage, "the kernel is shorter than a setup header") }
        guard version >= 0x20c else {
            throw UrsaError(
                .unsupported,
                "the kernel speaks boot protocol \(version >> 8).\(version & 0xff); 2.12 (Linux 3.8) is the oldest supported")
        }
        guard loadFlags & 1 != 0 else { throw UrsaError(.unsupported, "the kernel is a zImage, which is loaded below 1 MiB") }
        let offset = (UInt64(sectors == 0 ? 4 : sectors) + 1) * 512
        guard offset < file.size else { throw UrsaError(.usage, "the kernel ends within its setup code") }
        // The header ends at 0x202 plus the operand of the jump at 0x200; it never reaches the E820 table at 0x290.
        let end = min(0x202 + Int(jump), 0x290, head.bytes.count)
        guard end > 0x264 else { throw UrsaError(.usage, "the kernel has a setup header of only \(jump) bytes") }
        self.file = file
        header = Array(head.bytes[0x1f1..<end])
        bodyOffset = offset
        bodySize = file.size - offset
        preferredAddress = preferred
        unpackedSize = UInt64(needed)
        highestInitrdByte = UInt64(highest)
        // COMMAND_LINE_SIZE of no architecture is above 4096; our page for it has 64 KiB.
        longestCommandLine = Int(min(longest, 0xffff))
        is64Bit = flags & 1 != 0
    }

    /// Reads the protected-mode part into memory at its preferred address; it unpacks itself.
    func load(into ram: GuestRAM) throws(UrsaError) -> LoadedKernel {
        guard is64Bit else { throw UrsaError(.unsupported, "the kernel has no 64-bit entry: it is a 32-bit kernel") }
        let size = max(bodySize, unpackedSize)
        guard preferredAddress >= KernelImage.lowest, preferredAddress <= AddressMap.lowMemoryEnd,
            let target = ram.pointer(preferredAddress, size)
        else { throw ELFImage.misplaced(preferredAddress, size, ram) }
        try file.read(to: target, bodySize, at: bodyOffset)
        return LoadedKernel(
            // startup_64 lies 0x200 after the start of the part for protected mode.
            entry: .linux64(preferredAddress + 0x200), range: preferredAddress..<(preferredAddress + size),
            setupHeader: header, highestInitrdByte: highestInitrdByte, longestCommandLine: longestCommandLine)
    }
}
