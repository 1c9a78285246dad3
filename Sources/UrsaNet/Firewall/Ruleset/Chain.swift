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
    /// The chain that a rule jumps or goes to.
    static func target(of rule: String) -> String? {
        let words = rule.split(separator: " ")
        guard let verb = words.lastIndex(where: { $0 == "jump" || $0 == "goto" }), verb + 1 < words.endIndex
        else { return nil }
        return String(words[verb + 1])
    }
}
