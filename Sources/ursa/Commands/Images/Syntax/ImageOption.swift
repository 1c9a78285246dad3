/// One option of a verb that takes `qemu-img`'s options, as its parser and its help know it.
struct ImageOption: Sendable {
    /// `f` of `-f`.
    let short: Character?
    /// `output` of `--output`.
    let long: String?
    /// What stands for its value in help; nil: it takes none.
    let value: String?
    /// What it does, without a final stop.
    let help: String

    private init(_ short: Character?, _ long: String?, _ value: String?, _ help: String) {
        self.short = short
        self.long = long
        self.value = value
        self.help = help
    }

    /// An option without a value.
    static func flag(_ short: Character, _ help: String) -> ImageOption { ImageOption(short, nil, nil, help) }
    /// An option without a value that has a long name.
    static func flag(_ short: Character?, _ long: String, _ help: String) -> ImageOption {
        ImageOption(short, long, nil, help)
    }
    /// An option with a value.
    static func option(_ short: Character, _ value: String, _ help: String) -> ImageOption {
        ImageOption(short, nil, value, help)
    }
    /// An option with a value that has a long name.
    static func option(_ short: Character?, _ long: String, _ value: String, _ help: String) -> ImageOption {
        ImageOption(short, long, value, help)
    }

    /// What the words of a command line are kept under: the long name, else the letter.
    var key: String { long ?? short.map(String.init) ?? "" }

    /// `-U, --force-share`, `-f FMT`, `--output FORMAT`.
    var spelling: String {
        let names = [short.map { "-\($0)" }, long.map { "--\($0)" }].compactMap { $0 }.joined(separator: ", ")
        return value.map { "\(names) \($0)" } ?? names
    }
}

/// Options that several verbs have in common.
extension ImageOption {
    static let quiet = flag("q", "Print nothing but errors")
    static let progress = flag("p", "Show how far the work is, as qemu-img does")
    static let share = flag("U", "force-share", "Read an image that another process writes; may see it in between")
    static let json = flag(nil, "json", "Print JSON; errors become JSON lines on standard error")
    static let output = option(nil, "output", "human|json", "How to print the result")
    static let imageOptions = flag(nil, "image-opts", "FILE is a list of qemu's block options (by qemu-img)")
    static let object = option(nil, "object", "DEF", "An object such as a secret, for qemu-img")
    static let allow = option(
        nil, "allow", "FILE", "Open this file when an image names it, wherever it is")
    static let trusted = flag(
        nil, "trust-backing", "Open every file that images name, wherever it is")
    static func format(_ help: String = "Format of FILE") -> ImageOption { option("f", "FMT", help) }
    static let cache = option(
        "t", "CACHE", "unsafe: don't wait until all is on the disk; other modes: wait")
    static let sourceCache = option("T", "CACHE", "none or directsync: read past the page cache")
    static let rate = option("r", "RATE", "At most so many bytes a second")
}
