/// Reads of fixed-size numbers out of bytes that a stranger wrote: out of range is nil, never a trap.
extension [UInt8] {
    /// The number at `offset`, lowest byte first.
    func littleEndian<T: FixedWidthInteger>(_ type: T.Type, at offset: Int) -> T? {
        guard let raw = number(type, at: offset) else { return nil }
        return T(littleEndian: raw)
    }

    /// The number at `offset`, highest byte first.
    func bigEndian<T: FixedWidthInteger>(_ type: T.Type, at offset: Int) -> T? {
        guard let raw = number(type, at: offset) else { return nil }
        return T(bigEndian: raw)
    }

    /// Whether these bytes stand at `offset`.
    func has(_ bytes: [UInt8], at offset: Int) -> Bool {
        guard offset >= 0, offset <= count, bytes.count <= count - offset else { return false }
        return self[offset..<offset + bytes.count].elementsEqual(bytes)
    }

    /// Replaces the bytes at `offset` by a number, lowest byte first; out of range does nothing.
    mutating func put<T: FixedWidthInteger>(_ value: T, at offset: Int) {
        let size = MemoryLayout<T>.size
        guard offset >= 0, offset <= count, size <= count - offset else { return }
        for index in 0..<size { self[offset + index] = UInt8(truncatingIfNeeded: value >> T(index * 8)) }
    }

    private func number<T: FixedWidthInteger>(_ type: T.Type, at offset: Int) -> T? {
        guard offset >= 0, offset <= count, MemoryLayout<T>.size <= count - offset else { return nil }
        return withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: T.self) }
    }
}

/// Bytes as lower-case hexadecimal text.
func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    let digits = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    for byte in bytes {
        text.append(digits[Int(byte >> 4)])
        text.append(digits[Int(byte & 15)])
    }
    return String(decoding: text, as: UTF8.self)
}
