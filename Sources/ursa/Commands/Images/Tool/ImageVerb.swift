import UrsaBase

/// A verb on image files that takes `qemu-img`'s words and ends with its statuses.
protocol ImageVerb: Sendable {
    /// What it takes, for the parser and the help.
    static var syntax: ImageSyntax { get }
    /// The status of an end by an error, wrong usage included.
    static var failure: Int32 { get }
    /// Does the work and prints what came of it; returns the exit status.
    static func run(_ words: ImageWords, _ call: ImageCall) throws(UrsaError) -> Int32
    /// What is done to the words before they are taken apart.
    static func prepare(_ words: [String]) -> [String]
}

extension ImageVerb {
    static var failure: Int32 { 1 }
    static func prepare(_ words: [String]) -> [String] { words }
}

/// How a verb was called: what is needed to hand the whole call on.
struct ImageCall: Sendable {
    /// The verb and the words after it, as they came.
    let words: [String]
    /// `ursa image` or `kvm-img`.
    let caller: String
}

/// The verbs on image files: found by their names, without the general parser, whose start alone takes longer than most
/// of them.
enum ImageTool {
    /// All verbs.
    static let verbs: [any ImageVerb.Type] = [
        BenchImage.self, CheckImage.self, CommitImage.self, CompareImages.self, ConvertImage.self, CreateImage.self,
        DuplicateImage.self, ImageInformation.self, MapImage.self, MeasureImage.self, RebaseImage.self,
        ResizeImage.self,
        SnapshotImage.self,
    ]

    /// The names under which the program is `qemu-img`.
    private static let names: Set<String> = ["kvm-img", "qemu-img"]

    /// The verb's words when a command line is for this tool.
    ///
    /// - Parameter program: the name that the program was called by, as a path perhaps.
    static func call(program: String, arguments: [String]) -> ImageCall? {
        let name = Path.name(program)
        if names.contains(name) { return ImageCall(words: arguments, caller: name) }
        guard arguments.count >= 2, arguments[0] == "image" || arguments[0] == "images",
            verb(arguments[1]) != nil
        else { return nil }
        return ImageCall(words: Array(arguments.dropFirst()), caller: "ursa image")
    }

    static func verb(_ name: String) -> (any ImageVerb.Type)? { verbs.first { $0.syntax.verb == name } }

    /// Runs a call to its end, errors told; returns the exit status.
    static func run(_ call: ImageCall) -> Int32 {
        guard let name = call.words.first, let verb = verb(name) else { return general(call) }
        do throws(UrsaError) {
            let words = try ImageWords(
                verb.prepare(Array(call.words.dropFirst())), for: verb.syntax, caller: call.caller)
            if words.wantsHelp {
                Screen.write(verb.syntax.help(caller: call.caller))
                return 0
            }
            if words.has("version") {
                Screen.line(ursaVersion)
                return 0
            }
            if try words.wantsJSON { Screen.isJSON = true }
            return try verb.run(words, call)
        } catch {
            Screen.fail(error)
            return verb.failure
        }
    }

    /// `kvm-img` without a verb of ours.
    private static func general(_ call: ImageCall) -> Int32 {
        let word = call.words.first ?? ""
        if ["-h", "--help", "help"].contains(word) {
            Screen.write(help(call.caller))
            return 0
        }
        if ["-V", "--version"].contains(word) {
            Screen.line("\(call.caller) of ursa \(ursaVersion)")
            return 0
        }
        if handedOn.contains(word) {
            do throws(UrsaError) { return try QEMUImage.handOn(call) } catch { Screen.fail(error) }
            return 1
        }
        let near = nearMiss(word, among: verbs.map { $0.syntax.verb })
        let message =
            word.isEmpty
            ? "a command is missing" : "there is no \(word.hasPrefix("-") ? "option" : "command") '\(word)'"
        let remedy = near.map { "did you mean '\($0)'?" } ?? "`\(call.caller) --help` lists the commands"
        Screen.fail(UrsaError(.usage, message, place: call.caller, remedy: remedy))
        return 1
    }

    /// Verbs that only qemu-img has.
    private static let handedOn = ["amend", "bitmap"]

    private static func help(_ caller: String) -> String {
        var text = "OVERVIEW: Make, check, convert and look at disk images, as qemu-img does.\n\n"
        text += "USAGE: \(caller) COMMAND [OPTIONS] FILE...\n\nCOMMANDS:\n"
        for verb in verbs { text += "  " + verb.syntax.verb.padded(10) + verb.syntax.abstract + "\n" }
        text += "\nExample:\n  \(caller) create -f qcow2 disk.qcow2 10G\n\n"
        return text + "`\(caller) COMMAND --help` tells of each. `amend` and `bitmap` go to qemu-img.\n"
    }
}
