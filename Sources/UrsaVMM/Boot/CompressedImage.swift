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
    private let alignment: UInt64
    private let payload: Range<UInt64>?
    private let version: [UInt8]

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
                "the kernel speaks boot protocol \(version >> 8).\(version & 0xff); 2.12 (Linux 3.8) is the oldest supported"
            )
        }
        guard loadFlags & 1 != 0 else {
            throw UrsaError(.unsupported, "the kernel is a zImage, which is loaded below 1 MiB")
        }
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
        alignment = UInt64(head.load(0x230, as: UInt32.self) ?? 0)
        let start = offset + UInt64(head.load(0x248, as: UInt32.self) ?? 0)
        let length = UInt64(head.load(0x24c, as: UInt32.self) ?? 0)
        payload = length > 8 && start + length <= file.size ? start..<(start + length) : nil
        self.version = try file.bytes(64, at: UInt64(head.load(0x20e, as: UInt16.self) ?? 0) + 0x200)
    }

    /// Loads the kernel: unpacked here where that is possible, which is quicker than in the guest, else as it is.
    ///
    /// - Parameter isMovable: an unpacked kernel gets a random virtual address, as it would give itself.
    func load(into ram: GuestRAM, isMovable: Bool) throws(UrsaError) -> LoadedKernel {
        guard is64Bit else { throw UrsaError(.unsupported, "the kernel has no 64-bit entry: it is a 32-bit kernel") }
        if let kernel = try unpack(into: ram, isMovable: isMovable) { return kernel }
        return try loadPacked(into: ram)
    }

    /// Reads the protected-mode part into memory at its preferred address; it unpacks itself.
    private func loadPacked(into ram: GuestRAM) throws(UrsaError) -> LoadedKernel {
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

    /// Unpacks a payload of LZ4 blocks, one after the other, to where the kernel's segments belong.
    ///
    /// - Returns: nil for payloads of other kinds and for those that are not as expected; what was written then is overwritten.
    private func unpack(into ram: GuestRAM, isMovable: Bool) throws(UrsaError) -> LoadedKernel? {
        guard let payload, Fields(bytes: try file.bytes(4, at: payload.lowerBound)).load(0) == LZ4.legacyMagic else {
            return nil
        }
        // Given back to the system when done, which a heap would not be sure to do.
        guard let packed = ScratchMemory(LZ4.blockSize + LZ4.blockSize / 128), let plain = ScratchMemory(LZ4.blockSize)
        else { return nil }
        var placer = KernelPlacer(ram)
        var at = payload.lowerBound + 4
        // The payload's last four bytes are its unpacked size.
        let end = payload.upperBound - 4
        while at + 4 <= end {
            guard let size: UInt32 = Fields(bytes: try file.bytes(4, at: at)).load(0) else { return nil }
            at += 4
            guard size > 0, Int(size) <= packed.bytes.count, UInt64(size) <= end - at,
                let place = packed.bytes.baseAddress
            else { return nil }
            try file.read(to: place, UInt64(size), at: at)
            at += UInt64(size)
            let source = UnsafeRawBufferPointer(start: place, count: Int(size))
            // A block that lies within a segment is unpacked where it belongs.
            let target = placer.place(LZ4.blockSize) ?? plain.bytes
            guard let count = LZ4.unpack(source, into: target),
                placer.take(UnsafeRawBufferPointer(rebasing: target[0..<count]))
            else { return nil }
        }
        guard !placer.range.isEmpty else { return nil }
        var header = header
        if isMovable,
            KernelMove.moveAtRandom(
                placer.range, lists: placer.tail, alignment: alignment, hasInverse: !isAtLeast(6, 15), in: ram)
        {
            header[0x211 - 0x1f1] |= 2  // loadflags: KASLR_FLAG
        }
        return LoadedKernel(
            entry: .linux64(placer.entry), range: placer.range, setupHeader: header,
            highestInitrdByte: highestInitrdByte, longestCommandLine: longestCommandLine)
    }

    /// Whether the kernel's version is not older, by the text that its header points to.
    private func isAtLeast(_ major: Int, _ minor: Int) -> Bool {
        let parts = String(decoding: version.prefix { $0 != 0 }, as: UTF8.self).split { !$0.isNumber }
        guard parts.count >= 2, let first = Int(parts[0]), let second = Int(parts[1]) else { return true }
        return (first, second) >= (major, minor)
    }
}
