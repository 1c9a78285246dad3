import UrsaBase

/// Text with the escapes of C: `\n \r \t \e \0 \\ \xNN`.
enum Escapes {
    /// The bytes that the text stands for.
    ///
    /// - Throws: `.usage` when an escape is unknown or cut off.
    static func bytes(_ text: String, option: String) throws(UrsaError) -> [UInt8] {
        var out: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "\\") else {
                out.append(byte)
                continue
            }
            switch rest.popFirst() {
            case UInt8(ascii: "n"): out.append(0x0a)
            case UInt8(ascii: "r"): out.append(0x0d)
            case UInt8(ascii: "t"): out.append(0x09)
            case UInt8(ascii: "e"): out.append(0x1b)
            case UInt8(ascii: "0"): out.append(0)
            case UInt8(ascii: "\\"): out.append(UInt8(ascii: "\\"))
            case UInt8(ascii: "x"):
                let digits = rest.prefix(2)
                guard digits.count == 2, let value = UInt8(String(decoding: digits, as: UTF8.self), radix: 16),
                    digits.first != UInt8(ascii: "+")
                else { throw fault("\\x needs two hexadecimal digits", option) }
                rest = rest.dropFirst(2)
                out.append(value)
            case nil: throw fault("the text ends in a lone backslash", option)
            case let other?:
                throw fault("there is no escape \\\(String(decoding: [other], as: UTF8.self))", option)
            }
        }
        return out
    }

    private static func fault(_ what: String, _ option: String) -> UrsaError {
        UrsaError(.usage, what, place: option, remedy: #"known are \n \r \t \e \0 \\ \xNN"#)
    }
}
