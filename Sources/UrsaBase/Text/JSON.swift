/// A JSON value (RFC 8259), with the members of objects in their written order.
///
/// It is here, and not taken from Foundation, because the keeper and the engines speak QMP and must stay small; it is
/// strict about what strangers send: bounded depth and size, no duplicates, no trailing text.
public enum JSON: Sendable, Hashable {
    /// `null`
    case null
    /// `true` or `false`
    case bool(Bool)
    /// A number written without fraction or exponent that fits 64 bits.
    case integer(Int64)
    /// Any other number.
    case number(Double)
    /// A text.
    case string(String)
    /// A list.
    case array([JSON])
    /// Names and values; names are unique.
    case object([Member])

    /// One name and value of an object.
    public struct Member: Sendable, Hashable {
        /// The name.
        public let name: String
        /// The value.
        public let value: JSON
        /// A name with its value.
        public init(_ name: String, _ value: JSON) {
            self.name = name
            self.value = value
        }
    }

    /// The value of a member, nil when this is no object or has no such member.
    public subscript(name: String) -> JSON? {
        guard case .object(let members) = self else { return nil }
        return members.first { $0.name == name }?.value
    }
    /// The text, nil for other kinds.
    public var string: String? { if case .string(let value) = self { value } else { nil } }
    /// The whole number, nil for other kinds.
    public var integer: Int64? { if case .integer(let value) = self { value } else { nil } }
    /// The truth value, nil for other kinds.
    public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
    /// The list, nil for other kinds.
    public var array: [JSON]? { if case .array(let value) = self { value } else { nil } }
    /// The members, nil for other kinds.
    public var members: [Member]? { if case .object(let value) = self { value } else { nil } }

    /// An object without the members whose value is nil.
    public static func record(_ members: KeyValuePairs<String, JSON?>) -> JSON {
        .object(members.compactMap { name, value in value.map { Member(name, $0) } })
    }
}

extension JSON: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
    ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    /// A text.
    public init(stringLiteral value: String) { self = .string(value) }
    /// A whole number.
    public init(integerLiteral value: Int64) { self = .integer(value) }
    /// A truth value.
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    /// A list.
    public init(arrayLiteral elements: JSON...) { self = .array(elements) }
    /// An object, members in order.
    public init(dictionaryLiteral elements: (String, JSON)...) { self = .object(elements.map { Member($0.0, $0.1) }) }
}

// MARK: - Writing

extension JSON {
    /// The value on one line, without blanks.
    public var text: String {
        var out = ""
        write(to: &out, indent: nil, level: 0)
        return out
    }
    /// The value for people: two blanks of indentation.
    public var pretty: String {
        var out = ""
        write(to: &out, indent: "  ", level: 0)
        return out
    }
    /// One line of UTF-8 ended by a line feed, as QMP and our own sockets send it.
    public var line: [UInt8] { Array(text.utf8) + [10] }

    private func write(to out: inout String, indent: String?, level: Int) {
        func breakLine(_ level: Int) {
            guard let indent else { return }
            out += "\n" + String(repeating: indent, count: level)
        }
        switch self {
        case .null: out += "null"
        case .bool(let value): out += value ? "true" : "false"
        case .integer(let value): out += "\(value)"
        case .number(let value): out += value.isFinite ? "\(value)" : "null"
        case .string(let value): JSON.quote(value, to: &out)
        case .array(let values):
            out += "["
            for (index, value) in values.enumerated() {
                if index > 0 { out += "," }
                breakLine(level + 1)
                value.write(to: &out, indent: indent, level: level + 1)
            }
            if !values.isEmpty { breakLine(level) }
            out += "]"
        case .object(let members):
            out += "{"
            for (index, member) in members.enumerated() {
                if index > 0 { out += "," }
                breakLine(level + 1)
                JSON.quote(member.name, to: &out)
                out += indent == nil ? ":" : ": "
                member.value.write(to: &out, indent: indent, level: level + 1)
            }
            if !members.isEmpty { breakLine(level) }
            out += "}"
        }
    }

    private static func quote(_ text: String, to out: inout String) {
        out += "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case "\r": out += "\\r"
            case "\t": out += "\\t"
            case _ where scalar.value < 0x20 || scalar.value == 0x7f:
                let hex = String(scalar.value, radix: 16)
                out += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: out.unicodeScalars.append(scalar)
            }
        }
        out += "\""
    }
}

// MARK: - Reading

extension JSON {
    /// Reads one value that fills `bytes` but for white space.
    ///
    /// - Parameter depth: deepest nesting allowed.
    /// - Throws: `.io` with the byte offset of the first fault.
    public static func parse(_ bytes: [UInt8], depth: Int = 64) throws(UrsaError) -> JSON {
        var parser = JSONParser(bytes: bytes)
        let value = try parser.value(depth: depth)
        parser.skipBlanks()
        guard parser.atEnd else { throw parser.fault("text after the value") }
        return value
    }
    /// Reads one value from text; see `parse(_:depth:)`.
    public static func parse(_ text: String) throws(UrsaError) -> JSON { try parse(Array(text.utf8)) }
}

private struct JSONParser {
    let bytes: [UInt8]
    var position = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    var atEnd: Bool { position >= bytes.count }
    var current: UInt8? { position < bytes.count ? bytes[position] : nil }

    func fault(_ what: String) -> UrsaError { UrsaError(.io, "malformed JSON: \(what)", place: "byte \(position)") }

    mutating func skipBlanks() {
        while let byte = current, byte == 32 || byte == 9 || byte == 10 || byte == 13 { position += 1 }
    }

