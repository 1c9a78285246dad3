import UrsaBase

/// The `-o name=value,name=value` of a command line; a comma in a value is written twice.
struct KeyValues: Sendable {
    /// Names and values in their order; a name alone counts as `on`.
    private(set) var pairs: [(name: String, value: String)] = []

    /// Reads the values of all `-o`.
    init(_ texts: [String], _ words: ImageWords) throws(UrsaError) {
        for text in texts {
            for part in KeyValues.split(text) {
                guard let equals = part.firstIndex(of: "=") else {
                    let off = part.hasPrefix("no") && part != "nocow"
                    pairs.append(off ? (String(part.dropFirst(2)), "off") : (part, "on"))
                    continue
                }
                guard equals > part.startIndex else { throw words.wrong("'\(part)' in -o has no name") }
                pairs.append((String(part[..<equals]), String(part[part.index(after: equals)...])))
            }
        }
    }

    /// Whether the list of options is asked for.
    static func wantsHelp(_ texts: [String]) -> Bool {
        texts.contains { split($0).contains { $0 == "help" || $0 == "?" } }
    }

    private static func split(_ text: String) -> [String] {
        var parts = [""]
        var rest = Substring(text)
        while let character = rest.popFirst() {
            if character == "," {
                if rest.first == "," {
                    rest.removeFirst()
                } else {
                    parts.append("")
                    continue
                }
            }
            parts[parts.count - 1].append(character)
        }
        return parts.filter { !$0.isEmpty }
    }

    /// The value of a name; of several, the last.
    subscript(name: String) -> String? { pairs.last { $0.name == name }?.value }
    /// Adds a value, as an option of its own (`-b`) does.
    mutating func set(_ name: String, _ value: String) { pairs.append((name, value)) }
}
