import UrsaBase

/// Text of strangers (guests, file names, arguments) made harmless for a terminal: one line, no control characters.
///
/// C0 and C1 controls (ECMA-48) and the marks that turn writing direction around (Unicode Technical Report 36) are
/// shown as `\x1b`, `\u{202e}`; all other characters stay.
func printable(_ text: String) -> String {
    guard text.unicodeScalars.contains(where: isHarmful) else { return text }
    var out = ""
    for scalar in text.unicodeScalars {
        guard isHarmful(scalar) else {
            out.unicodeScalars.append(scalar)
            continue
        }
        let digits = String(scalar.value, radix: 16)
        out += scalar.value < 0x100 ? "\\x" + (digits.count < 2 ? "0" : "") + digits : "\\u{\(digits)}"
    }
    return out
}

private func isHarmful(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0..<0x20, 0x7f..<0xa0: true
    case 0x200e, 0x200f, 0x2028...0x202e, 0x2066...0x2069, 0xfeff: true
    default: false
    }
}

/// Takes control sequences out of a byte stream, so that a guest's log can't play with the person's terminal.
///
/// What stays: line feeds, tabs, printable ASCII and well-formed UTF-8 without C1 controls. What goes: escape sequences
/// with all that belongs to them (CSI, OSC, DCS, SOS, PM, APC of ECMA-48), all other controls, malformed bytes. A
/// carriage return alone starts a new line, so that progress bars stay readable. State is kept between pieces.
struct ControlFilter {
    private enum State {
        case text
        case escape
        case sequence
        case string
        case stringEscape
        case carriageReturn
    }
    private var state = State.text
    private var pending: [UInt8] = []
    private var expected = 0
    private var stringLength = 0
    /// A string sequence that never ends must not hide the rest of the log.
    private static let longestString = 4096

    /// The harmless part of a piece.
    mutating func filter(_ bytes: some Sequence<UInt8>) -> [UInt8] {
        var out: [UInt8] = []
        for byte in bytes { take(byte, &out) }
        return out
    }

    private mutating func take(_ byte: UInt8, _ out: inout [UInt8]) {
        switch state {
        case .text: text(byte, &out)
        case .carriageReturn:
            if byte == 0x0d { return }
            state = .text
            if byte != 0x0a { out.append(0x0a) }
            text(byte, &out)
        case .escape:
            switch byte {
            case 0x5b: state = .sequence  // [
            case 0x50, 0x58, 0x5d, 0x5e, 0x5f: begin()  // P X ] ^ _
            case 0x20...0x2f: break  // intermediate bytes: the final one follows
            case 0x1b: break
            default:
                state = .text
                if byte < 0x20 { text(byte, &out) }
            }
        case .sequence:
            // Parameters and intermediates are 0x20…0x3f, the final byte 0x40…0x7e; anything else aborts.
            switch byte {
            case 0x20...0x3f: break
            case 0x40...0x7e: state = .text
            default:
                state = .text
                text(byte, &out)
            }
        case .string, .stringEscape:
            stringLength += 1
            if byte == 0x07 || (state == .stringEscape && byte == 0x5c) || stringLength > ControlFilter.longestString {
                state = .text
            } else {
                state = byte == 0x1b ? .stringEscape : .string
            }
        }
    }

    private mutating func begin() {
        state = .string
        stringLength = 0
    }

    private mutating func text(_ byte: UInt8, _ out: inout [UInt8]) {
        if expected > 0 {
            guard byte & 0xc0 == 0x80 else {
                expected = 0
                pending = []
                return text(byte, &out)
            }
            pending.append(byte)
            guard pending.count == expected else { return }
            if let text = String(validating: pending, as: UTF8.self), !text.unicodeScalars.contains(where: isHarmful) {
                out.append(contentsOf: pending)
            }
            expected = 0
            pending = []
            return
        }
        switch byte {
        case 0x09, 0x0a, 0x20...0x7e: out.append(byte)
        case 0x0d: state = .carriageReturn
        case 0x1b: state = .escape
        case 0xc2...0xf4:
            pending = [byte]
            expected = byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4
        default: break
        }
    }
}
