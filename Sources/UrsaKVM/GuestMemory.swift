import Glibc
public import UrsaBase

/// Anonymous memory of this process that a guest uses as its own; given back to the system when the last owner goes.
///
/// The guest may write to it at any moment, so nothing read from it can be trusted to stay the same. Access goes
/// through `load` and `store`, which check bounds.
public final class GuestMemory: Sendable {
    /// Size in bytes, a multiple of 4096.
    public let size: Int
    // SAFETY: the mapping lives exactly as long as this object; every access is checked against `size`.
    nonisolated(unsafe) let base: UnsafeMutableRawPointer

    /// Maps zeroed memory; pages are taken from the system when first touched.
    ///
    /// - Parameter size: bytes, rounded up to whole pages; 1 … 2^46.
    public init(size: Int) throws(UrsaError) {
        guard size > 0, size <= 1 << 46 else {
            throw UrsaError(.usage, "guest memory must have 1 … 2^46 bytes, not \(size)")
        }
        self.size = (size + 4095) & ~4095
        let mapped = mmap(nil, self.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
        guard let mapped, mapped != MAP_FAILED else {
            throw UrsaError.system(.current, "map \(ByteCount(UInt64(self.size))) of guest memory")
        }
        base = mapped
    }

    deinit { munmap(base, size) }

    private func range(_ offset: Int, _ count: Int) throws(UrsaError) {
        guard offset >= 0, count >= 0, offset <= size, count <= size - offset else {
            throw UrsaError(.usage, "bytes \(offset) + \(count) lie outside of the guest's memory of \(size) bytes")
        }
    }

    /// Copies bytes into the memory.
    public func store(_ bytes: [UInt8], at offset: Int) throws(UrsaError) {
        try range(offset, bytes.count)
        bytes.withUnsafeBytes { source in
            if let start = source.baseAddress {
                base.advanced(by: offset).copyMemory(from: start, byteCount: source.count)
            }
        }
    }

    /// Writes a 64-bit value, little endian, at any alignment.
    public func store(_ value: UInt64, at offset: Int) throws(UrsaError) {
        try range(offset, 8)
        base.storeBytes(of: value.littleEndian, toByteOffset: offset, as: UInt64.self)
    }

    /// Copies bytes out of the memory.
    public func load(_ count: Int, at offset: Int) throws(UrsaError) -> [UInt8] {
        try range(offset, count)
        return Array(UnsafeRawBufferPointer(start: base.advanced(by: offset), count: count))
    }
}