    mutating func expect(_ word: StaticString) throws(UrsaError) {
        for offset in 0..<word.utf8CodeUnitCount {
            guard current == word.utf8Start[offset] else { throw fault("unknown word") }
            position += 1
        }
    }

    mutating func value(depth: Int) throws(UrsaError) -> JSON {
        guard depth > 0 else { throw fault("nested too deeply") }
        skipBlanks()
        switch current {
        case UInt8(ascii: "{"): return try object(depth: depth)
        case UInt8(ascii: "["): return try array(depth: depth)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): try expect("true"); return .bool(true)
        case UInt8(ascii: "f"): try expect("false"); return .bool(false)
        case UInt8(ascii: "n"): try expect("null"); return .null
        case nil: throw fault("end of text where a value was expected")
        case let byte? where byte == UInt8(ascii: "-") || (48...57).contains(byte): return try number()
        default: throw fault("no value starts like this")
        }
    }

    mutating func array(depth: Int) throws(UrsaError) -> JSON {
        position += 1
        var values: [JSON] = []
        skipBlanks()
        if current == UInt8(ascii: "]") { position += 1; return .array([]) }
        while true {
            values.append(try value(depth: depth - 1))
            skipBlanks()
            switch current {
            case UInt8(ascii: ","): position += 1
            case UInt8(ascii: "]"): position += 1; return .array(values)
            default: throw fault("expected , or ]")
            }
        }
    }

    mutating func object(depth: Int) throws(UrsaError) -> JSON {
        position += 1
        var members: [JSON.Member] = []
        var names: Set<String> = []
        skipBlanks()
        if current == UInt8(ascii: "}") { position += 1; return .object([]) }
        while true {
            skipBlanks()
            guard current == UInt8(ascii: "\"") else { throw fault("expected a name") }
            let name = try string()
            guard names.insert(name).inserted else { throw fault("the name \"\(name)\" stands twice") }
            skipBlanks()
            guard current == UInt8(ascii: ":") else { throw fault("expected :") }
            position += 1
            members.append(JSON.Member(name, try value(depth: depth - 1)))
            skipBlanks()
            switch current {
            case UInt8(ascii: ","): position += 1
            case UInt8(ascii: "}"): position += 1; return .object(members)
            default: throw fault("expected , or }")
            }
        }
    }

    mutating func number() throws(UrsaError) -> JSON {
        let start = position
        var isInteger = true
        if current == UInt8(ascii: "-") { position += 1 }
        let digits = try run("a digit")
        if digits > 1, bytes[position - digits] == UInt8(ascii: "0") { throw fault("a number with a leading zero") }
        if current == UInt8(ascii: ".") { isInteger = false; position += 1; _ = try run("a digit after the point") }
        if current == UInt8(ascii: "e") || current == UInt8(ascii: "E") {
            isInteger = false
            position += 1
            if current == UInt8(ascii: "+") || current == UInt8(ascii: "-") { position += 1 }
            _ = try run("a digit in the exponent")
        }
        let text = String(decoding: bytes[start..<position], as: UTF8.self)
        if isInteger, let value = Int64(text) { return .integer(value) }
        guard let value = Double(text), value.isFinite else { throw fault("a number that can't be read") }
        return .number(value)
    }

    private mutating func run(_ what: String) throws(UrsaError) -> Int {
        let start = position
        while let byte = current, (48...57).contains(byte) { position += 1 }
        guard position > start else { throw fault("expected \(what)") }
        return position - start
    }

    mutating func string() throws(UrsaError) -> String {
        position += 1
        var out: [UInt8] = []
        while true {
            guard let byte = current else { throw fault("a text that does not end") }
            position += 1
            switch byte {
            case UInt8(ascii: "\""):
                guard let text = String(validating: out, as: UTF8.self) else { throw fault("a text that is not UTF-8") }
                return text
            case UInt8(ascii: "\\"): try escape(&out)
            case 0..<32: throw fault("a control character in a text")
            default: out.append(byte)
            }
        }
    }

    private mutating func escape(_ out: inout [UInt8]) throws(UrsaError) {
        guard let byte = current else { throw fault("a text that does not end") }
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): out.append(byte)
        case UInt8(ascii: "b"): out.append(8)
        case UInt8(ascii: "f"): out.append(12)
        case UInt8(ascii: "n"): out.append(10)
        case UInt8(ascii: "r"): out.append(13)
        case UInt8(ascii: "t"): out.append(9)
        case UInt8(ascii: "u"):
            var value = try hex4()
            if (0xd800..<0xdc00).contains(value) {
                // The upper half of a pair; its lower half must follow.
                guard current == UInt8(ascii: "\\"), position + 1 < bytes.count,
                    bytes[position + 1] == UInt8(ascii: "u")
                else { throw fault("half a surrogate pair") }
                position += 2
                let low = try hex4()
                guard (0xdc00..<0xe000).contains(low) else { throw fault("half a surrogate pair") }
                value = 0x10000 + (value - 0xd800) << 10 + (low - 0xdc00)
            }
            guard let scalar = Unicode.Scalar(value) else { throw fault("half a surrogate pair") }
            out.append(contentsOf: Array(String(Character(scalar)).utf8))
        default: throw fault("unknown escape")
        }
    }

    private mutating func hex4() throws(UrsaError) -> UInt32 {
        guard position + 4 <= bytes.count else { throw fault("a short \\u escape") }
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let digit = Character(Unicode.Scalar(bytes[position])).hexDigitValue else {
                throw fault("a bad \\u escape")
            }
            value = value << 4 | UInt32(digit)
            position += 1
        }
        return value
    }
}
