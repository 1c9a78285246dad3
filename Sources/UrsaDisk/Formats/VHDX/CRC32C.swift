/// The checksum of Castagnoli (RFC 3720, appendix B.4), which vhdx uses for its structures.
struct CRC32C {
    private static let table: [UInt32] = (0..<256).map { index in
        (0..<8).reduce(UInt32(index)) { value, _ in value & 1 == 1 ? value >> 1 ^ 0x82f6_3b78 : value >> 1 }
    }
    private var state = UInt32.max

    /// Adds bytes.
    mutating func update(_ bytes: UnsafeRawBufferPointer) {
        var state = self.state
        Self.table.withUnsafeBufferPointer { table in
            for byte in bytes { state = table[Int(UInt8(truncatingIfNeeded: state) ^ byte)] ^ state >> 8 }
        }
        self.state = state
    }

    /// The checksum of all bytes so far.
    var value: UInt32 { ~state }

    /// The checksum of a structure whose own checksum, at `place`, counts as zero.
    static func of(_ bytes: [UInt8], without place: Int = 4) -> UInt32 {
        var sum = CRC32C()
        bytes.withUnsafeBytes { bytes in
            sum.update(UnsafeRawBufferPointer(rebasing: bytes[0..<place]))
            withUnsafeBytes(of: UInt32(0)) { sum.update($0) }
            sum.update(UnsafeRawBufferPointer(rebasing: bytes[(place + 4)...]))
        }
        return sum.value
    }
}
