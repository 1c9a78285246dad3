import Glibc
import UrsaBase

/// Where the monitor's own tables for a kernel's start lie, all below 640 KiB; the kernel copies what it keeps.
enum BootPlace {
    static let gdt: UInt64 = 0x500
    static let startInfo: UInt64 = 0x6000
    static let zeroPage: UInt64 = 0x7000
    static let seed: UInt64 = 0x8000
    static let pageTables: UInt64 = 0x9000  // … 0xf000
    static let commandLine: UInt64 = 0x2_0000  // … 0x3_0000
    static let stack: UInt64 = 0x8_0000
}

/// Everything besides the kernel that a guest finds in its memory when it starts: initial ram disk, command line, memory map, zero
/// page or start info, descriptors and page tables.
struct BootTables {
    private let ram: GuestRAM
    private let kernel: LoadedKernel
    private let map: MemoryMap
    private let rsdp: UInt64

    /// Writes all of it.
    ///
    /// - Parameters:
    ///   - initrd: descriptor of the initial ram disk.
    ///   - rsdp: address of ACPI's root pointer.
    static func write(
        _ kernel: LoadedKernel, initrd: Int32?, commandLine: String, map: MemoryMap, rsdp: UInt64, into ram: GuestRAM
    ) throws(UrsaError) {
        let tables = BootTables(ram: ram, kernel: kernel, map: map, rsdp: rsdp)
        let disk = try tables.loadInitrd(initrd)
        try tables.writeCommandLine(commandLine)
        switch kernel.entry {
        case .linux64:
            try tables.writeZeroPage(disk, commandLineSize: commandLine.utf8.count)
            try tables.writePageTables()
        case .pvh: try tables.writeStartInfo(disk)
        }
        try tables.writeDescriptors()
    }

    private func put(_ bytes: [UInt8], _ address: UInt64) throws(UrsaError) {
        guard ram.write(bytes, at: address) else {
            throw UrsaError(.usage, "the guest has too little memory to start a kernel")
        }
    }

    /// Puts the initial ram disk as high as the kernel can use it, as boot loaders do, so that it is out of the way.
    private func loadInitrd(_ fd: Int32?) throws(UrsaError) -> Range<UInt64>? {
        guard let fd else { return nil }
        let file = try BootFile(fd: fd, name: "the initial ram disk")
        let memoryEnd = ram.regions.first { $0.guestStart == 0 }.map { $0.size } ?? 0
        let end = min(memoryEnd, kernel.highestInitrdByte &+ 1)
        let start = end >= file.size ? (end - file.size) & ~4095 : 0
        guard start >= kernel.range.upperBound, let target = ram.pointer(start, file.size) else {
            throw UrsaError(
                .usage,
                "the initial ram disk of \(ByteCount(file.size)) does not fit into the guest's memory beside the kernel",
                remedy: "give the machine more than its \(ByteCount(ram.size)) of memory")
        }
        try file.read(to: target, file.size, at: 0)
        return start..<(start + file.size)
    }

    private func writeCommandLine(_ text: String) throws(UrsaError) {
        let bytes = Array(text.utf8)
        guard bytes.count <= kernel.longestCommandLine else {
            throw UrsaError(
                .usage,
                "the kernel's command line has \(bytes.count) bytes; this kernel takes \(kernel.longestCommandLine)")
        }
        guard !bytes.contains(where: { $0 < 32 || $0 == 127 }) else {
            throw UrsaError(.usage, "the kernel's command line has a control character")
        }
        try put(bytes + [0], BootPlace.commandLine)
    }

