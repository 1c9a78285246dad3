import Glibc

/// Memory for one worker's transfers, aligned to pages.
final class PageBuffer {
    /// The memory, valid while this object lives.
    let bytes: UnsafeMutableRawBufferPointer

    /// Memory of `count` bytes, at least 1, not cleared.
    init(count: Int) { bytes = .allocate(byteCount: count, alignment: 4096) }

    deinit { bytes.deallocate() }
}
