/// The checksum of Castagnoli (RFC 3720, appendix B.4), which vhdx uses for its structures.
struct CRC32C {
    /// What a byte does to the sum, then what it does when one to seven more bytes have followed: eight bytes are taken
    /// at a time, for a table of a vhdx file alone has 64 KiB.
    private static let tables: [UInt32] = {
        var tables: [UInt32] = []
        for byte: UInt32 in 0..<256 {
            var value = byte
            for _ in 0..<8 {
                let isOdd = value & 1 == 1
                value >>= 1
                if isOdd { value ^= 0x82f6_3b78 }
            }
            tables.append(value)
        }
        for index in 256..<2048 {
            let value = tables[index - 256]
            tables.append(tables[Int(value & 0xff)] ^ (value >> 8))
        }
        return tables
    }()
    private var state = UInt32.max

    /// Adds bytes.
    mutating func update(_ bytes: UnsafeRawBufferPointer) {
        var state = self.state
        Self.tables.withUnsafeBufferPointer { tables in
            var index = 0
            while index + 8 <= bytes.count {
                var word = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self))
                word ^= UInt64(state)
                state = 0
                for place in 0..<8 {
                    state ^= tables[(7 - place) * 256 + Int(word & 0xff)]
                    word >>= 8
                }
                index += 8
            }
            while index < bytes.count {
                state = tables[Int(UInt8(truncatingIfNeeded: state) ^ bytes[index])] ^ (state >> 8)
                index += 1
            }
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
