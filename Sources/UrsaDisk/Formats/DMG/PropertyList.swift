/// The data of an XML property list, as far as a dmg needs it: the content of each `data` element.
///
/// The elements hold base64 (RFC 4648) with white space in it. No entities, no attributes: Apple writes none there.
enum PropertyList {
    /// Calls `body` with each element's bytes; false when the text is not well formed, or an element is not base64.
    static func forEachData<E: Error>(in text: [UInt8], _ body: ([UInt8]) throws(E) -> Void) throws(E) -> Bool {
        var position = 0
        while let start = find("<data>", in: text, from: position) {
            guard let end = find("</data>", in: text, from: start + 6), let bytes = base64(text[(start + 6)..<end])
            else { return false }
            try body(bytes)
            position = end + 7
        }
        return true
    }

    private static func find(_ word: StaticString, in text: [UInt8], from start: Int) -> Int? {
        let count = word.utf8CodeUnitCount
        let wanted = UnsafeBufferPointer(start: word.utf8Start, count: count)
        var position = start
        while position + count <= text.count {
            if text[position] == wanted[0], text[position..<position + count].elementsEqual(wanted) { return position }
            position += 1
        }
        return nil
    }

    /// The bytes that base64 stands for, nil when it is none.
    static func base64(_ text: ArraySlice<UInt8>) -> [UInt8]? {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count / 4 * 3)
        var value: UInt32 = 0
        var digits = 0
        var padding = 0
        for character in text {
            let digit: UInt32
            switch character {
            case 9, 10, 13, 32: continue
            case UInt8(ascii: "="):
                padding += 1
                continue
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): digit = UInt32(character - 65)
            case UInt8(ascii: "a")...UInt8(ascii: "z"): digit = UInt32(character - 71)
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = UInt32(character + 4)
            case UInt8(ascii: "+"): digit = 62
            case UInt8(ascii: "/"): digit = 63
            default: return nil
            }
            guard padding == 0 else { return nil }
            value = value << 6 | digit
            digits += 1
            if digits == 4 {
                bytes += [UInt8(truncatingIfNeeded: value >> 16), UInt8(truncatingIfNeeded: value >> 8)]
                bytes.append(UInt8(truncatingIfNeeded: value))
                value = 0
                digits = 0
            }
        }
        switch digits {
        case 0: return bytes
        case 2: return bytes + [UInt8(truncatingIfNeeded: value >> 4)]
        case 3: return bytes + [UInt8(truncatingIfNeeded: value >> 10), UInt8(truncatingIfNeeded: value >> 2)]
        default: return nil
        }
    }
}
