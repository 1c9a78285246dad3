import UrsaBase

/// What a reader needs at hand: the errors so far, and where each part of the spec stood.
struct ReadContext {
    /// The errors found.
    var errors: ErrorList
    /// Where the parts of the spec stand.
    private(set) var places: [SpecPath: Place] = [:]
    /// Parts that could not be read, so that rules about them stay silent.
    private(set) var broken: Set<SpecPath> = []
    /// Whether unknown members are passed over: the store may hold specs of a later version.
    let isLenient: Bool
    /// The part being read; nil outside of specs.
    var path: SpecPath?
    /// Zones written as a bare list of names, by index: what the names stand for is known once all is read.
    var shortZones: Set<Int> = []

    init(errors: ErrorList, isLenient: Bool = false) {
        self.errors = errors
        self.isLenient = isLenient
    }

    /// Notes that the part at `path` stands at `place`, and makes it the part being read.
    mutating func enter(_ path: SpecPath?, _ place: Place) {
        self.path = path
        if let path { places[path] = place }
    }

    /// Notes where an item of the list being read stands. Items that can't be read are no part of the spec and have no
    /// index; they break the list.
    mutating func note(item: Int, _ place: Place) {
        guard var part = path else { return }
        part.item = item
        places[part] = place
    }

    /// Notes that a part stands where another one was read.
    mutating func note(_ path: SpecPath, standsAt other: SpecPath) {
        if let place = places[other] { places[path] = place }
    }

    /// Adds an error about the part being read.
    mutating func fault(
        _ place: Place, _ message: @autoclosure () -> String, remedy: @autoclosure () -> String? = nil
    ) {
        errors.add(place, message(), remedy: remedy())
        if let path { broken.insert(path) }
    }

    /// Adds an error that a text parser found about the part being read.
    mutating func fault(_ place: Place, _ error: UrsaError) { fault(place, error.message, remedy: error.remedy) }

    /// Adds the findings that say something new.
    mutating func add(_ findings: [Finding]) {
        let brokenSections = Set(broken.map(\.section))
        for finding in findings
        where !isBroken(finding.path) && !finding.looksAt.contains(where: isBroken)
            && brokenSections.isDisjoint(with: finding.looksThrough)
        {
            let place = place(of: finding.path)
            let other = finding.against.map(self.place)
            let whereElse = other.flatMap { $0 == place ? nil : " (\($0.short))" } ?? ""
            errors.add(place, finding.message + whereElse, remedy: finding.remedy)
        }
    }

    private func isBroken(_ path: SpecPath) -> Bool {
        if broken.contains(path) { return true }
        // An item of a list that could not be read breaks the list for rules that look at all of it.
        guard path.item == nil, let key = path.key else { return broken.contains(SpecPath(whole: path.section)) }
        return broken.contains { $0.section == path.section && $0.index == path.index && $0.key == key }
    }

    private func place(of path: SpecPath) -> Place {
        var next: SpecPath? = path
        while let current = next {
            if let place = places[current] { return place }
            next = current.enclosing
        }
        return .position(line: 1, column: 1)
    }
}

// MARK: - Values of a kind

extension ReadContext {
    /// A text. `example` shows the right form.
    mutating func text(_ tree: YAMLTree, _ key: String, example: String) -> String? {
        guard case .scalar(let scalar) = tree else {
            fault(tree.place, "`\(key)` wants a text, not \(tree.kind)", remedy: "for example `\(key): \(example)`")
            return nil
        }
        switch scalar.meaning {
        case .text: return scalar.text
        case .null:
            fault(scalar.place, "`\(key)` has no value", remedy: "for example `\(key): \(example)`")
        case .bool, .number:
            fault(
                scalar.place, "`\(key)` wants a text, not \(scalar.kind)",
                remedy: "if that is meant, put it in quotes: \"\(scalar.text)\"")
        }
        return nil
    }

    /// The text of a scalar of whatever kind: for values such as `no` and `8080:80`, which YAML takes for others.
    mutating func word(_ tree: YAMLTree, _ key: String, example: String) -> String? {
        guard case .scalar(let scalar) = tree else {
            fault(tree.place, "`\(key)` wants a text, not \(tree.kind)", remedy: "for example `\(key): \(example)`")
            return nil
        }
        guard scalar.meaning != .null else {
            fault(scalar.place, "`\(key)` has no value", remedy: "for example `\(key): \(example)`")
            return nil
        }
        return scalar.text
    }

    /// One of the cases of an enumeration.
    mutating func choice<T: RawRepresentable & CaseIterable>(_ tree: YAMLTree, _ key: String) -> T?
    where T.RawValue == String {
        let words = T.allCases.map(\.rawValue)
        guard let word = word(tree, key, example: words.first ?? "") else { return nil }
        if let value = T(rawValue: word) { return value }
        fault(tree.place, "`\(key)` can't be \(shown(word))", remedy: choiceRemedy(word, words))
        return nil
    }

