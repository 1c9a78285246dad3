import ArgumentParser

/// The key that leaves a console: `^]`, `^A`, `ctrl-p`, one character, or `none`.
struct DetachKey: ExpressibleByArgument {
    /// The byte that the key sends; nil when there is none.
    let byte: UInt8?

    init?(argument: String) {
        if argument == "none" {
            byte = nil
            return
        }
        var letter = argument
        var isControl = false
        for prefix in ["^", "ctrl-", "Ctrl-", "C-"] where letter.hasPrefix(prefix) && letter.count == prefix.count + 1 {
            letter.removeFirst(prefix.count)
            isControl = true
            break
        }
        guard letter.utf8.count == 1, let value = letter.uppercased().utf8.first else { return nil }
        if isControl {
            // The control of a letter is its low five bits (ECMA-48): @ A-Z [ \ ] ^ _.
            guard (0x40...0x5f).contains(value) else { return nil }
            byte = value & 0x1f
        } else {
            guard let plain = letter.utf8.first, (0x21...0x7e).contains(plain) else { return nil }
            byte = plain
        }
    }

    /// Ctrl-], as of telnet(1) and virsh(1).
    static let standard = DetachKey(byte: 0x1d)
    private init(byte: UInt8?) { self.byte = byte }

    /// `Ctrl-]`.
    var description: String {
        guard let byte else { return "none" }
        return byte < 0x20 ? "Ctrl-\(Character(Unicode.Scalar(byte + 0x40)))" : "\(Character(Unicode.Scalar(byte)))"
    }
    var defaultValueDescription: String { byte == 0x1d ? "^]" : description }
}
