import UrsaBase

/// What a verb takes, and the help that says so.
struct ImageSyntax: Sendable {
    /// The verb's name.
    let verb: String
    /// One sentence for lists of commands.
    let abstract: String
    /// The operands as usage shows them: `FILE [SIZE]`.
    let operands: String
    /// Its options.
    let options: [ImageOption]
    /// Paragraphs and examples; `{}` stands for the program and the word before the verb (`ursa image`, `kvm-img`).
    let discussion: String

    /// The page that `--help` prints.
    ///
    /// - Parameter caller: how the program was called: `ursa image` or `kvm-img`.
    func help(caller: String) -> String {
        var out = "OVERVIEW: \(abstract)\n\n\(text(caller: caller))\n\n"
        out += "USAGE: \(caller) \(verb) \(options.isEmpty ? "" : "[OPTIONS] ")\(operands)\n\n"
        return out + "OPTIONS:\n" + optionLines + "\n"
    }

    /// The paragraphs and examples.
    func text(caller: String) -> String { discussion.replacing("{}", with: caller) }

    /// A line for each option, or two where its name is long.
    var optionLines: String {
        var lines: [String] = []
        for option in options + ImageSyntax.general {
            let name = "  " + option.spelling
            var words = ImageSyntax.wrap(option.help, width: 80 - 24)
            if name.count < 23 { lines.append(name.padded(24) + words.removeFirst()) } else { lines.append(name) }
            lines += words.map { String(repeating: " ", count: 24) + $0 }
        }
        return lines.joined(separator: "\n")
    }

    /// Options of all verbs.
    static let general: [ImageOption] = [.flag(nil, "version", "Print the version"), .flag("h", "help", "Print this")]

    /// A text in lines of at most `width` characters, at least one.
    static func wrap(_ text: String, width: Int) -> [String] {
        var lines: [String] = []
        var line = ""
        for word in text.split(separator: " ") {
            if !line.isEmpty, line.count + 1 + word.count > width {
                lines.append(line)
                line = ""
            }
            line += (line.isEmpty ? "" : " ") + word
        }
        return lines + [line]
    }
}
