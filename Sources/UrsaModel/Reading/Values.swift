import UrsaBase

/// Patterns of the schema for values that several keys share; the readers are stricter.
enum Patterns {
    static let ipv4 = "^[0-9]{1,3}(\\.[0-9]{1,3}){3}$"
    static let ipv6 = "^[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*$"
    static let prefix = "^([0-9]{1,3}(\\.[0-9]{1,3}){3}(/[0-9]{1,2})?|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*(/[0-9]{1,3})?)$"
    static let interface = "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}$"
    static let ports = "^[1-9][0-9]{0,4}(-[1-9][0-9]{0,4})?$"
    static let rate = "^[0-9]{1,12}([KMGkmg]?([Bb][Ii][Tt])?)$"
    static let limit = "^[1-9][0-9]{0,8}/(second|minute|hour|day)( burst [1-9][0-9]{0,8})?$"
}

// MARK: - Addresses

extension ReadContext {
    /// An IPv4 address.
    mutating func ipv4(_ tree: YAMLTree, _ key: String, example: String) -> IPv4Address? {
        guard let word = word(tree, key, example: example) else { return nil }
        if let address = IPv4Address(word) { return address }
        fault(
            tree.place, "\(shown(word)) is no IPv4 address",
            remedy: word.contains("/") ? "write it without the prefix length" : "for example `\(key): \(example)`")
        return nil
    }

    /// An IPv6 address.
    mutating func ipv6(_ tree: YAMLTree, _ key: String, example: String) -> IPv6Address? {
        guard let word = word(tree, key, example: example) else { return nil }
        if let address = IPv6Address(word) { return address }
        fault(
            tree.place, "\(shown(word)) is no IPv6 address",
            remedy: word.contains("/") ? "write it without the prefix length" : "for example `\(key): \(example)`")
        return nil
    }

    /// An address of either family.
    mutating func address(_ tree: YAMLTree, _ key: String, example: String) -> IPAddress? {
        guard let word = word(tree, key, example: example) else { return nil }
        if let address = IPAddress(word) { return address }
        fault(
            tree.place, "\(shown(word)) is no address",
            remedy: word.contains("/") ? "write it without the prefix length" : "for example `\(key): \(example)`")
        return nil
    }

    /// A range of addresses, or an address that stands for itself.
    mutating func prefix(_ tree: YAMLTree, _ key: String) -> AddressPrefix? {
        guard let word = word(tree, key, example: "[192.0.2.0/24]") else { return nil }
        if let prefix = AddressPrefix(word) { return prefix }
        fault(
            tree.place, "\(shown(word)) is no address and no range of addresses",
            remedy: ReadContext.prefixRemedy(word))
        return nil
    }

    private static func prefixRemedy(_ word: String) -> String {
        let parts = word.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        if parts.count == 2, let prefix = Int(parts[1]) {
            if let address = IPv4Address(parts[0]), (0...32).contains(prefix) {
                return "bits beyond the prefix are set: `\(IPv4Network(address, prefix: prefix))`?"
            }
            if let address = IPv6Address(parts[0]), (0...128).contains(prefix) {
                return "bits beyond the prefix are set: `\(IPv6Network(address, prefix: prefix))`?"
            }
        }
        return "for example 192.0.2.0/24, 192.0.2.7 or 2001:db8::/32"
    }

    /// A list of ranges of addresses, or one alone.
    mutating func prefixes(_ tree: YAMLTree, _ key: String) -> [AddressPrefix] {
        readEach(tree, key, example: "[192.0.2.0/24]") { item, context in context.prefix(item, key) }
    }
}

// MARK: - Ports and rates

extension ReadContext {
    /// A port, 1…65535.
    mutating func port(_ tree: YAMLTree, _ key: String, example: Int) -> UInt16? {
        guard let number = integer(tree, key, example: example) else { return nil }
        if let port = UInt16(exactly: number), port > 0 { return port }
        fault(tree.place, "there is no port \(number)", remedy: "ports are 1 to 65535")
        return nil
    }

