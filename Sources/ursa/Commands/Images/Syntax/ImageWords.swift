import UrsaBase

/// The words of a verb's command line, taken apart as getopt_long(3) does it for `qemu-img`: letters may stand together
/// (`-pq`), values may stick to their letter (`-fraw`), long names may be cut short, options and operands may mix.
struct ImageWords: Sendable {
    /// Values by the option's key, in their order; an empty text for a flag.
    private var values: [String: [String]] = [:]
    /// The words that are no options.
    private(set) var operands: [String] = []
    /// How the verb was called: `ursa image create`.
    let place: String
    /// Whether help is asked for.
    private(set) var wantsHelp = false

    /// Takes a command line apart.
    ///
    /// - Throws: `.usage` for an unknown option and a missing or unwanted value.
    init(_ words: [String], for syntax: ImageSyntax, caller: String) throws(UrsaError) {
        place = "\(caller) \(syntax.verb)"
        let options = syntax.options + ImageSyntax.general
        var rest = words[...]
        while let word = rest.popFirst() {
            if word == "--" {
                operands += rest
                break
            }
            if word.hasPrefix("--") {
                try long(String(word.dropFirst(2)), options, &rest)
            } else if word.hasPrefix("-"), word != "-" {
                try letters(word.dropFirst(), options, &rest)
            } else {
                operands.append(word)
            }
        }
    }

    private mutating func long(
        _ text: String, _ options: [ImageOption], _ rest: inout ArraySlice<String>
    ) throws(UrsaError) {
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        let name = parts.first ?? ""
        let names = options.compactMap(\.long)
        let matches = names.contains(name) ? [name] : names.filter { !name.isEmpty && $0.hasPrefix(name) }
        guard let match = matches.first, let option = options.first(where: { $0.long == match }) else {
            throw wrong(
                "there is no option '--\(name)'",
                nearMiss(name, among: names).map { "did you mean '--\($0)'?" })
        }
        guard matches.count == 1 else {
            throw wrong("'--\(name)' may be each of \(matches.map { "--" + $0 }.joined(separator: ", "))")
        }
        guard option.value != nil else {
            guard parts.count == 1 else { throw wrong("the option --\(match) takes no value") }
            return add(option, "")
        }
        guard let value = parts.count == 2 ? parts[1] : rest.popFirst() else {
            throw wrong("the option --\(match) needs a value")
        }
        add(option, value)
    }

    private mutating func letters(
        _ text: Substring, _ options: [ImageOption], _ rest: inout ArraySlice<String>
    ) throws(UrsaError) {
        var text = text
        while let letter = text.popFirst() {
            guard let option = options.first(where: { $0.short == letter }) else {
                throw wrong("there is no option '-\(letter)'")
            }
            guard option.value != nil else {
                add(option, "")
                continue
            }
            guard let value = text.isEmpty ? rest.popFirst() : String(text) else {
                throw wrong("the option -\(letter) needs a value")
            }
            return add(option, value)
        }
    }

    private mutating func add(_ option: ImageOption, _ value: String) {
        if option.key == "help" { wantsHelp = true }
        values[option.key, default: []].append(value)
    }

    /// Whether an option was given.
    func has(_ key: String) -> Bool { values[key] != nil }
    /// The value of an option; of several, the last.
    func value(_ key: String) -> String? { values[key]?.last }
    /// All values of an option, in their order.
    func all(_ key: String) -> [String] { values[key] ?? [] }

    /// An error of usage at this command line.
    func wrong(_ message: String, _ remedy: String? = nil) -> UrsaError {
        UrsaError(.usage, message, place: place, remedy: remedy ?? "see `\(place) --help`")
    }

    /// The operands, when there are as many as asked for.
    ///
    /// - Parameter names: what they are, for the error.
    func operands(_ names: String...) throws(UrsaError) -> [String] {
        if operands.count < names.count { throw wrong("\(names[operands.count]) is missing") }
        if operands.count > names.count {
            throw wrong("'\(operands[names.count])' is one word too many")
        }
        return operands
    }

    /// Whether the result is to be printed as JSON: `--json` or `--output=json`.
    var wantsJSON: Bool {
        get throws(UrsaError) {
            switch value("output") {
            case nil: return has("json")
            case "json": return true
            case "human": return has("json")
            case let other?:
                throw wrong("'\(other)' is no way to print a result", "write --output=human or --output=json")
            }
        }
    }
}
