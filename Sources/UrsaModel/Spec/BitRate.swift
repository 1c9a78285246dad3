/// Bits per second, as a person writes them: `800K`, `10M`, `2G`. Powers of 1000, as networks count (IEC 80000-13).
public struct BitRate: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// Bits per second.
    public let bitsPerSecond: UInt64

    /// So many bits per second.
    public init(bitsPerSecond: UInt64) { self.bitsPerSecond = bitsPerSecond }

    /// Bytes per second, rounded down, at least 1.
    public var bytesPerSecond: UInt64 { max(1, bitsPerSecond / 8) }

    /// Reads digits alone (bits), or with K, M or G, and `bit` after that; nil when malformed or too large.
    public init?(_ text: String) {
        let digits = text.prefix { ("0"..."9").contains($0) }
        guard (1...12).contains(digits.utf8.count), digits == "0" || digits.first != "0", let number = UInt64(digits)
        else { return nil }
        let factor: UInt64? =
            switch text.dropFirst(digits.count).lowercased() {
            case "", "bit": 1
            case "k", "kbit": 1000
            case "m", "mbit": 1_000_000
            case "g", "gbit": 1_000_000_000
            default: nil
            }
        guard let factor else { return nil }
        let (bits, overflow) = number.multipliedReportingOverflow(by: factor)
        guard !overflow else { return nil }
        bitsPerSecond = bits
    }

    /// The shortest form that reads back: `10M`.
    public var description: String {
        for (unit, letter) in [(1_000_000_000, "G"), (1_000_000, "M"), (1000, "K")] as [(UInt64, String)]
        where bitsPerSecond != 0 && bitsPerSecond % unit == 0 {
            return "\(bitsPerSecond / unit)\(letter)"
        }
        return "\(bitsPerSecond)"
    }

    /// By bits per second.
    public static func < (a: BitRate, b: BitRate) -> Bool { a.bitsPerSecond < b.bitsPerSecond }
}