    /// A port or a range of ports: `80`, `8000-8100`.
    mutating func portRange(_ tree: YAMLTree, _ key: String, example: String) -> ClosedRange<UInt16>? {
        guard let word = word(tree, key, example: example) else { return nil }
        let ends = word.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        let ports = ends.compactMap(PublishSpec.port)
        guard ports.count == ends.count, let first = ports.first, let last = ports.last else {
            fault(
                tree.place, "\(shown(word)) is no port",
                remedy: word.contains(":")
                    ? "a range is written with a hyphen: 8000-8100" : "ports are 1 to 65535; a range is 8000-8100")
            return nil
        }
        guard first <= last else {
            fault(tree.place, "the range of ports \(shown(word)) is empty", remedy: "write \(last)-\(first)")
            return nil
        }
        return first...last
    }

    /// A list of ports and ranges, or one alone.
    mutating func portRanges(_ tree: YAMLTree, _ key: String) -> [ClosedRange<UInt16>] {
        readEach(tree, key, example: "[80, 8000-8100]") { item, context in
            context.portRange(item, key, example: "[80, 8000-8100]")
        }
    }

    /// Bits per second.
    mutating func rate(_ tree: YAMLTree, _ key: String, example: String) -> BitRate? {
        guard let word = word(tree, key, example: example) else { return nil }
        if let rate = BitRate(word) { return rate }
        fault(
            tree.place, "\(shown(word)) is no rate",
            remedy: "write bits per second with K, M or G, for example `\(key): \(example)`")
        return nil
    }
}

// MARK: - Names

extension ReadContext {
    /// A name that another part of the file has; whether there is one is a rule.
    mutating func name(_ tree: YAMLTree, _ key: String, example: String) -> String? {
        word(tree, key, example: example)
    }

    /// A list of such names.
    mutating func names(_ tree: YAMLTree, _ key: String, example: String) -> [String] {
        if case .scalar(let scalar) = tree, scalar.meaning != .null {
            let word = scalar.text.utf8.count <= 32 && !scalar.text.unicodeScalars.contains(where: isHarmful)
            fault(
                tree.place, "`\(key)` wants a list, not \(tree.kind)",
                remedy: "write `\(key): [\(word ? scalar.text : example)]`")
            return []
        }
        return readEach(tree, key, example: "[\(example)]") { item, context in
            context.name(item, key, example: "[\(example)]")
        }
    }

    /// Every item of a list, or the one value that stands alone, by `read`; notes where each stands.
    mutating func readEach<T>(
        _ tree: YAMLTree, _ key: String, example: String, _ read: (YAMLTree, inout ReadContext) -> T?
    ) -> [T] {
        let items: [YAMLTree]
        if case .scalar(let scalar) = tree, scalar.meaning != .null {
            items = [tree]
        } else {
            items = list(tree, key, example: example) ?? []
        }
        var values: [T] = []
        for item in items {
            guard let value = read(item, &self) else { continue }
            note(item: values.count, item.place)
            values.append(value)
        }
        return values
    }

    /// One of the cases of an enumeration, where `others` are words for them that people bring along.
    mutating func choice<T: RawRepresentable & CaseIterable>(
        _ tree: YAMLTree, _ key: String, others: [String: T]
    ) -> T? where T.RawValue == String {
        let words = T.allCases.map(\.rawValue)
        guard let word = word(tree, key, example: words.first ?? "") else { return nil }
        if let value = T(rawValue: word) { return value }
        let meant = T(rawValue: word.lowercased()) ?? others[word.lowercased()]
        fault(
            tree.place, "`\(key)` can't be \(shown(word))",
            remedy: meant.map { "did you mean `\($0.rawValue)`?" } ?? choiceRemedy(word, words))
        return nil
    }
}

extension AddressPrefix {
    /// The shortest text that reads back: an address alone when it is one.
    var short: String { prefix == (address.isIPv6 ? 128 : 32) ? "\(address)" : "\(self)" }
}
