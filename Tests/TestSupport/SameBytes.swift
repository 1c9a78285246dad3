import Glibc

extension [UInt8] {
    /// Whether these bytes begin with those.
    ///
    /// Tests are built without optimization, where a comparison of arrays takes some fifty steps for each byte.
    public func begins(with others: [UInt8]) -> Bool {
        others.count <= count && holds(others, in: others.indices)
    }

    /// Whether both have the same bytes in a range that both have.
    public func holds(_ others: [UInt8], in range: Range<Int>) -> Bool {
        withUnsafeBytes { mine in
            others.withUnsafeBytes { theirs in
                let mine = UnsafeRawBufferPointer(rebasing: mine[range])
                let theirs = UnsafeRawBufferPointer(rebasing: theirs[range])
                guard let first = mine.baseAddress, let second = theirs.baseAddress else { return true }
                return memcmp(first, second, mine.count) == 0
            }
        }
    }
}
