extension NamedSet {
    /// The sets of a table's text as `Ruleset` wrote it, which must be these in their order with whatever elements; nil
    /// for another text.
    static func read(_ text: String, like sets: [NamedSet]) -> [NamedSet]? {
        let lines = text.utf8.split(separator: UInt8(ascii: "\n")).filter {
            $0.starts(with: "set ".utf8) || $0.starts(with: "map ".utf8)
        }
        guard lines.count == sets.count else { return nil }
        var result: [NamedSet] = []
        for (set, line) in zip(sets, lines) {
            guard let old = set.reading(line) else { return nil }
            result.append(old)
        }
        return result
    }

    /// The set with the elements of a line as `text` is.
    private func reading(_ line: Substring.UTF8View) -> NamedSet? {
        var old = self
        let end = " }; }"
        let start = declaration + "; elements = { "
        if line.elementsEqual("\(declaration); }".utf8) {
            old.elements = []
        } else if line.starts(with: start.utf8), line.suffix(end.utf8.count).elementsEqual(end.utf8),
            line.count > start.utf8.count + end.utf8.count
        {
            // No element has a comma in it.
            let list = line.dropFirst(start.utf8.count).dropLast(end.utf8.count)
            old.elements = list.split(separator: UInt8(ascii: ",")).enumerated().map { index, part in
                String(decoding: index == 0 ? part : part.dropFirst(), as: UTF8.self)
            }
        } else {
            return nil
        }
        return old
    }
}
