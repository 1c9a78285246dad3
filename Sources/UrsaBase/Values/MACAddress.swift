/// A 48-bit Ethernet address (IEEE 802).
public struct MACAddress: Hashable, Sendable, CustomStringConvertible {
    /// The address in the low 48 bits, first byte highest.
    public let value: UInt64

    /// An address from its low 48 bits.
    public init(_ value: UInt64) { self.value = value & 0xffff_ffff_ffff }

    /// Reads `52:54:00:12:34:56`; nil when malformed.
    public init?(_ text: String) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 6 else { return nil }
        var value: UInt64 = 0
        for part in parts {
            guard part.count == 2, part.allSatisfy(\.isHexDigit), let byte = UInt8(part, radix: 16) else { return nil }
            value = value << 8 | UInt64(byte)
        }
        self.value = value
    }

    /// The six bytes in wire order.
    public var bytes: [UInt8] { (0..<6).map { UInt8(truncatingIfNeeded: value >> (40 - 8 * UInt64($0))) } }
    /// Whether the address names a group; a NIC can't have such a one.
    public var isMulticast: Bool { value >> 40 & 1 == 1 }
    /// `52:54:00:12:34:56`.
    public var description: String { bytes.map(hexByte).joined(separator: ":") }
}

func hexByte(_ byte: UInt8) -> String {
    let text = String(byte, radix: 16)
    return byte < 16 ? "0" + text : text
}

/// Lower-case hexadecimal text of bytes.
public func hexadecimal(_ bytes: some Sequence<UInt8>) -> String { bytes.map(hexByte).joined() }
