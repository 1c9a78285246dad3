extension StringProtocol {
    /// The text without white space and line ends at both ends.
    public var trimmed: String {
        var slice = Substring(self)
        while let first = slice.first, first.isWhitespace { slice.removeFirst() }
        while let last = slice.last, last.isWhitespace { slice.removeLast() }
        return String(slice)
    }

    /// The text padded with blanks on the right to `width` characters.
    public func padded(_ width: Int) -> String {
        let missing = width - count
        return missing > 0 ? String(self) + String(repeating: " ", count: missing) : String(self)
    }
}

/// The candidate nearest to a misspelt word, if one is near enough to be what was meant.
///
/// Distance is optimal string alignment (insert, delete, replace, swap neighbours); near enough is a third of the
/// word's length, at least 1 and at most 3. Words over 64 bytes have no near miss.
public func nearMiss(_ word: String, among candidates: [String]) -> String? {
    guard word.utf8.count <= 64 else { return nil }
    let limit = Swift.max(1, Swift.min(3, word.utf8.count / 3))
    var best: (String, Int)?
    for candidate in candidates where candidate != word {
        let distance = editDistance(Array(word.lowercased().utf8), Array(candidate.lowercased().utf8))
        if distance <= limit, distance < best?.1 ?? Int.max { best = (candidate, distance) }
    }
    return best?.0
}

private func editDistance(_ a: [UInt8], _ b: [UInt8]) -> Int {
    var before: [Int] = []
    var previous = Array(0...b.count)
    for i in 0..<a.count {
        var row = [i + 1]
        for j in 0..<b.count {
            var cost = Swift.min(previous[j + 1] + 1, row[j] + 1, previous[j] + (a[i] == b[j] ? 0 : 1))
            if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { cost = Swift.min(cost, before[j - 1] + 1) }
            row.append(cost)
        }
        before = previous
        previous = row
    }
    return previous[b.count]
}