    /// The zero page, `struct boot_params` (Documentation/arch/x86/zero-page.rst).
    private func writeZeroPage(_ disk: Range<UInt64>?, commandLineSize: Int) throws(UrsaError) {
        var page = [UInt8](repeating: 0, count: 4096)
        if let header = kernel.setupHeader {
            page.replaceSubrange(0x1f1..<(0x1f1 + header.count), with: header)
        } else {
            page.put(UInt16(0xaa55), at: 0x1fe)  // boot_flag
            page.put(CompressedImage.magic, at: 0x202)
            page.put(UInt16(0x20f), at: 0x206)  // version 2.15
            page[0x211] = 1  // loadflags: LOADED_HIGH
            page.put(UInt32(0x100_0000), at: 0x230)  // kernel_alignment
            page.put(UInt32(truncatingIfNeeded: commandLineSize), at: 0x238)
        }
        page[0x210] = 0xff  // type_of_loader: none that is registered
        page.put(UInt32(BootPlace.commandLine), at: 0x228)
        page.put(rsdp, at: 0x70)  // acpi_rsdp_addr
        if let disk {
            page.put(UInt32(truncatingIfNeeded: disk.lowerBound), at: 0x218)
            page.put(UInt32(truncatingIfNeeded: disk.lowerBound >> 32), at: 0xc0)
            page.put(UInt32(truncatingIfNeeded: disk.count), at: 0x21c)
            page.put(UInt32(truncatingIfNeeded: disk.count >> 32), at: 0xc4)
        }
        page[0x1e8] = UInt8(clamping: map.entries.count)
        for (index, entry) in map.entries.prefix(128).enumerated() {
            page.put(entry.start, at: 0x2d0 + index * 20)
            page.put(entry.size, at: 0x2d8 + index * 20)
            page.put(entry.kind.rawValue, at: 0x2e0 + index * 20)
        }
        page.put(BootPlace.seed, at: 0x250)  // setup_data
        try put(page, BootPlace.zeroPage)
        try writeSeed()
    }

    /// Randomness of the host for the guest's first keys (`struct setup_data`, SETUP_RNG_SEED; Linux 6.0). The kernel wipes it.
    private func writeSeed() throws(UrsaError) {
        var seed: [UInt8] = []
        seed.append(little: UInt64(0))
        seed.append(little: UInt32(9))
        seed.append(little: UInt32(32))
        var random = SystemRandomNumberGenerator()
        for _ in 0..<4 { seed.append(little: random.next() as UInt64) }
        try put(seed, BootPlace.seed)
    }

    /// `struct hvm_start_info` version 1, its module list and memory map (Xen, public/arch-x86/hvm/start_info.h).
    private func writeStartInfo(_ disk: Range<UInt64>?) throws(UrsaError) {
        let modules = BootPlace.startInfo + 0x100
        let memory = BootPlace.startInfo + 0x200
        var info: [UInt8] = []
        info.append(little: UInt32(0x336e_c578))
        info.append(little: UInt32(1))
        info.append(little: UInt32(0))
        info.append(little: UInt32(disk == nil ? 0 : 1))
        info.append(little: disk == nil ? UInt64(0) : modules)
        info.append(little: BootPlace.commandLine)
        info.append(little: rsdp)
        info.append(little: memory)
        info.append(little: UInt32(map.entries.count))
        info.append(little: UInt32(0))
        try put(info, BootPlace.startInfo)
        if let disk {
            var module: [UInt8] = []
            for word in [disk.lowerBound, UInt64(disk.count), 0, 0] { module.append(little: word) }
            try put(module, modules)
        }
        var ranges: [UInt8] = []
        for entry in map.entries {
            ranges.append(little: entry.start)
            ranges.append(little: entry.size)
            ranges.append(little: entry.kind.rawValue)
            ranges.append(little: UInt32(0))
        }
        try put(ranges, memory)
    }

    /// Segment descriptors at the selectors that Linux' protocol names: 0x10 code, 0x18 data (Intel SDM 3A, 3.4.5).
    private func writeDescriptors() throws(UrsaError) {
        var table: [UInt8] = []
        let code: UInt64 =
            switch kernel.entry {
            case .linux64: 0x00af_9b00_0000_ffff
            case .pvh: 0x00cf_9b00_0000_ffff
            }
        for word in [0, 0, code, 0x00cf_9300_0000_ffff] as [UInt64] { table.append(little: word) }
        try put(table, BootPlace.gdt)
    }

    /// The first 4 GiB at their own addresses, in pages of 2 MiB (Intel SDM 3A, 4.5).
    private func writePageTables() throws(UrsaError) {
        let root = BootPlace.pageTables
        var tables = [UInt8](repeating: 0, count: 6 * 4096)
        tables.put(root + 0x1000 | 3, at: 0)
        for index in 0..<4 { tables.put(root + 0x2000 + UInt64(index) * 4096 | 3, at: 0x1000 + index * 8) }
        for index in 0..<2048 { tables.put(UInt64(index) << 21 | 0x83, at: 0x2000 + index * 8) }
        try put(tables, root)
    }
}
