import UrsaBase

/// A YAML document, or a JSON value, as the readers see it: texts with their place, not yet given types.
///
/// YAML gives `no`, `8080:80` and `12` types of its own (differently in 1.1 and 1.2). Here every scalar keeps its text,
/// and what it means is decided by the key it stands under.
enum YAMLTree {
    case scalar(YAMLScalar)
    case list([YAMLTree], Place)
    case map([YAMLPair], Place)

    /// Where the value starts.
    var place: Place {
        switch self {
        case .scalar(let scalar): scalar.place
        case .list(_, let place), .map(_, let place): place
        }
    }

    /// What kind of value it is, for messages: `a list`, `the number 5`.
    var kind: String {
        switch self {
        case .scalar(let scalar): scalar.kind
        case .list: "a list"
        case .map: "a map"
        }
    }

    /// Whether nothing was written, or `null` or `~`.
    var isNull: Bool {
        if case .scalar(let scalar) = self { scalar.meaning == .null } else { false }
    }
}

/// One key with its value.
struct YAMLPair {
    let key: YAMLScalar
    let value: YAMLTree
    /// Whether the same key stands further up in the same map; that has been reported already.
    var isRepeated = false
}

/// A text with the way it was written.
struct YAMLScalar {
    let text: String
    /// Written without quotes and not as a block.
    let isPlain: Bool
    let place: Place

    /// What YAML parsers take a plain scalar for.
    enum Meaning { case text, null, bool, number }

    /// What parsers of YAML 1.1 (yaml.org/type) or 1.2 (section 10.3, core schema) take it for; where they differ, not
    /// for a text.
    var meaning: Meaning {
        guard isPlain else { return .text }
        switch text {
        case "", "~", "null", "Null", "NULL": return .null
        default: break
        }
        switch text.lowercased() {
        case "true", "false", "yes", "no", "on", "off": return .bool
        case ".inf", "+.inf", "-.inf", ".nan": return .number
        default: return YAMLScalar.looksLikeNumber(text) ? .number : .text
        }
    }

    /// The kind for messages.
    var kind: String {
        switch meaning {
        case .null: text.isEmpty ? "nothing" : shown(text) + ", which is nothing"
        case .bool: "the truth value " + shown(text)
        case .number: "the number " + shown(text)
        case .text: "the text " + shown(text)
        }
    }

    /// Digits with sign, point, exponent, underscores, base prefix, or the colons of base 60.
    static func looksLikeNumber(_ text: String) -> Bool {
        var rest = Substring(text)
        if let first = rest.first, first == "+" || first == "-" { rest.removeFirst() }
        if rest.hasPrefix("0x") || rest.hasPrefix("0o") || rest.hasPrefix("0b") {
            let digits = rest.dropFirst(2)
            return !digits.isEmpty && digits.allSatisfy { $0.isHexDigit || $0 == "_" }
        }
        guard let first = rest.utf8.first, (48...57).contains(first) || (first == 46 && rest.utf8.count > 1) else {
            return false
        }
        var exponent = false
        var points = 0
        var previous: UInt8 = 0
        for byte in rest.utf8 {
            switch byte {
            case 48...57, UInt8(ascii: "_"): break
            case UInt8(ascii: "."):
                points += 1
                if points > 1 { return false }
            case UInt8(ascii: ":"): if exponent || previous == 58 { return false }
            case UInt8(ascii: "e"), UInt8(ascii: "E"):
                if exponent { return false }
                exponent = true
            case UInt8(ascii: "+"), UInt8(ascii: "-"):
                guard previous == UInt8(ascii: "e") || previous == UInt8(ascii: "E") else { return false }
            default: return false
            }
            previous = byte
        }
        return (48...57).contains(previous) || previous == 46 || previous == 95
    }
}

extension YAMLTree {
    /// A JSON value as a tree; places are paths below `path`.
    init(_ json: JSON, path: String = "") {
        func plain(_ text: String) -> YAMLTree {
            .scalar(YAMLScalar(text: text, isPlain: true, place: .path(path)))
        }
        switch json {
        case .null: self = plain("")
        case .bool(let value): self = plain(value ? "true" : "false")
        case .integer(let value): self = plain("\(value)")
        case .number(let value): self = plain("\(value)")
        case .string(let value): self = .scalar(YAMLScalar(text: value, isPlain: false, place: .path(path)))
        case .array(let values):
            let items = values.enumerated().map { index, value in YAMLTree(value, path: "\(path)[\(index)]") }
            self = .list(items, .path(path))
        case .object(let members):
            let pairs = members.map { member in
                let inner = path.isEmpty ? member.name : path + "." + member.name
                let key = YAMLScalar(text: member.name, isPlain: false, place: .path(inner))
                return YAMLPair(key: key, value: YAMLTree(member.value, path: inner))
            }
            self = .map(pairs, .path(path))
        }
    }
}
