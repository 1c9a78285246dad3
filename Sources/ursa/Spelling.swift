import ArgumentParser
import UrsaBase

/// Wrong command lines, told in the one form of all errors: what — where — what to do.
enum Spelling {
    /// The error for a word that stands where a command is expected and is none.
    ///
    /// The parser itself would say "unexpected argument" and suggest nothing.
    static func unknownCommand(in arguments: [String]) -> UrsaError? {
        var type: any ParsableCommand.Type = UrsaCommand.self
        var path = ["ursa"]
        for word in arguments {
            let names = commands(of: type)
            guard !names.isEmpty, !word.hasPrefix("-"), word != "help" else { return nil }
            guard let next = names.first(where: { $0.name == word }) else {
                let visible = names.filter { $0.type.configuration.shouldDisplay }.map(\.name)
                let near = nearMiss(word, among: visible)
                let place = path.joined(separator: " ")
                return UrsaError(
                    .usage, "there is no command '\(word)'", place: place,
                    remedy: near.map { "did you mean '\($0)'?" } ?? "`\(place) --help` lists the commands")
            }
            path.append(word)
            type = next.type
        }
        return nil
    }

    /// A message of the parser as an error of ours.
    static func usageError(_ message: String, arguments: [String]) -> UrsaError {
        let path = commandPath(arguments)
        var text = message.split(whereSeparator: \.isNewline).map { $0.trimmed }.joined(separator: " ")
        var remedy = "see `\(path) --help`"
        for marker in [". Did you mean ", ". Please provide "] {
            guard let range = text.firstRange(of: marker) else { continue }
            let advice = lowerFirst(String(text[range.lowerBound...].dropFirst(2)))
            text = String(text[..<range.lowerBound])
            // The parser finds near what is not: `--rm` for `--zzz`.
            let (wrong, meant) = (quoted(text), quoted(advice))
            if marker.contains("mean"), let wrong, let meant, nearMiss(wrong, among: [meant]) == nil { continue }
            remedy = advice
        }
        if text.hasSuffix(".") { text.removeLast() }
        return UrsaError(.usage, lowerFirst(text), place: path, remedy: remedy)
    }

    /// `ursa image pull` of an argument list that starts with these words.
    static func commandPath(_ arguments: [String]) -> String {
        var type: any ParsableCommand.Type = UrsaCommand.self
        var path = ["ursa"]
        for word in arguments {
            guard let next = commands(of: type).first(where: { $0.name == word }) else { break }
            path.append(word)
            type = next.type
        }
        return path.joined(separator: " ")
    }

    /// The verb that the first words name, with its own arguments; nil where they name none, or a group of verbs.
    static func verb(_ arguments: [String]) -> (any ParsableCommand.Type, [String])? {
        var type: any ParsableCommand.Type = UrsaCommand.self
        var rest = arguments[...]
        while case let names = commands(of: type), !names.isEmpty {
            guard let next = names.first(where: { $0.name == rest.first }) else { return nil }
            type = next.type
            rest = rest.dropFirst()
        }
        return (type, Array(rest))
    }

    private static func commands(
        of type: any ParsableCommand.Type
    ) -> [(name: String, type: any ParsableCommand.Type)] {
        let configuration = type.configuration
        let all = configuration.ungroupedSubcommands + configuration.groupedSubcommands.flatMap(\.subcommands)
        return all.flatMap { type in
            let name = type.configuration.commandName ?? ""
            return ([name] + type.configuration.aliases).map { ($0, type) }
        }
    }

    /// What stands between the first two quotation marks.
    private static func quoted(_ text: String) -> String? {
        let parts = text.split(separator: "'", maxSplits: 2, omittingEmptySubsequences: false)
        return parts.count == 3 ? String(parts[1]) : nil
    }

    private static func lowerFirst(_ text: String) -> String { text.prefix(1).lowercased() + text.dropFirst() }
}
