import UrsaBase
import Yams

/// Turns YAML text into a `YAMLTree` with everything odd refused: tags, repeated keys, keys that are no texts, hidden
/// characters, too much.
struct YAMLDocument {
    /// Deepest nesting of lists and maps; a spec needs six.
    static let depthLimit = 16
    /// Most values in a document, aliases counted as often as they are used.
    static let valueLimit = 50_000

    private var errors: ErrorList
    private var values = 0
    private var isTooLarge = false
    /// Keys that were made unlike their twins to get them through Yams: place to true text.
    private var originals: [Place: String] = [:]

    private let example: String

    private init(file: String, example: String) {
        errors = ErrorList(file: file)
        self.example = example
    }

    /// Reads one document. Faults that leave a readable tree are added to `errors`; nil when there is no tree.
    /// `example` is a smallest file.
    static func read(_ text: String, into errors: inout ErrorList, example: String) -> YAMLTree? {
        let checked: String
        do throws(UrsaError) { checked = try TextCheck.check(text, file: errors.file) } catch {
            errors.add(error)
            return nil
        }
        var document = YAMLDocument(file: errors.file, example: example)
        swap(&document.errors, &errors)
        defer { swap(&document.errors, &errors) }
        guard let root = document.compose(checked) else { return nil }
        return document.tree(root, depth: 0)
    }

    // MARK: - Parsing

    /// Yams stops at the first repeated key and tells only about that. Each time it does, the first of the twins gets
    /// another first letter (columns stay), and the text is read again, so that all faults are found in one go.
    private mutating func compose(_ text: String) -> Node? {
        var text = text
        let remedy = "a smallest file is: \(example)"
        var budget = max(4 << 20, text.utf8.count)
        while true {
            do {
                guard let node = try Yams.compose(yaml: text, .basic, .default, .utf8) else {
                    errors.add(.position(line: 1, column: 1), "the file is empty", remedy: remedy)
                    return nil
                }
                return node
            } catch let error as YamlError {
                budget -= text.utf8.count
                if case .duplicatedKeysInMapping(let names, let context) = error, let name = names.first {
                    let place = Place.position(line: context.mark.line, column: context.mark.column)
                    if budget > 0, originals.count < 32, originals[place] == nil,
                        let changed = changingFirstLetter(text, context.mark, of: name)
                    {
                        originals[place] = name
                        text = changed
                        continue
                    }
                    errors.add(place, "the key \(shown(name)) stands twice", remedy: "remove one of the two")
                    return nil
                }
                report(error, text)
                return nil
            } catch {
                errors.add(.position(line: 1, column: 1), "can't be read as YAML: \(error)")
                return nil
            }
        }
    }

    /// The text with the first letter of the key at `mark` replaced by one of the private use area; nil where that
    /// would change more than the key.
    private func changingFirstLetter(_ text: String, _ mark: Mark, of name: String) -> String? {
        var scalars = Array(text.unicodeScalars)
        var index = 0
        var line = 1
        while line < mark.line, index < scalars.count {
            if scalars[index] == "\n" { line += 1 }
            index += 1
        }
        index += mark.column - 1
        guard index >= 0, index + 1 < scalars.count else { return nil }
        if scalars[index] == "\"" || scalars[index] == "'" { index += 1 }
        guard let first = name.unicodeScalars.first, scalars[index] == first, first != "\"", first != "'",
            first != "\\", first != "&", first != "!", first != "*",
            let letter = Unicode.Scalar(0xe000 + UInt32(originals.count))
        else { return nil }
        scalars[index] = letter
        var changed = String.UnicodeScalarView()
        changed.append(contentsOf: scalars)
        return String(changed)
    }

