import ArgumentParser
import UrsaBase

/// A time span on the command line: `30`, `1.5`, `90s`, `5m`, `2h`, `7d`; at most ten years.
struct TimeSpan: ExpressibleByArgument {
    /// The span in seconds.
    let value: Double

    /// A span of so many seconds.
    init(_ value: Double) { self.value = value }

    init?(argument: String) {
        let units: [Character: Double] = ["s": 1, "m": 60, "h": 3600, "d": 86400]
        var digits = Substring(argument)
        var factor = 1.0
        if let last = digits.last, let unit = units[last] {
            factor = unit
            digits.removeLast()
        }
        guard !digits.isEmpty, digits.utf8.count <= 12,
            digits.utf8.allSatisfy({ (48...57).contains($0) || $0 == 46 }), let number = Double(digits)
        else { return nil }
        let seconds = number * factor
        guard seconds <= 315_360_000 else { return nil }
        value = seconds
    }

    var defaultValueDescription: String { value == value.rounded() ? "\(Int(value))" : "\(value)" }

    /// The whole number of seconds, rounded up.
    var whole: Int { Int(value.rounded(.up)) }
}

/// A moment on the command line: `10m` (ago), or a time as `ursa events` prints it (RFC 3339, UTC).
struct Moment: ExpressibleByArgument {
    /// Seconds since 1970.
    let value: Double

    init?(argument: String) {
        if let ago = TimeSpan(argument: argument) {
            value = wallClock() - ago.value
            return
        }
        guard let time = Moment.parse(argument) else { return nil }
        value = time
    }

    /// `2026-11-21T10:00:00Z` or `2026-11-21T10:00:00.123Z` as seconds since 1970, years 1970…9999.
    static func parse(_ text: String) -> Double? {
        let bytes = Array(text.utf8)
        let pattern = Array("0000-00-00T00:00:00".utf8)
        guard bytes.count >= 20, bytes.count <= 30, bytes.last == UInt8(ascii: "Z") else { return nil }
        for (byte, wanted) in zip(bytes, pattern) {
            let isDigit = (48...57).contains(byte)
            guard wanted == 48 ? isDigit : byte == wanted else { return nil }
        }
        let fraction = bytes[19..<(bytes.count - 1)]
        if let first = fraction.first {
            guard first == 46, fraction.count > 1, fraction.dropFirst().allSatisfy({ (48...57).contains($0) })
            else { return nil }
        }
        func number(_ range: Range<Int>) -> Int { bytes[range].reduce(0) { $0 * 10 + Int($1 - 48) } }
        let (year, month, day) = (number(0..<4), number(5..<7), number(8..<10))
        let (hour, minute, second) = (number(11..<13), number(14..<16), number(17..<19))
        guard year >= 1970, (1...12).contains(month), (1...31).contains(day), hour < 24, minute < 60, second < 61
        else { return nil }
        // Days from the civil date: years counted from March, so that leap days come last.
        let shifted = month > 2 ? year : year - 1
        let yearDays = shifted * 365 + shifted / 4 - shifted / 100 + shifted / 400
        let days = yearDays + (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1 - 719_468
        let part = Double("0" + String(decoding: fraction, as: UTF8.self)) ?? 0
        return Double(days * 86400 + hour * 3600 + minute * 60 + second) + part
    }
}
