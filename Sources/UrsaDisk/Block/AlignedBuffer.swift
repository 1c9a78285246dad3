import Glibc

/// Memory for reading and writing disks, aligned to a page so that O_DIRECT takes it. Its content is undefined at first.
public final class AlignedBuffer: @unchecked Sendable {
    // SAFETY: the object only owns the memory; who reads and writes it at the same time is for its users to order.

    /// The first byte.
    public let base: UnsafeMutableRawPointer
    /// Bytes that may be used.
    public let count: Int

    /// Memory of `count` bytes, rounded up to whole pages.
    public init(count: Int) {
        let rounded = max(4096, (count + 4095) & ~4095)
        base = UnsafeMutableRawPointer.allocate(byteCount: rounded, alignment: 4096)
        self.count = rounded
    }

    deinit { base.deallocate() }

    /// The whole buffer.
    public var bytes: UnsafeMutableRawBufferPointer { UnsafeMutableRawBufferPointer(start: base, count: count) }

    /// The first `count` bytes.
    public func prefix(_ count: Int) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: base, count: min(count, self.count))
    }
}
