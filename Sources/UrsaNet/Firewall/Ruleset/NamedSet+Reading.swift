extension NamedSet {
    /// The sets of a table's text as `Ruleset` writes it; nil for another text.
    static func read(_ text: String) -> [NamedSet]? {
        var sets: [NamedSet] = []
        for line in text.split(separator: "\n") where line.hasPrefix("set ") || line.hasPrefix("map ") {
            guard let set = NamedSet(line: String(line)) else { return nil }
            sets.append(set)
        }
        return sets
    }

    /// Reads the line that `text` is.
    private init?(line: String) {
        guard let head = line.cut(" { type "), let body = head.after.cut("; }", last: true), body.after.isEmpty
        else { return nil }
        let words = head.before.split(separator: " ")
        guard words.count == 2 else { return nil }
        var rest = body.before
        var elements: [String] = []
        if let list = rest.cut("; elements = { ") {
            guard list.after.hasSuffix(" }") else { return nil }
            elements = String(list.after.dropLast(2)).parted(by: ", ")
            rest = list.before
        }
        let type = rest.cut("; ")?.before ?? rest
        let sides = type.cut(" : ")
        self.init(
            name: String(words[1]), key: sides?.before ?? type, value: sides?.after, elements: elements,
            isRange: rest.hasSuffix("; flags interval"), isDynamic: rest.contains("; flags dynamic"))
        guard text == line else { return nil }
    }
}

extension String {
    /// The text before and after a separator, the first or the last of them.
    fileprivate func cut(_ separator: String, last: Bool = false) -> (before: String, after: String)? {
        let bytes = Array(utf8)
        let sought = Array(separator.utf8)
        guard bytes.count >= sought.count else { return nil }
        let places = 0...(bytes.count - sought.count)
        func fits(_ place: Int) -> Bool { bytes[place..<(place + sought.count)].elementsEqual(sought) }
        guard let place = last ? places.last(where: fits) : places.first(where: fits) else { return nil }
        return (
            String(decoding: bytes[..<place], as: UTF8.self),
            String(decoding: bytes[(place + sought.count)...], as: UTF8.self)
        )
    }

    /// The parts between separators of two characters.
    fileprivate func parted(by separator: String) -> [String] {
        let sought = Array(separator.utf8)
        var parts: [String] = []
        var part: [UInt8] = []
        for byte in utf8 {
            part.append(byte)
            if part.suffix(sought.count).elementsEqual(sought) {
                parts.append(String(decoding: part.dropLast(sought.count), as: UTF8.self))
                part.removeAll(keepingCapacity: true)
            }
        }
        return parts + [String(decoding: part, as: UTF8.self)]
    }
}
