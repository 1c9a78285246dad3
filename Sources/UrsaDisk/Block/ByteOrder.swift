/// Numbers as formats store them. Offsets are checked by the caller; addresses need no alignment.
extension UnsafeRawPointer {
    @inline(__always)
    func bigEndian<T: FixedWidthInteger>(_ offset: Int, as type: T.Type = T.self) -> T {
        T(bigEndian: loadUnaligned(fromByteOffset: offset, as: T.self))
    }
}

extension UnsafeMutableRawPointer {
    @inline(__always)
    func bigEndian<T: FixedWidthInteger>(_ offset: Int, as type: T.Type = T.self) -> T {
        T(bigEndian: loadUnaligned(fromByteOffset: offset, as: T.self))
    }

    @inline(__always)
    func storeBigEndian<T: FixedWidthInteger>(_ value: T, _ offset: Int) {
        storeBytes(of: value.bigEndian, toByteOffset: offset, as: T.self)
    }
}

extension [UInt8] {
    /// The number at `offset`; nil when it does not lie in the array.
    func bigEndian<T: FixedWidthInteger>(_ offset: Int, as type: T.Type = T.self) -> T? {
        let width = T.bitWidth / 8
        guard offset >= 0, offset <= count - width else { return nil }
        return self[offset..<offset + width].reduce(0) { $0 << 8 | T(truncatingIfNeeded: $1) }
    }

    mutating func appendBigEndian<T: FixedWidthInteger>(_ value: T) {
        for shift in stride(from: T.bitWidth - 8, through: 0, by: -8) {
            append(UInt8(truncatingIfNeeded: value >> T(shift)))
        }
    }

    mutating func storeBigEndian<T: FixedWidthInteger>(_ value: T, at offset: Int) {
        let width = T.bitWidth / 8
        guard offset >= 0, offset <= count - width else { return }
        for index in 0..<width {
            self[offset + index] = UInt8(truncatingIfNeeded: value >> T((width - 1 - index) * 8))
        }
    }
}

extension FixedWidthInteger {
    /// Divided, rounded up; `divisor` is above zero.
    @inline(__always)
    func dividedUp(by divisor: Self) -> Self { self / divisor + (self % divisor == 0 ? 0 : 1) }
}