    private mutating func report(_ error: YamlError, _ text: String) {
        switch error {
        case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _),
            .composer(let context, let problem, let mark, _):
            let place = Place.position(line: mark.line, column: mark.column)
            let (message, remedy) = explain(problem, at: mark, in: text)
            var suffix = ""
            if let context, context.mark.line != mark.line, message.hasPrefix("malformed") {
                suffix = " (\(context.text) from line \(context.mark.line))"
            }
            errors.add(place, message + suffix, remedy: remedy)
        default:
            let place = Place.position(line: 1, column: 1)
            errors.add(place, "malformed YAML: the parser can't read this text")
        }
    }

    /// libyaml's words, with the usual cause where there is one.
    private func explain(_ problem: String, at mark: Mark, in text: String) -> (String, String?) {
        switch problem {
        case "but found another document":
            return ("a second YAML document begins here", "keep one document: remove the `---` and merge the two")
        case "found undefined alias":
            return (
                "malformed YAML: an alias without an anchor above it", "write `&name` at the value it should repeat"
            )
        case _ where problem.hasPrefix("Maximum nesting"):
            return ("nested too deeply", "a spec needs six levels")
        case "found character that cannot start any token":
            let lines = text.split(separator: "\n", maxSplits: mark.line, omittingEmptySubsequences: false)
            let line = mark.line <= lines.count ? Array(lines[mark.line - 1].unicodeScalars) : []
            let scalar = mark.column <= line.count ? line[mark.column - 1] : "?"
            if scalar == "\t" { return ("malformed YAML: a tab where blanks belong", "indent with blanks, not tabs") }
            return ("malformed YAML: a text can't start with \(shown(String(Character(scalar))))", "put it in quotes")
        case "mapping values are not allowed in this context":
            return (
                "malformed YAML: a second `:` on one line, or a wrong indentation",
                "write one `key: value` per line, and put texts that contain `: ` in quotes"
            )
        case "did not find expected key", "did not find expected '-' indicator":
            return ("malformed YAML: \(problem)", "keys of one map, and items of one list, start in the same column")
        case _ where problem.hasPrefix("did not find expected ',' or"):
            return ("malformed YAML: \(problem)", "a bracket opened above is not closed, or a comma is missing")
        case "could not find expected ':'":
            return ("malformed YAML: \(problem)", "every key is followed by a colon and a blank")
        default: return ("malformed YAML: \(problem)", nil)
        }
    }

    // MARK: - Taking over the nodes

    private func place(_ mark: Mark?) -> Place { .position(line: mark?.line ?? 1, column: mark?.column ?? 1) }

    private mutating func tree(_ node: Node, depth: Int) -> YAMLTree? {
        let place = place(node.mark)
        values += 1
        guard values <= YAMLDocument.valueLimit else {
            if !isTooLarge {
                errors.add(
                    place, "the file holds more than \(YAMLDocument.valueLimit) values, aliases written out",
                    remedy: "use fewer aliases, or divide the file into several")
            }
            isTooLarge = true
            return nil
        }
        guard depth < YAMLDocument.depthLimit else {
            errors.add(place, "nested too deeply", remedy: "a spec needs six levels")
            return nil
        }
        switch node {
        case .scalar(let scalar):
            checkTag(scalar.tag, place, isPlain: scalar.style == .plain)
            return .scalar(take(scalar))
        case .sequence(let sequence):
            checkTag(sequence.tag, place, isPlain: true)
            return .list(items(sequence, depth: depth), place)
        case .mapping(let mapping):
            checkTag(mapping.tag, place, isPlain: true)
            return .map(pairs(mapping, depth: depth), place)
        case .alias:
            errors.add(place, "an alias that was not resolved", remedy: "write out what it stands for")
            return nil
        }
    }

    private mutating func items(_ sequence: Node.Sequence, depth: Int) -> [YAMLTree] {
        var items: [YAMLTree] = []
        for node in sequence where !isTooLarge {
            if let item = tree(node, depth: depth + 1) { items.append(item) }
        }
        return items
    }

    private mutating func pairs(_ mapping: Node.Mapping, depth: Int) -> [YAMLPair] {
        var pairs: [YAMLPair] = []
        var seen: [String: Place] = [:]
        for (keyNode, valueNode) in mapping where !isTooLarge {
            guard case .scalar(let scalar) = keyNode else {
                errors.add(place(keyNode.mark), "a key must be a text", remedy: "write `key: value`")
                continue
            }
            let key = take(scalar)
            guard key.text != "<<" || !key.isPlain else {
                errors.add(
                    key.place, "merge keys (`<<`) are not read", remedy: "write the keys out, or alias single values")
                continue
            }
            var isRepeated = false
            if let first = seen[key.text] {
                isRepeated = true
                errors.add(
                    key.place, "\(shown(key.text)) stands twice, first in \(first.short)",
                    remedy: "remove or rename one of the two")
            } else {
                seen[key.text] = key.place
            }
            guard let value = tree(valueNode, depth: depth + 1) else { continue }
            pairs.append(YAMLPair(key: key, value: value, isRepeated: isRepeated))
        }
        return pairs
    }

    private mutating func take(_ scalar: Node.Scalar) -> YAMLScalar {
        let place = place(scalar.mark)
        var text = originals[place] ?? scalar.string
        // Escapes such as "\0" bring in characters that the check of the file's text could not see.
        if let bad = text.unicodeScalars.first(where: { isHarmful($0) && $0 != "\n" && $0 != "\t" }) {
            errors.add(
                place, "the text contains the character U+\(String(bad.value, radix: 16, uppercase: true))",
                remedy: "remove it")
            var rest = String.UnicodeScalarView()
            rest.append(contentsOf: text.unicodeScalars.filter { !isHarmful($0) })
            text = String(rest)
        }
        return YAMLScalar(text: text, isPlain: scalar.style == .plain, place: place)
    }

    private mutating func checkTag(_ tag: Tag, _ place: Place, isPlain: Bool) {
        let name = tag.rawValue
        if name == Tag.Name.implicit.rawValue || (!isPlain && name == Tag.Name.str.rawValue) { return }
        errors.add(place, "tags (\(shown(name))) are not read", remedy: "remove the tag")
    }
}
