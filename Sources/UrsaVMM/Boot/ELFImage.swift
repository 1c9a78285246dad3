import UrsaBase

/// A 64-bit ELF kernel (System V ABI, "Object Files"; Xen's note for PVH).
struct ELFImage {
    /// The first four bytes.
    static let magic: UInt32 = 0x464c_457f

    private struct Segment {
        let offset: UInt64, address: UInt64, fileSize: UInt64, memorySize: UInt64
    }

    private let file: BootFile
    private let segments: [Segment]
    private let entry: UInt64
    /// Of the note XEN_ELFNOTE_PHYS32_ENTRY.
    private let pvhEntry: UInt64?
    /// By the notes, this is Linux, which can be entered in long mode.
    private let isLinux: Bool

    /// Reads headers and notes.
    init(_ file: BootFile) throws(UrsaError) {
        let head = Fields(bytes: try file.bytes(64, at: 0))
        guard let kind: UInt32 = head.load(4), let type: UInt16 = head.load(16), let machine: UInt16 = head.load(18),
            let entry: UInt64 = head.load(24), let table: UInt64 = head.load(32), let size: UInt16 = head.load(54),
            let count: UInt16 = head.load(56)
        else { throw ELFImage.broken("is shorter than an ELF header") }
        // EI_CLASS 2: 64 bits; EI_DATA 1: little endian; EI_VERSION 1.
        guard kind & 0xff_ffff == 0x1_0102, machine == 62 else {
            throw UrsaError(.usage, "the kernel is no 64-bit ELF file for x86-64")
        }
        guard type == 2 || type == 3 else {
            throw UrsaError(.usage, "the kernel is an ELF file of type \(type), no program")
        }
        guard size == 56, (1...128).contains(count) else {
            throw ELFImage.broken("has \(count) program headers of \(size) bytes")
        }
        let headers = Fields(bytes: try file.bytes(UInt64(count) * 56, at: table))
        var segments: [Segment] = []
        var pvhEntry: UInt64?
        var isLinux = false
        for index in 0..<Int(count) {
            let at = index * 56
            guard let kind: UInt32 = headers.load(at), let offset: UInt64 = headers.load(at + 8),
                let address: UInt64 = headers.load(at + 24), let fileSize: UInt64 = headers.load(at + 32),
                let memorySize: UInt64 = headers.load(at + 40)
            else { throw ELFImage.broken("ends within its program headers") }
            switch kind {
            case 1 where memorySize > 0:
                let (end, overflow) = offset.addingReportingOverflow(fileSize)
                guard !overflow, end <= file.size, fileSize <= memorySize else {
                    throw ELFImage.broken("ends within a segment")
                }
                segments.append(
                    Segment(offset: offset, address: address, fileSize: fileSize, memorySize: memorySize))
            case 4:
                let notes = ELFImage.notes(in: try file.bytes(min(fileSize, 65536), at: offset))
                for note in notes where note.owner == "Xen" {
                    // XEN_ELFNOTE_PHYS32_ENTRY: 4 or 8 bytes. XEN_ELFNOTE_GUEST_OS: a text.
                    if note.type == 18 {
                        let value = note.content.prefix(8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
                        pvhEntry = value
                    }
                    if note.type == 6, note.content.starts(with: Array("linux".utf8)) { isLinux = true }
                }
            default: break
            }
        }
        guard !segments.isEmpty else { throw ELFImage.broken("has nothing to load") }
        self.file = file
        self.segments = segments
        self.entry = entry
        self.pvhEntry = pvhEntry
        self.isLinux = isLinux
    }

    /// Reads the segments into memory.
    ///
    /// - Parameter pvh: enters by PVH where the kernel can; else only what can't be entered otherwise is.
    func load(into ram: GuestRAM, pvh: Bool = false) throws(UrsaError) -> LoadedKernel {
        var lowest = UInt64.max
        var highest: UInt64 = 0
        for segment in segments {
            guard segment.address >= KernelImage.lowest, let target = ram.pointer(segment.address, segment.memorySize)
            else { throw ELFImage.misplaced(segment.address, segment.memorySize, ram) }
            try file.read(to: target, segment.fileSize, at: segment.offset)
            lowest = min(lowest, segment.address)
            highest = max(highest, segment.address + segment.memorySize)
        }
        let entry: LoadedKernel.Entry
        if let pvhEntry, pvh || !isLinux { entry = .pvh(pvhEntry) } else { entry = .linux64(self.entry) }
        switch entry {
        case .pvh(let address), .linux64(let address):
            guard (lowest..<highest).contains(address) else {
                throw ELFImage.broken("starts at 0x\(String(address, radix: 16)), outside of what it loads")
            }
        }
        return LoadedKernel(
            entry: entry, range: lowest..<highest, setupHeader: nil, highestInitrdByte: AddressMap.lowMemoryEnd - 1,
            longestCommandLine: 2047)
    }

    static func misplaced(_ address: UInt64, _ size: UInt64, _ ram: GuestRAM) -> UrsaError {
        UrsaError(
            .usage,
            "the kernel needs \(ByteCount(size)) at 0x\(String(address, radix: 16)), where the guest has no memory",
            remedy: "give the machine more than its \(ByteCount(ram.size)) of memory")
    }

    private static func broken(_ what: String) -> UrsaError {
        UrsaError(.usage, "the kernel is a broken ELF file: it \(what)")
    }

    /// The notes of a segment: owner, type, content.
    private static func notes(in bytes: [UInt8]) -> [(owner: String, type: UInt32, content: ArraySlice<UInt8>)] {
        let fields = Fields(bytes: bytes)
        var result: [(owner: String, type: UInt32, content: ArraySlice<UInt8>)] = []
        var at = 0
        while let nameSize: UInt32 = fields.load(at), let size: UInt32 = fields.load(at + 4),
            let type: UInt32 = fields.load(at + 8)
        {
            let name = at + 12
            let content = name + (Int(nameSize) + 3) & ~3
            let next = content + (Int(size) + 3) & ~3
            guard content + Int(size) <= bytes.count else { break }
            let owner = String(decoding: bytes[name..<(name + Int(nameSize))].prefix { $0 != 0 }, as: UTF8.self)
            result.append((owner, type, bytes[content..<(content + Int(size))]))
            at = next
        }
        return result
    }
}
