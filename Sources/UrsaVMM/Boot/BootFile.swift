import Glibc
import UrsaBase

/// A file that is loaded into the guest, by its descriptor. Its size is looked up once; a file that shrinks meanwhile is an error.
struct BootFile {
    /// The descriptor, kept open by the caller.
    let fd: Int32
    /// Bytes.
    let size: UInt64
    /// What it is, for errors: "the kernel".
    let name: String

    /// A regular file.
    ///
    /// - Throws: when the descriptor is no regular file, or empty.
    init(fd: Int32, name: String) throws(UrsaError) {
        var status = stat()
        try retrying("look at \(name)") { fstat(fd, &status) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw UrsaError(.usage, "\(name) is no regular file") }
        guard status.st_size > 0 else { throw UrsaError(.usage, "\(name) is empty") }
        self.fd = fd
        self.name = name
        size = UInt64(status.st_size)
    }

    /// Reads a range straight to where it belongs.
    func read(to target: UnsafeMutableRawPointer, _ count: UInt64, at offset: UInt64) throws(UrsaError) {
        var done: UInt64 = 0
        while done < count {
            let got = try retrying("read \(name)") {
                pread(fd, target + Int(done), Int(min(count - done, 1 << 30)), off_t(offset + done))
            }
            guard got > 0 else { throw UrsaError(.io, "\(name) ends at byte \(offset + done)") }
            done += UInt64(got)
        }
    }

    /// A short range as bytes; as many as there are up to `count`.
    func bytes(_ count: UInt64, at offset: UInt64) throws(UrsaError) -> [UInt8] {
        guard offset < size else { return [] }
        var result = [UInt8](repeating: 0, count: Int(min(count, size - offset)))
        let length = result.count
        let buffer = UnsafeMutableRawPointer.allocate(byteCount: max(1, length), alignment: 8)
        defer { buffer.deallocate() }
        try read(to: buffer, UInt64(length), at: offset)
        result.withUnsafeMutableBytes { $0.copyMemory(from: UnsafeRawBufferPointer(start: buffer, count: length)) }
        return result
    }
}

/// Memory for a while, given back to the system at once.
struct ScratchMemory: ~Copyable {
    let bytes: UnsafeMutableRawBufferPointer

    init?(_ count: Int) {
        let mapped = mmap(nil, count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
        guard let mapped, mapped != MAP_FAILED else { return nil }
        bytes = UnsafeMutableRawBufferPointer(start: mapped, count: count)
    }

    deinit { munmap(bytes.baseAddress, bytes.count) }
}

/// Little-endian fields of a table of bytes; what lies outside reads as nil.
struct Fields {
    let bytes: [UInt8]

    func load<T: FixedWidthInteger>(_ offset: Int, as type: T.Type = T.self) -> T? {
        guard offset >= 0, offset <= bytes.count, bytes.count - offset >= MemoryLayout<T>.size else { return nil }
        return bytes.withUnsafeBytes { T(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: T.self)) }
    }
}

extension Array where Element == UInt8 {
    /// Appends an integer, little endian.
    mutating func append<T: FixedWidthInteger>(little value: T) {
        Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
    }

    /// Overwrites an integer, little endian; the range must be there.
    mutating func put<T: FixedWidthInteger>(_ value: T, at offset: Int) {
        Swift.withUnsafeBytes(of: value.littleEndian) { source in
            for (index, byte) in source.enumerated() { self[offset + index] = byte }
        }
    }
}
