import UrsaBase

/// One parser that a stranger can reach: a function from any bytes, and what must hold for all of them.
///
/// The fuzzer (`scripts/fuzz`) calls `run` millions of times with bytes that it makes up; the tests call it with those
/// that are kept in Fuzz/Corpus. A trap is caught by either.
struct Entry: Sendable {
    /// The name, also that of the corpus's folder.
    let name: String
    /// Longest input worth trying, in bytes.
    let limit: Int
    /// Throws when a rule is broken; bytes that the parser refuses with an error are fine.
    let run: @Sendable ([UInt8]) throws(Violation) -> Void
    /// For models of devices: so many steps of a driver that a seed makes up; nil where inputs are no steps.
    let walk: (@Sendable (_ seed: UInt64, _ steps: Int) throws(Violation) -> Void)?

    init(_ name: String, limit: Int = 1024, _ run: @escaping @Sendable ([UInt8]) throws(Violation) -> Void) {
        self.name = name
        self.limit = limit
        self.run = run
        walk = nil
    }

    /// An entry whose inputs and steps are made in different ways.
    init(
        _ name: String, limit: Int, run: @escaping @Sendable ([UInt8]) throws(Violation) -> Void,
        walk: @escaping @Sendable (_ seed: UInt64, _ steps: Int) throws(Violation) -> Void
    ) {
        self.name = name
        self.limit = limit
        self.run = run
        self.walk = walk
    }

    /// An entry whose inputs are scripts: what a driver does, step by step.
    init(
        _ name: String, limit: Int = 1024, script run: @escaping @Sendable (inout Script) throws(Violation) -> Void
    ) {
        self.name = name
        self.limit = limit
        self.run = { (bytes) throws(Violation) in
            var script = Script(bytes)
            try run(&script)
        }
        walk = { (seed, steps) throws(Violation) in
            var script = Script(seed: seed, steps: steps)
            try run(&script)
        }
    }

    /// All entries.
    static let all: [Entry] =
        text + keeper + spec + images + network + diskFormats + qcow2 + monitor + virtio + engine
}

/// A rule that does not hold.
struct Violation: Error, CustomStringConvertible {
    let description: String
}

/// Throws when a rule does not hold.
func need(_ holds: Bool, _ rule: @autoclosure () -> String) throws(Violation) {
    guard holds else { throw Violation(description: rule()) }
}

/// What `body` returns, nil when it throws: for inputs that may be refused. The error must be fit for a person.
func accepted<Value>(_ body: () throws(UrsaError) -> Value) throws(Violation) -> Value? {
    do throws(UrsaError) { return try body() } catch {
        let all = error.flattened
        try need(all.count <= 100, "\(all.count) errors at once")
        for error in all {
            let length = error.message.utf8.count + (error.place?.utf8.count ?? 0) + (error.remedy?.utf8.count ?? 0)
            try need(length <= 2048, "an error of \(length) bytes: \(error.message.prefix(80))")
            try need(!error.message.isEmpty, "an error without words")
            try need(error.code != .bug, "a bug was found by an input: \(error)")
        }
        return nil
    }
}

/// What must not throw, because it was made from something that was accepted.
func must<Value>(_ what: String, _ body: () throws(UrsaError) -> Value) throws(Violation) -> Value {
    do throws(UrsaError) { return try body() } catch {
        throw Violation(description: "\(what): \(error)")
    }
}

/// The bytes cut into pieces of a length, as they could arrive on a socket.
func pieces(_ bytes: [UInt8], _ length: Int) -> [ArraySlice<UInt8>] {
    stride(from: 0, to: bytes.count, by: max(1, length)).map { bytes[$0...].prefix(max(1, length)) }
}
