import Glibc
import UrsaBase

/// Texts as `qemu-img` prints them, so that scripts read them the same way.
enum ImageText {
    /// `10 MiB`, `1.5 GiB`, `0 B`: three significant digits.
    static func size(_ bytes: UInt64) -> String {
        let units = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"]
        // As many powers of 1024 as keep the number below 1000 when rounded.
        var index = 0
        var value = Double(bytes)
        while value >= 999.5, index < units.count - 1 {
            value /= 1024
            index += 1
        }
        return "\(threeDigits(value)) \(units[index])B"
    }

    /// Three significant digits without trailing zeros, as `%0.3g` prints numbers below 1000.
    static func threeDigits(_ value: Double) -> String {
        var buffer = [CChar](repeating: 0, count: 64)
        _ = withVaList([value]) { vsnprintf(&buffer, buffer.count, "%0.3g", $0) }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// A share with two decimals: `12.50`.
    static func percent(_ part: UInt64, of whole: UInt64) -> String {
        twoDecimals(whole == 0 ? 0 : Double(part) * 100 / Double(whole))
    }

    /// `12.50`.
    static func twoDecimals(_ value: Double) -> String {
        var buffer = [CChar](repeating: 0, count: 64)
        _ = withVaList([value]) { vsnprintf(&buffer, buffer.count, "%1.2f", $0) }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// `0.123`.
    static func threeDecimals(_ value: Double) -> String {
        var buffer = [CChar](repeating: 0, count: 64)
        _ = withVaList([value]) { vsnprintf(&buffer, buffer.count, "%3.3f", $0) }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// `0x10000`, `0` for zero, padded to 16 columns: a number of `map`.
    static func column(_ value: UInt64) -> String { (value == 0 ? "0" : "0x" + String(value, radix: 16)).padded(16) }

    /// `00:01:02.345` of nanoseconds.
    static func clock(_ nanoseconds: UInt64) -> String {
        let seconds = nanoseconds / 1_000_000_000
        return
            "\(two(seconds / 3600)):\(two(seconds / 60 % 60)):\(two(seconds % 60)).\(three(nanoseconds / 1_000_000 % 1000))"
    }

    /// `2026-11-21 04:53:41`, local time.
    static func date(_ seconds: UInt64) -> String {
        var time = time_t(clamping: seconds)
        var parts = tm()
        guard localtime_r(&time, &parts) != nil else { return "?" }
        let day = "\(Int(parts.tm_year) + 1900)-\(two(UInt64(parts.tm_mon + 1)))-\(two(UInt64(parts.tm_mday)))"
        return "\(day) \(two(UInt64(parts.tm_hour))):\(two(UInt64(parts.tm_min))):\(two(UInt64(parts.tm_sec)))"
    }

    /// Padded on the left.
    static func right(_ text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(0, width - text.count)) + text
    }

    private static func two(_ value: UInt64) -> String { value < 10 ? "0\(value)" : "\(value)" }
    private static func three(_ value: UInt64) -> String {
        value < 10 ? "00\(value)" : value < 100 ? "0\(value)" : "\(value)"
    }
}
