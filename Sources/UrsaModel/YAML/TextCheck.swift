import UrsaBase

/// What a text must be before the YAML parser sees it: small, real UTF-8, free of characters that hide things, and
/// free of the one construct whose cost the parser does not bound.
enum TextCheck {
    /// Largest file read, in bytes. A thousand machines with every key written out take a third of it.
    static let sizeLimit = 1 << 20

    /// The text without a leading byte order mark.
    ///
    /// - Throws: `.invalidSpec` with the position of the first fault.
    static func check(_ text: String, file: String) throws(UrsaError) -> String {
        guard text.utf8.count <= sizeLimit else {
            throw UrsaError(
                .invalidSpec, "the file is larger than \(ByteCount(UInt64(sizeLimit)).rounded)", place: "\(file):1:1",
                remedy: "name the right file, or divide it into several")
        }
        var scalars = Substring(text).unicodeScalars
        if scalars.first == "\u{feff}" { scalars.removeFirst() }
        try checkCharacters(scalars, file: file)
        let rest = String(scalars)
        try checkKeys(Array(rest.utf8), file: file)
        return rest
    }

    /// The text of bytes that must be UTF-8.
    static func decode(_ bytes: [UInt8], file: String) throws(UrsaError) -> String {
        if let text = String(validating: bytes, as: UTF8.self) { return text }
        // Find the line: the longest prefix of lines that is valid.
        var line = 1
        for part in bytes.split(separator: 10, omittingEmptySubsequences: false) {
            if String(validating: part, as: UTF8.self) == nil { break }
            line += 1
        }
        throw notUTF8(file, line, 1)
    }

    private static func notUTF8(_ file: String, _ line: Int, _ column: Int) -> UrsaError {
        UrsaError(
            .invalidSpec, "the file is not UTF-8 text", place: "\(file):\(line):\(column)",
            remedy: "save it as UTF-8")
    }

    private static func checkCharacters(
        _ scalars: Substring.UnicodeScalarView, file: String
    ) throws(UrsaError) {
        var line = 1
        var column = 1
        var afterReturn = false
        for scalar in scalars {
            if afterReturn, scalar != "\n" {
                throw UrsaError(
                    .invalidSpec, "a carriage return without a line feed", place: "\(file):\(line):\(column - 1)",
                    remedy: "save the file with LF or CRLF line ends")
            }
            afterReturn = scalar == "\r"
            switch scalar {
            case "\n":
                line += 1
                column = 1
                continue
            case "\t", "\r": break
            case "\u{fffd}": throw notUTF8(file, line, column)
            case _ where isHarmful(scalar):
                let hex = String(scalar.value, radix: 16, uppercase: true)
                let code = String(repeating: "0", count: max(0, 4 - hex.count)) + hex
                throw UrsaError(
                    .invalidSpec, "the character U+\(code) must not be in this file",
                    place: "\(file):\(line):\(column)",
                    remedy: "remove it; a text that needs it can't be said here")
            default: break
            }
            column += 1
        }
        if afterReturn {
            throw UrsaError(
                .invalidSpec, "a carriage return without a line feed", place: "\(file):\(line):\(column - 1)",
                remedy: "save the file with LF or CRLF line ends")
        }
    }

    /// Refuses files whose keys are lists or maps in a way that costs much time.
    ///
    /// Yams compares the keys of every map by hashing them whole, aliases expanded: `? *a : …` with nested aliases
    /// ("billion laughs") would run for years, and `? ? ? …` takes the square of its length. A spec has no such key at
    /// all, so the test looks at bytes only (also those in texts), errs on the safe side, and lets small amounts pass:
    /// they are refused later, with their place.
    private static func checkKeys(_ bytes: [UInt8], file: String) throws(UrsaError) {
        func at(_ index: Int) -> UInt8 { index >= 0 && index < bytes.count ? bytes[index] : 10 }
        func isNameByte(_ byte: UInt8) -> Bool {
            (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte) || byte == 95
                || byte == 45
        }
        func isBlank(_ byte: UInt8) -> Bool { byte == 32 || byte == 9 || byte == 10 || byte == 13 }

        var hasAlias = false
        var suspect: (line: Int, column: Int)?
        var suspects = 0
        var line = 1
        var lineStart = 0
        var index = 0
        while index < bytes.count {
            if index == lineStart, let end = endOfComment(bytes, index) {
                index = end
                continue
            }
            let byte = bytes[index]
            var isSuspect = false
            switch byte {
            case 10:
                line += 1
                lineStart = index + 1
            case UInt8(ascii: "*") where isNameByte(at(index + 1)):
                hasAlias = true
                var next = index + 1
                while isNameByte(at(next)) { next += 1 }
                while at(next) == 32 || at(next) == 9 { next += 1 }
                isSuspect = at(next) == UInt8(ascii: ":")
            case UInt8(ascii: "?"):
                let before = at(index - 1)
                isSuspect = isBlank(at(index + 1)) && (isBlank(before) || "[{,-:?\"'".utf8.contains(before))
            case UInt8(ascii: "]"), UInt8(ascii: "}"):
                var next = index + 1
                while at(next) == 32 || at(next) == 9 { next += 1 }
                isSuspect = at(next) == UInt8(ascii: ":")
            default: break
            }
            if isSuspect {
                suspects += 1
                if suspect == nil { suspect = (line, index - lineStart + 1) }
            }
            index += 1
        }
        if let suspect, suspects * bytes.count > 8 * sizeLimit {
            throw UrsaError(
                .invalidSpec, "the file has \(suspects) keys that may be lists or maps",
                place: "\(file):\(suspect.line):\(suspect.column)",
                remedy: "write `key: value`, with plain texts as keys")
        }
        if hasAlias, let suspect {
            throw UrsaError(
                .invalidSpec, "aliases (`*name`) together with a key that is not a plain text",
                place: "\(file):\(suspect.line):\(suspect.column)",
                remedy: "write the key as a plain text, or write out what the aliases stand for")
        }
    }

    /// The end of a line that holds nothing but a comment, nil for other lines. A line with quotes may close a text
    /// that began above it, so it never counts as a comment.
    private static func endOfComment(_ bytes: [UInt8], _ start: Int) -> Int? {
        var index = start
        while index < bytes.count, bytes[index] == 32 { index += 1 }
        guard index < bytes.count, bytes[index] == UInt8(ascii: "#") else { return nil }
        while index < bytes.count, bytes[index] != 10 {
            if bytes[index] == UInt8(ascii: "\"") || bytes[index] == UInt8(ascii: "'") { return nil }
            index += 1
        }
        return index
    }
}
