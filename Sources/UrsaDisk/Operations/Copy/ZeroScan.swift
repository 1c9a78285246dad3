/// Finds out whether bytes are all zeros, many at a time.
enum ZeroScan {
    /// Whether every byte is zero. An empty buffer counts as zeros.
    static func isZero(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard let base = bytes.baseAddress else { return true }
        var offset = 0
        let wide = bytes.count & ~127
        while offset < wide {
            let a = (base + offset).loadUnaligned(as: SIMD8<UInt64>.self)
            let b = (base + offset + 64).loadUnaligned(as: SIMD8<UInt64>.self)
            if a | b != SIMD8<UInt64>(repeating: 0) { return false }
            offset += 128
        }
        while offset < bytes.count {
            if base.load(fromByteOffset: offset, as: UInt8.self) != 0 { return false }
            offset += 1
        }
        return true
    }

    /// The first run of blocks that are not all zeros, from `start` on, which is at a block's beginning.
    ///
    /// - Parameter block: bytes of a block; the last one may be shorter.
    /// - Returns: the run in bytes of the buffer, nil when only zeros follow.
    static func dataRun(_ bytes: UnsafeRawBufferPointer, from start: Int, block: Int) -> Range<Int>? {
        var begin = start
        while begin < bytes.count, isZero(slice(bytes, begin, block)) { begin += block }
        guard begin < bytes.count else { return nil }
        var end = begin + block
        while end < bytes.count, !isZero(slice(bytes, end, block)) { end += block }
        return begin..<min(end, bytes.count)
    }

    private static func slice(_ bytes: UnsafeRawBufferPointer, _ start: Int, _ count: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: bytes[start..<min(start + count, bytes.count)])
    }
}
