/// A named set or map of an nftables table: addresses, ports and links stand in these and not in rules, so that a
/// packet costs the same with one of them and with a thousand, and so that one more is one more element.
struct NamedSet: Sendable, Hashable {
    /// Name, unique in the table.
    var name: String
    /// Type of the key as nft writes it: `ifname . ifname`.
    var key: String
    /// Type of what a map leads to; nil for a set.
    var value: String?
    /// Elements as nft writes them: `tcp . 8080 : 10.77.0.10 . 80`. Each of them once.
    var elements: [String]
    /// Whether the elements are prefixes or ranges.
    var isRange = false
    /// Whether rules add elements themselves (a limit per source); such a set starts empty and is never counted.
    var isDynamic = false

    /// Whether its elements can be counted in the kernel: a range counts as two there, or as more after it was merged.
    var isCountable: Bool { !isRange && !isDynamic }

    /// What declares it, without the elements.
    var declaration: String {
        let kind = value == nil ? "set" : "map"
        let type = value.map { "\(key) : \($0)" } ?? key
        let flags = isDynamic ? "; size 65535; flags dynamic,timeout; timeout 5m" : isRange ? "; flags interval" : ""
        return "\(kind) \(name) { type \(type)\(flags)"
    }

    /// The whole as it stands in a table's text.
    var text: String {
        let list = elements.isEmpty ? "" : "; elements = { \(elements.joined(separator: ", ")) }"
        return "\(declaration)\(list); }"
    }
}
