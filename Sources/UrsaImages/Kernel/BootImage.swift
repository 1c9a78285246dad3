import Glibc
import UrsaBase

/// A Linux kernel as distributions ship it: a bzImage, which carries the kernel proper compressed.
///
/// Format: the kernel's Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header".
struct BootImage: Sendable {
    /// How the payload is compressed.
    enum Compression: String, Sendable, CaseIterable {
        case gzip, bzip2, lzma, xz, lzo, lz4, zstd
        /// Not compressed: an ELF file.
        case none

        /// The program that unpacks it from standard input to standard output.
        var program: Program? {
            switch self {
            case .gzip: Program("gzip", ["-dc"])
            case .bzip2: Program("bzip2", ["-dc"])
            case .lzma: Program("xz", ["--format=lzma", "-dc"])
            case .xz: Program("xz", ["-dc"])
            case .lzo: Program("lzop", ["-dc"])
            case .lz4: Program("lz4", ["-dc"])
            case .zstd: Program("zstd", ["-dc"])
            case .none: nil
            }
        }

        /// The form that begins with these bytes, as scripts/extract-vmlinux and lib/decompress.c tell them apart.
        init?(magic bytes: [UInt8]) {
            let magics: [([UInt8], Compression)] = [
                ([0x1f, 0x8b], .gzip), ([0x42, 0x5a, 0x68], .bzip2), ([0x5d, 0, 0], .lzma),
                ([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0], .xz), ([0x89, 0x4c, 0x5a, 0x4f], .lzo),
                ([0x02, 0x21, 0x4c, 0x18], .lz4), ([0x28, 0xb5, 0x2f, 0xfd], .zstd), ([0x7f, 0x45, 0x4c, 0x46], .none),
            ]
            guard let found = magics.first(where: { bytes.has($0.0, at: 0) }) else { return nil }
            self = found.1
        }
    }

    /// Where the payload lies in the file.
    let payload: Range<Int>
    /// How it is compressed.
    let compression: Compression

    /// Finds the payload of a bzImage.
    ///
    /// - Throws: `.invalidSpec` when the bytes are no bzImage of boot protocol 2.08 or later, or contradict themselves.
    init(_ bytes: [UInt8]) throws(UrsaError) {
        func refuse(_ why: String) -> UrsaError {
            UrsaError(.invalidSpec, "this is no Linux kernel that can be unpacked: \(why)")
        }
        guard bytes.has(Array("HdrS".utf8), at: 0x202), bytes.has([0x55, 0xaa], at: 0x1fe) else {
            throw refuse("it has no boot header")
        }
        guard let version = bytes.littleEndian(UInt16.self, at: 0x206), version >= 0x0208,
            let offset = bytes.littleEndian(UInt32.self, at: 0x248),
            let length = bytes.littleEndian(UInt32.self, at: 0x24c), bytes.count > 0x1f1
        else { throw refuse("its boot protocol is older than 2.08") }
        // The offset counts from the protected-mode code, which follows the boot sector and setup_sects sectors (0 = 4).
        let sectors = bytes[0x1f1] == 0 ? 4 : Int(bytes[0x1f1])
        let start = (sectors + 1) * 512 + Int(offset)
        guard length > 16, start < bytes.count, Int(length) <= bytes.count - start else {
            throw refuse("its payload lies outside of the file")
        }
        guard let compression = Compression(magic: Array(bytes[start..<start + 8])) else {
            throw refuse("its compression is unknown")
        }
        // All but gzip are followed by the unpacked size in 4 bytes, which the programs would take for garbage.
        let tail = compression == .gzip || compression == .none ? 0 : 4
        payload = start..<start + Int(length) - tail
        self.compression = compression
    }

    /// Unpacks the kernel proper (ELF, `vmlinux`) of the bzImage at `source` into the new file `target`.
    static func unpack(_ source: String, to target: String) throws(UrsaError) {
        let bytes = try File.read(source, limit: 256 << 20)
        let image: BootImage
        do { image = try BootImage(bytes) } catch { throw error.at(source) }
        guard let program = image.compression.program else {
            return try File.replace(target, Array(bytes[image.payload]), mode: 0o644)
        }
        let packed = target + ".packed"
        try File.replace(packed, Array(bytes[image.payload]), mode: 0o644)
        defer { unlink(packed) }
        try Unpacker.run(program, from: packed, to: target)
        guard hasDirectEntry(target) else {
            throw UrsaError(
                .unsupported, "this kernel has no PVH entry, so it can't be started unpacked", place: source)
        }
    }

    /// Whether a file is an ELF file with the note that tells a VMM where to enter it directly (PVH): name `Xen`, type
    /// 18 (XEN_ELFNOTE_PHYS32_ENTRY, xen/include/public/elfnote.h).
    static func hasDirectEntry(_ path: String) -> Bool {
        guard let fd = try? File.open(path, O_RDONLY),
            let header = read(fd, at: 0, count: 64), header.has([0x7f, 0x45, 0x4c, 0x46, 2, 1], at: 0),
            let table = header.littleEndian(UInt64.self, at: 32), table < 1 << 40,
            let size = header.littleEndian(UInt16.self, at: 54), size >= 56,
            let count = header.littleEndian(UInt16.self, at: 56), count <= 64,
            let segments = read(fd, at: Int(table), count: Int(size) * Int(count))
        else { return false }
        for index in 0..<Int(count) {
            let at = index * Int(size)
            guard segments.littleEndian(UInt32.self, at: at) == 4,  // PT_NOTE
                let offset = segments.littleEndian(UInt64.self, at: at + 8), offset < 1 << 40,
                let length = segments.littleEndian(UInt64.self, at: at + 32), length <= 1 << 20,
                let notes = read(fd, at: Int(offset), count: Int(length))
            else { continue }
            var position = 0
            while let nameSize = notes.littleEndian(UInt32.self, at: position),
                let valueSize = notes.littleEndian(UInt32.self, at: position + 4),
                let type = notes.littleEndian(UInt32.self, at: position + 8)
            {
                if type == 18, notes.has(Array("Xen\0".utf8), at: position + 12) { return true }
                position += 12 + (Int(nameSize) + 3) / 4 * 4 + (Int(valueSize) + 3) / 4 * 4
            }
        }
        return false
    }

    private static func read(_ fd: borrowing OwnedFD, at offset: Int, count: Int) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        return pread(fd.raw, &bytes, count, off_t(offset)) == count ? bytes : nil
    }
}
