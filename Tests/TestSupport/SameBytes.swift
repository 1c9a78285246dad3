import Glibc

extension [UInt8] {
    /// Whether these bytes begin with those.
    ///
    /// Tests are built without optimization, where a comparison of arrays takes some fifty steps for each byte.
    public func begins(with others: [UInt8]) -> Bool { holds(others, at: 0) }

    /// Whether those bytes stand here from `offset` on.
    public func holds(_ others: [UInt8], at offset: Int) -> Bool {
        offset + others.count <= count
            && others.withUnsafeBytes { same(UnsafeRawBufferPointer($0), at: offset) }
    }

    /// Whether both have the same bytes in a range that both have.
    public func holds(_ others: [UInt8], in range: Range<Int>) -> Bool {
        others.withUnsafeBytes { same(UnsafeRawBufferPointer(rebasing: $0[range]), at: range.lowerBound) }
    }

    private func same(_ others: UnsafeRawBufferPointer, at offset: Int) -> Bool {
        withUnsafeBytes { bytes in
            guard let mine = bytes.baseAddress, let theirs = others.baseAddress else { return true }
            return memcmp(mine + offset, theirs, others.count) == 0
        }
    }
}
