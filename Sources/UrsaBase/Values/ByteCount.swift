/// A number of bytes: memory and disk sizes. Reads `512M`, `8GiB`, `4096`; units are powers of 1024.
public struct ByteCount: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// The number of bytes.
    public let bytes: UInt64

    /// A count of bytes.
    public init(_ bytes: UInt64) { self.bytes = bytes }
    /// A count of 2^20 bytes.
    public static func mebibytes(_ count: UInt64) -> ByteCount { ByteCount(count << 20) }
    /// A count of 2^30 bytes.
    public static func gibibytes(_ count: UInt64) -> ByteCount { ByteCount(count << 30) }

    /// Reads digits with an optional unit: K, M, G, T, each alone or followed by `B` or `iB`. Nil when malformed or
    /// above 2^63 - 1.
    public init?(_ text: String) {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        guard !digits.isEmpty, let number = UInt64(digits) else { return nil }
        let shift: UInt64
        switch text.dropFirst(digits.count).trimmed.uppercased() {
        case "", "B": shift = 0
        case "K", "KB", "KIB": shift = 10
        case "M", "MB", "MIB": shift = 20
        case "G", "GB", "GIB": shift = 30
        case "T", "TB", "TIB": shift = 40
        default: return nil
        }
        let (value, overflow) = number.multipliedReportingOverflow(by: 1 << shift)
        guard !overflow, value <= UInt64(Int64.max) else { return nil }
        bytes = value
    }

    /// Exact and short: `512M`, `1G`, `1000`; parses back to the same value.
    public var description: String {
        for (shift, unit) in [(40, "T"), (30, "G"), (20, "M"), (10, "K")] as [(UInt64, String)]
        where bytes != 0 && bytes % (1 << shift) == 0 {
            return "\(bytes >> shift)\(unit)"
        }
        return "\(bytes)"
    }

    /// Rounded for people: `3.4 GiB`.
    public var rounded: String {
        for (shift, unit) in [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")] as [(UInt64, String)]
        where bytes >= 1 << shift {
            let tenths = (bytes >> (shift - 10)) * 10 / 1024
            return tenths < 100 ? "\(tenths / 10).\(tenths % 10) \(unit)" : "\(tenths / 10) \(unit)"
        }
        return "\(bytes) B"
    }

    /// Smaller first.
    public static func < (a: ByteCount, b: ByteCount) -> Bool { a.bytes < b.bytes }
}
