/// Writes ACPI Machine Language: each function returns the bytes of one term (ACPI 6.5, 20.2).
enum AML {
    // MARK: Names and integers

    /// A path such as `_SB_.PWRB` or `\_S5`; segments are filled up to four characters with underscores (20.2.2).
    static func path(_ text: String) -> [UInt8] {
        var result: [UInt8] = []
        var rest = Substring(text)
        while let first = rest.first, first == "\\" || first == "^" {
            result += first.utf8
            rest = rest.dropFirst()
        }
        let segments = rest.split(separator: ".")
        switch segments.count {
        case 0: result.append(0)
        case 1: break
        case 2: result.append(0x2e)
        default: result += [0x2f, UInt8(truncatingIfNeeded: segments.count)]
        }
        for segment in segments {
            result += segment.utf8.prefix(4)
            result += [UInt8](repeating: 0x5f, count: max(0, 4 - segment.utf8.count))
        }
        return result
    }

    /// The shortest form of an integer (20.2.3).
    static func integer(_ value: UInt64) -> [UInt8] {
        var result: [UInt8] = []
        switch value {
        case 0, 1: result = [UInt8(value)]
        case ...0xff: result = [0x0a, UInt8(value)]
        case ...0xffff: result = [0x0b]; result.append(little: UInt16(value))
        case ...0xffff_ffff: result = [0x0c]; result.append(little: UInt32(value))
        default: result = [0x0e]; result.append(little: value)
        }
        return result
    }

    /// A text of ASCII characters.
    static func string(_ text: String) -> [UInt8] { [0x0d] + Array(text.utf8) + [0] }

    /// The compressed form of a Plug and Play id such as `PNP0A08` (19.3.4).
    static func eisaID(_ id: String) -> [UInt8] {
        let characters = Array(id.utf8)
        guard characters.count == 7 else { return integer(0) }
        let letters = characters[0..<3].reduce(UInt32(0)) { $0 << 5 | UInt32($1 &- 0x40) & 0x1f }
        let digits = UInt32(id.suffix(4), radix: 16) ?? 0
        return integer(UInt64((letters << 16 | digits).byteSwapped))
    }

    // MARK: Objects

    /// Length of a package, itself included (20.2.4).
    private static func sized(_ content: [UInt8]) -> [UInt8] {
        func encoded(_ length: Int, _ extra: Int) -> [UInt8] {
            if extra == 0 { return [UInt8(length)] }
            var bytes = [UInt8(extra << 6 | length & 0xf)]
            for index in 0..<extra { bytes.append(UInt8(truncatingIfNeeded: length >> (4 + 8 * index))) }
            return bytes
        }
        for extra in 0..<3 {
            let total = content.count + 1 + extra
            if total < (extra == 0 ? 64 : 1 << (4 + 8 * extra)) { return encoded(total, extra) + content }
        }
        return encoded(content.count + 4, 3) + content
    }

    static func name(_ path: String, _ value: [UInt8]) -> [UInt8] { [0x08] + AML.path(path) + value }
    static func scope(_ path: String, _ terms: [[UInt8]]) -> [UInt8] {
        [0x10] + sized(AML.path(path) + Array(terms.joined()))
    }
    static func device(_ path: String, _ terms: [[UInt8]]) -> [UInt8] {
        [0x5b, 0x82] + sized(AML.path(path) + Array(terms.joined()))
    }
    static func package(_ elements: [[UInt8]]) -> [UInt8] {
        [0x12] + sized([UInt8(truncatingIfNeeded: elements.count)] + Array(elements.joined()))
    }
    static func buffer(_ bytes: [UInt8]) -> [UInt8] { [0x11] + sized(integer(UInt64(bytes.count)) + bytes) }
    /// A serialized method.
    static func method(_ path: String, arguments: UInt8, _ terms: [[UInt8]]) -> [UInt8] {
        [0x14] + sized(AML.path(path) + [arguments & 7 | 8] + Array(terms.joined()))
    }
    static func notify(_ path: String, _ value: UInt64) -> [UInt8] { [0x86] + AML.path(path) + integer(value) }

    // MARK: Resources (6.4)

    /// A resource template of descriptors, with its end tag.
    static func resources(_ descriptors: [[UInt8]]) -> [UInt8] { buffer(Array(descriptors.joined()) + [0x79, 0]) }

    static func ports(_ start: UInt16, _ count: UInt8) -> [UInt8] {
        var bytes: [UInt8] = [0x47, 1]
        bytes.append(little: start)
        bytes.append(little: start)
        return bytes + [1, count]
    }

    /// An edge-triggered interrupt of the ISA bus.
    static func isaInterrupt(_ number: UInt16) -> [UInt8] {
        var bytes: [UInt8] = [0x22]
        bytes.append(little: UInt16(1) << number)
        return bytes
    }

    /// An edge-triggered, active-high interrupt by its number at the IOAPICs.
    static func interrupt(_ gsi: UInt32) -> [UInt8] {
        var bytes: [UInt8] = [0x89, 6, 0, 0b0011, 1]
        bytes.append(little: gsi)
        return bytes
    }

    static func memory32(_ start: UInt32, _ size: UInt32) -> [UInt8] {
        var bytes: [UInt8] = [0x86, 9, 0, 1]
        bytes.append(little: start)
        bytes.append(little: size)
        return bytes
    }

    /// Bus numbers that a bridge produces.
    static func busNumbers(_ range: ClosedRange<UInt16>) -> [UInt8] {
        window([0x88, 0x0d, 0, 2, 0x0c, 0], range.lowerBound, range.upperBound)
    }
    /// Ports that a bridge produces.
    static func portWindow(_ range: ClosedRange<UInt16>) -> [UInt8] {
        window([0x88, 0x0d, 0, 1, 0x0c, 3], range.lowerBound, range.upperBound)
    }
    /// Memory that a bridge produces, read and write, not cached.
    static func memoryWindow32(_ range: Range<UInt64>) -> [UInt8] {
        window(
            [0x87, 0x17, 0, 0, 0x0c, 1], UInt32(truncatingIfNeeded: range.lowerBound),
            UInt32(truncatingIfNeeded: range.upperBound - 1))
    }
    /// Memory above 4 GiB that a bridge produces, read and write, not cached.
    static func memoryWindow64(_ range: Range<UInt64>) -> [UInt8] {
        window([0x8a, 0x2b, 0, 0, 0x0c, 1], range.lowerBound, range.upperBound - 1)
    }

    /// Granularity, first, last, translation and length of an address space descriptor (6.4.3.5).
    private static func window<T: FixedWidthInteger>(_ head: [UInt8], _ first: T, _ last: T) -> [UInt8] {
        var bytes = head
        for value in [0, first, last, 0, last - first + 1] as [T] { bytes.append(little: value) }
        return bytes
    }
}
