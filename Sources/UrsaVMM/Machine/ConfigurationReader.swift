import UrsaBase

/// Reads one object of the configuration; every error names the key. Keys that nobody asked for are errors too.
struct ConfigurationReader {
    private let members: [JSON.Member]
    private let path: String
    private var known: Set<String> = []

    init(_ json: JSON, path: String = "") throws(UrsaError) {
        guard let members = json.members else {
            throw ConfigurationReader.wrong(path.isEmpty ? "the configuration" : path, "must be an object")
        }
        self.members = members
        self.path = path
    }

    static func wrong(_ key: String, _ what: String) -> UrsaError {
        UrsaError(.usage, "\(key) \(what)", place: "the machine's configuration")
    }

    func key(_ name: String) -> String { path.isEmpty ? name : "\(path).\(name)" }
    private func wrong(_ name: String, _ what: String) -> UrsaError { ConfigurationReader.wrong(key(name), what) }

    mutating func value(_ name: String) -> JSON? {
        known.insert(name)
        let value = members.first { $0.name == name }?.value
        return value == .null ? nil : value
    }

    mutating func integer(_ name: String, _ range: ClosedRange<Int64>) throws(UrsaError) -> Int64? {
        guard let value = value(name) else { return nil }
        guard let number = value.integer, range.contains(number) else {
            throw wrong(name, "must be a whole number \(range.lowerBound) … \(range.upperBound)")
        }
        return number
    }

    mutating func needed(_ name: String, _ range: ClosedRange<Int64>) throws(UrsaError) -> Int64 {
        guard let number = try integer(name, range) else { throw wrong(name, "is missing") }
        return number
    }

    /// A descriptor's number.
    mutating func descriptor(_ name: String) throws(UrsaError) -> Int32? {
        try integer(name, 0...Int64(Int32.max)).map { Int32($0) }
    }

    /// One descriptor's number or a list of some; an absent key is an empty list.
    mutating func descriptors(_ name: String, atMost limit: Int) throws(UrsaError) -> [Int32] {
        guard let value = value(name) else { return [] }
        let elements = value.array ?? [value]
        let numbers = elements.compactMap { element in element.integer.flatMap { Int32(exactly: $0) } }
        guard numbers.count == elements.count, numbers.count <= limit, numbers.allSatisfy({ $0 >= 0 }) else {
            throw wrong(name, "must be the number of an open descriptor, or a list of at most \(limit)")
        }
        return numbers
    }

    mutating func neededDescriptor(_ name: String) throws(UrsaError) -> Int32 {
        guard let fd = try descriptor(name) else { throw wrong(name, "is missing: the number of an open descriptor") }
        return fd
    }

    mutating func flag(_ name: String, _ otherwise: Bool) throws(UrsaError) -> Bool {
        guard let value = value(name) else { return otherwise }
        guard let flag = value.bool else { throw wrong(name, "must be true or false") }
        return flag
    }

    mutating func text(_ name: String) throws(UrsaError) -> String? {
        guard let value = value(name) else { return nil }
        guard let text = value.string else { throw wrong(name, "must be a text") }
        return text
    }

    mutating func choice<Choice: RawRepresentable & CaseIterable>(
        _ name: String, _ type: Choice.Type = Choice.self
    ) throws(UrsaError) -> Choice? where Choice.RawValue == String {
        guard let text = try text(name) else { return nil }
        guard let choice = Choice(rawValue: text) else {
            throw wrong(name, "must be one of " + Choice.allCases.map(\.rawValue).joined(separator: ", "))
        }
        return choice
    }

    /// The objects of a list, each with its place; an absent list is empty.
    mutating func objects(_ name: String, atMost limit: Int) throws(UrsaError) -> [ConfigurationReader] {
        guard let value = value(name) else { return [] }
        guard let array = value.array else { throw wrong(name, "must be a list") }
        guard array.count <= limit else {
            throw wrong(name, "has \(array.count) elements; at most \(limit) are possible")
        }
        var readers: [ConfigurationReader] = []
        for (index, element) in array.enumerated() {
            readers.append(try ConfigurationReader(element, path: "\(key(name))[\(index)]"))
        }
        return readers
    }

    mutating func object(_ name: String) throws(UrsaError) -> ConfigurationReader? {
        guard let value = value(name) else { return nil }
        return try ConfigurationReader(value, path: key(name))
    }

    /// To be called last.
    func finish() throws(UrsaError) {
        if let stranger = members.first(where: { !known.contains($0.name) }) {
            throw wrong(stranger.name, "is not known")
        }
    }
}
