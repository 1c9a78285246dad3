/// Takes questions to the terminal out of a replay.
///
/// A guest that asked for the cursor's place an hour ago (as busybox's shell does at each prompt) wants no answer now:
/// the terminal would give one all the same, and the guest would take it for typed text. What goes: ENQ; CSI sequences
/// that are answered (ECMA-48 DSR `n` and DA `c`, DEC `x` and `$p`, window reports `t`); OSC with `?` and all DCS.
/// Everything else passes unchanged, so the screen looks as it did.
struct QueryFilter {
    private enum State {
        case text
        case escape
        case sequence
        case string
        case stringEscape
    }
    private var state = State.text
    private var held: [UInt8] = []
    /// A sequence that is longer is none.
    private static let longest = 1024

    /// The part of a piece that may be shown. State is kept between pieces.
    mutating func filter(_ bytes: some Sequence<UInt8>) -> [UInt8] {
        var out: [UInt8] = []
        for byte in bytes { take(byte, &out) }
        return out
    }

    /// What is held back because its sequence is not complete; it passes as it is.
    mutating func flush() -> [UInt8] {
        defer {
            held = []
            state = .text
        }
        return held
    }

    private mutating func take(_ byte: UInt8, _ out: inout [UInt8]) {
        if state == .text {
            switch byte {
            case 0x1b:
                held = [byte]
                state = .escape
            case 0x05: break
            default: out.append(byte)
            }
            return
        }
        held.append(byte)
        if held.count > QueryFilter.longest { return pass(&out) }
        switch state {
        case .text: break
        case .escape:
            switch byte {
            case 0x5b: state = .sequence  // [
            case 0x50, 0x5d: state = .string  // P ]
            case 0x5a: end(isQuestion: true, &out)  // DECID
            default: pass(&out)
            }
        case .sequence:
            if (0x20...0x3f).contains(byte) { return }
            let isRequest = held.contains(UInt8(ascii: "$")) && byte == UInt8(ascii: "p")
            end(isQuestion: isRequest || "nctx".utf8.contains(byte), &out)
        case .string:
            if byte == 0x07 { end(isQuestion: asks, &out) } else if byte == 0x1b { state = .stringEscape }
        case .stringEscape: end(isQuestion: byte != 0x5c || asks, &out)
        }
    }

    private var asks: Bool { held.dropFirst().first == 0x50 || held.contains(UInt8(ascii: "?")) }

    private mutating func end(isQuestion: Bool, _ out: inout [UInt8]) {
        if !isQuestion { out.append(contentsOf: held) }
        held = []
        state = .text
    }

    private mutating func pass(_ out: inout [UInt8]) { end(isQuestion: false, &out) }
}
