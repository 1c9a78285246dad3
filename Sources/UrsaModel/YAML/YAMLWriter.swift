import UrsaBase

/// Writes JSON values as YAML for people: blocks, quotes only where they are needed.
enum YAMLWriter {
    /// The text of a document, ended by a line feed.
    static func text(_ json: JSON) -> String {
        var out = ""
        switch json {
        case .object(let members) where !members.isEmpty: write(members, indent: 0, to: &out)
        case .array(let items) where !items.isEmpty: write(items, indent: 0, to: &out)
        default: out += scalar(json) + "\n"
        }
        return out
    }

    private static func write(_ members: [JSON.Member], indent: Int, to out: inout String) {
        let margin = String(repeating: " ", count: indent)
        for member in members {
            out += margin + scalar(.string(member.name)) + ":"
            writeValue(member.value, indent: indent + 2, to: &out)
        }
    }

    private static func write(_ items: [JSON], indent: Int, to out: inout String) {
        let margin = String(repeating: " ", count: indent)
        for item in items {
            out += margin + "-"
            if case .object(let members) = item, let first = members.first {
                // The first key stands beside the hyphen.
                out += " " + scalar(.string(first.name)) + ":"
                writeValue(first.value, indent: indent + 4, to: &out)
                write(Array(members.dropFirst()), indent: indent + 2, to: &out)
            } else {
                writeValue(item, indent: indent + 2, to: &out)
            }
        }
    }

    private static func writeValue(_ value: JSON, indent: Int, to out: inout String) {
        switch value {
        case .object(let members) where !members.isEmpty:
            out += "\n"
            write(members, indent: indent, to: &out)
        case .array(let items) where !items.isEmpty:
            out += "\n"
            write(items, indent: indent, to: &out)
        default: out += " " + scalar(value) + "\n"
        }
    }

    /// A value on one line. JSON's texts are YAML's double-quoted ones (YAML 1.2 section 1.3).
    private static func scalar(_ value: JSON) -> String {
        switch value {
        case .string(let text): isPlainSafe(text) ? text : value.text
        case .object: "{}"
        case .array: "[]"
        default: value.text
        }
    }

    /// Whether every YAML parser reads the text, unquoted, as this text.
    private static func isPlainSafe(_ text: String) -> Bool {
        guard let first = text.utf8.first, let last = text.utf8.last, last != UInt8(ascii: ":") else { return false }
        func isWord(_ byte: UInt8) -> Bool {
            (97...122).contains(byte) || (65...90).contains(byte) || (48...57).contains(byte) || byte == 95
        }
        guard isWord(first) || first == UInt8(ascii: "/") || first == UInt8(ascii: ".") else { return false }
        let isFine = text.utf8.allSatisfy { isWord($0) || "./:@+-".utf8.contains($0) }
        guard isFine, !["y", "n", "Y", "N"].contains(text) else { return false }
        return YAMLScalar(text: text, isPlain: true, place: .path("")).meaning == .text
    }
}
