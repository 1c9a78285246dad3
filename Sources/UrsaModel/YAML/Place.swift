/// Where a value stands: in a text by line and column, or in a JSON value by its path.
enum Place: Hashable {
    /// Line and column, both from 1; columns count Unicode scalars, as libyaml and most editors do.
    case position(line: Int, column: Int)
    /// Member names and list indices from the root: `machines.web.memory`.
    case path(String)

    /// The place as people read it: `ursa.yaml:3:7`, `ursa.yaml at machines.web`.
    func text(in file: String) -> String {
        switch self {
        case .position(let line, let column): "\(file):\(line):\(column)"
        case .path(""): file
        case .path(let path): "\(file) at \(path)"
        }
    }

    /// The line alone, for a second place named inside a message.
    var short: String {
        switch self {
        case .position(let line, _): "line \(line)"
        case .path(let path): path
        }
    }

    /// Whether this place comes before another of the same file.
    func isBefore(_ other: Place) -> Bool {
        switch (self, other) {
        case (.position(let line, let column), .position(let otherLine, let otherColumn)):
            (line, column) < (otherLine, otherColumn)
        default: false
        }
    }
}

/// A person's own text inside a message: in backquotes, cut at 60 characters, and without anything that could steer
/// a terminal.
func shown(_ text: String) -> String {
    var out = "`"
    for (count, scalar) in text.unicodeScalars.enumerated() {
        guard count < 60 else { return out + "…`" }
        if isHarmful(scalar) {
            out += "\\u{" + String(scalar.value, radix: 16) + "}"
        } else {
            out.unicodeScalars.append(scalar)
        }
    }
    return out + "`"
}

/// Whether a scalar is a control, a line separator beyond LF, a noncharacter, or one that changes the order in which
/// text is displayed (Unicode Technical Report 36, section 2.10: what is read must be what is meant).
func isHarmful(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0..<0x20, 0x7f..<0xa0, 0x2028, 0x2029: true
    case 0x202a...0x202e, 0x2066...0x2069, 0x200e, 0x200f, 0x061c: true
    case 0xfeff, 0xfdd0...0xfdef: true
    case let value where value & 0xfffe == 0xfffe: true
    default: false
    }
}