    /// A whole number, written plainly.
    mutating func integer(_ tree: YAMLTree, _ key: String, example: Int) -> Int? {
        guard case .scalar(let scalar) = tree, scalar.meaning != .null else {
            fault(tree.place, "`\(key)` wants a number, not \(tree.kind)", remedy: "for example `\(key): \(example)`")
            return nil
        }
        let digits = scalar.text.hasPrefix("-") ? scalar.text.dropFirst() : Substring(scalar.text)
        let isDigits = !digits.isEmpty && digits.utf8.allSatisfy { (48...57).contains($0) }
        guard isDigits, scalar.isPlain else {
            let remedy =
                isDigits ? "write it without quotes: `\(key): \(scalar.text)`" : "for example `\(key): \(example)`"
            fault(scalar.place, "`\(key)` wants a whole number, not \(scalar.kind)", remedy: remedy)
            return nil
        }
        guard digits == "0" || digits.first != "0" else {
            fault(
                scalar.place, "`\(key)` wants a number without leading zeros, not \(shown(scalar.text))",
                remedy: "YAML parsers don't agree on whether it is octal")
            return nil
        }
        guard let value = Int(scalar.text) else {
            fault(scalar.place, "the number \(shown(scalar.text)) of `\(key)` is too large")
            return nil
        }
        return value
    }

    /// `true` or `false`, and none of YAML 1.1's other words for them.
    mutating func flag(_ tree: YAMLTree, _ key: String) -> Bool? {
        if case .scalar(let scalar) = tree, scalar.isPlain {
            if scalar.text == "true" { return true }
            if scalar.text == "false" { return false }
        }
        fault(
            tree.place, "`\(key)` wants true or false, not \(tree.kind)",
            remedy: "write `\(key): true` or `\(key): false`")
        return nil
    }

    /// The items of a list.
    mutating func list(_ tree: YAMLTree, _ key: String, example: String) -> [YAMLTree]? {
        if case .list(let items, _) = tree { return items }
        fault(tree.place, "`\(key)` wants a list, not \(tree.kind)", remedy: "for example `\(key): \(example)`")
        return nil
    }

    /// The pairs of a map.
    mutating func map(_ tree: YAMLTree, _ what: String, example: String) -> [YAMLPair]? {
        if case .map(let pairs, _) = tree { return pairs }
        fault(tree.place, "\(what) wants a map, not \(tree.kind)", remedy: "for example `\(example)`")
        return nil
    }
}

/// What to do about a word that is none of `words`.
func choiceRemedy(_ word: String, _ words: [String]) -> String {
    if let near = nearMiss(word, among: words) { return "did you mean `\(near)`?" }
    guard let last = words.last, words.count > 1 else { return "it can be `\(words.first ?? "")`" }
    return "it can be \(words.dropLast().map { "`\($0)`" }.joined(separator: ", ")) or `\(last)`"
}

// MARK: - Maps of known keys

extension ReadContext {
    /// Reads the pairs of a map by their fields into `target`.
    ///
    /// - Parameters:
    ///   - what: what the map stands for, with article: `a machine`.
    ///   - unknown: called for keys that are no field's; returns whether it has dealt with the key.
    mutating func read<Target>(
        _ pairs: [YAMLPair], at place: Place, _ fields: [Field<Target>], of what: String, into target: inout Target,
        unknown: (YAMLPair, inout ReadContext) -> Bool = { _, _ in false }
    ) {
        let whole = path
        let depth = whole?.key == nil ? 0 : 1
        var present: Set<String> = []
        for pair in pairs where !pair.isRepeated {
            guard let field = fields.first(where: { $0.key == pair.key.text }) else {
                path = whole
                if !isLenient, !unknown(pair, &self) { unknownKey(pair.key, fields, of: what) }
                continue
            }
            present.insert(field.key)
            if depth == 0 {
                enter(whole?.with(field.key), pair.value.place)
            } else {
                var inner = whole
                inner?.member = field.key
                enter(inner, pair.value.place)
            }
            field.read(pair.value, &self, &target)
        }
        for field in fields where field.isRequired && !present.contains(field.key) {
            path = whole?.with(field.key)
            if depth != 0 {
                path = whole
                path?.member = field.key
            }
            fault(place, "\(what) needs `\(field.key)`", remedy: field.about)
        }
        path = whole
    }

    private mutating func unknownKey<Target>(_ key: YAMLScalar, _ fields: [Field<Target>], of what: String) {
        let meant =
            fields.first { $0.otherWords.contains(key.text.lowercased()) }?.key
            ?? nearMiss(key.text.replacingUnderscores, among: fields.map(\.key))
            ?? fields.first { $0.key == key.text.lowercased().replacingUnderscores }?.key
        let remedy =
            meant.map { "did you mean `\($0)`?" }
            ?? "the keys are \(fields.map { "`\($0.key)`" }.joined(separator: ", "))"
        // An unknown key breaks nothing else: the part it stands in was read.
        errors.add(key.place, "\(what) has no key \(shown(key.text))", remedy: remedy)
    }
}

extension String {
    fileprivate var replacingUnderscores: String { String(map { $0 == "_" ? "-" : $0 }) }
}
