/// A chain of an nftables table.
struct Chain: Sendable, Hashable {
    /// Name, unique in the table. None of nft's words: 1.0.6 can't read a chain `fwd` again.
    var name: String
    /// What hangs a base chain on its hook (`type filter hook forward priority -5; policy accept;`), nil for one that is
    /// jumped to. Parts that share a base chain say the same.
    var base: String?
    /// Rules as nft writes them.
    var rules: [String]

    /// The whole as it stands in a table's text.
    var text: String {
        (["chain \(name) {"] + (base.map { [$0] } ?? []) + rules + ["}"]).joined(separator: "\n")
    }
}

extension Chain {
    /// The chains that a rule, or an element of a map, jumps or goes to.
    static func targets(of rule: String) -> [String] {
        let words = rule.split { $0 == " " || $0 == "," }
        return words.indices.dropLast().compactMap { index in
            words[index] == "jump" || words[index] == "goto" ? String(words[index + 1]) : nil
        }
    }
}
