import UrsaBase

/// Numbers as `qemu-img` reads them on its command line.
enum ImageNumber {
    /// A size: digits or 0x and hexadecimal digits, perhaps a fraction, with an optional unit b, k, M, G, T, P or E (powers
    /// of 1024, either case). Nil when malformed or above 2^63 - 1.
    static func size(_ text: String) -> UInt64? {
        var text = Substring(text)
        if text.hasPrefix("0x") || text.hasPrefix("0X") {
            let digits = text.dropFirst(2)
            guard !digits.isEmpty, digits.allSatisfy({ $0.isASCII && $0.isHexDigit }),
                let value = UInt64(digits, radix: 16)
            else { return nil }
            return value <= UInt64(Int64.max) ? value : nil
        }
        let units: [Character: UInt64] = ["b": 0, "k": 10, "m": 20, "g": 30, "t": 40, "p": 50, "e": 60]
        var shift: UInt64 = 0
        if let last = text.last, !last.isNumber {
            guard let unit = Character(last.lowercased()) as Character?, let bits = units[unit] else { return nil }
            shift = bits
            text.removeLast()
        }
        let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard let whole = parts.first, !whole.isEmpty,
            parts.allSatisfy({ $0.allSatisfy { $0.isASCII && $0.isNumber } }),
            let number = UInt64(whole)
        else { return nil }
        let (bytes, overflow) = number.multipliedReportingOverflow(by: 1 << shift)
        guard !overflow else { return nil }
        var fraction: UInt64 = 0
        if parts.count == 2 {
            // A fraction of a byte can't be.
            guard shift > 0 || parts[1].allSatisfy({ $0 == "0" }), let share = Double("0." + parts[1] + "0") else {
                return nil
            }
            fraction = UInt64(share * Double(UInt64(1) << shift))
        }
        let (sum, carry) = bytes.addingReportingOverflow(fraction)
        return carry || sum > UInt64(Int64.max) ? nil : sum
    }

    /// Digits only.
    static func count(_ text: String) -> UInt64? {
        text.allSatisfy { $0.isASCII && $0.isNumber } ? UInt64(text) : nil
    }

    /// `on`/`off` as qemu reads them.
    static func truth(_ text: String) -> Bool? {
        switch text {
        case "on", "yes", "true", "y": true
        case "off", "no", "false", "n": false
        default: nil
        }
    }
}

extension ImageWords {
    /// A size given to an option.
    func size(_ key: String, spelled name: String) throws(UrsaError) -> UInt64? {
        guard let text = value(key) else { return nil }
        return try size(text, of: name)
    }

    /// A size given as a word.
    func size(_ text: String, of name: String) throws(UrsaError) -> UInt64 {
        guard let size = ImageNumber.size(text) else {
            throw wrong(
                "'\(text)' is no size for \(name)", "write a number of bytes, or one with k, M, G, T, P or E: 10G")
        }
        return size
    }

    /// A whole number given to an option.
    func number(_ key: String, spelled name: String, in range: ClosedRange<UInt64>) throws(UrsaError) -> UInt64? {
        guard let text = value(key) else { return nil }
        guard let number = ImageNumber.count(text), range.contains(number) else {
            throw wrong(
                "'\(text)' is no number for \(name)", "write one from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }
}
