/// What went wrong, where, and what a person can do about it.
///
/// Every error that reaches a person is one of these. It prints as
/// `message — place — remedy`; parts that are unknown are left out.
public struct UrsaError: Error, Sendable, Equatable {
    /// The kind of failure. It decides the exit status and lets callers react; new kinds may be added.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        private enum Kind: String, Sendable {
            case usage, invalidSpec, notFound, conflict, permission, io, timeout, unsupported, interrupted, bug
        }
        private let kind: Kind
        private init(_ kind: Kind) { self.kind = kind }

        /// The command line was wrong.
        public static let usage = Code(.usage)
        /// A spec, catalogue or other file of the person's is wrong.
        public static let invalidSpec = Code(.invalidSpec)
        /// The named thing does not exist.
        public static let notFound = Code(.notFound)
        /// Something else has the name, address, port or state that was asked for.
        public static let conflict = Code(.conflict)
        /// The caller lacks a right.
        public static let permission = Code(.permission)
        /// The kernel, a program or the network failed.
        public static let io = Code(.io)
        /// A deadline passed.
        public static let timeout = Code(.timeout)
        /// This host or version can't do it.
        public static let unsupported = Code(.unsupported)
        /// The person or a signal ended the work.
        public static let interrupted = Code(.interrupted)
        /// Ursa contradicts itself: a bug to report.
        public static let bug = Code(.bug)

        /// The word used in JSON output.
        public var description: String { kind.rawValue }
        /// Process exit status: 1 failed, 2 wrong usage or spec, 3 not found.
        public var exitStatus: Int32 {
            switch kind {
            case .usage, .invalidSpec: 2
            case .notFound: 3
            default: 1
            }
        }
    }

    /// What one error says. It is behind a reference so that an error is one word: typed throws hand it over in a
    /// register, and calls that don't fail pay nothing for it.
    private struct Content: Sendable, Equatable {
        var code: Code
        var message: String
        var place: String?
        var remedy: String?
        var others: [UrsaError]
    }
    private final class Box: Sendable {
        let content: Content
        init(_ content: Content) { self.content = content }
    }
    private var box: Box

    private subscript<Value>(part: WritableKeyPath<Content, Value>) -> Value {
        get { box.content[keyPath: part] }
        set {
            var content = box.content
            content[keyPath: part] = newValue
            box = Box(content)
        }
    }

    /// The kind of failure.
    public var code: Code {
        get { self[\.code] }
        set { self[\.code] = newValue }
    }
    /// What is wrong, one sentence without a final stop.
    public var message: String {
        get { self[\.message] }
        set { self[\.message] = newValue }
    }
    /// Where: `file:line:column`, an option, a host object.
    public var place: String? {
        get { self[\.place] }
        set { self[\.place] = newValue }
    }
    /// What to do: a command or an instruction.
    public var remedy: String? {
        get { self[\.remedy] }
        set { self[\.remedy] = newValue }
    }
    /// Further errors found together with this one (a spec reports all of its errors at once).
    public var others: [UrsaError] {
        get { self[\.others] }
        set { self[\.others] = newValue }
    }

    /// Makes an error; see the properties for the form of each part.
    public init(
        _ code: Code, _ message: String, place: String? = nil, remedy: String? = nil, others: [UrsaError] = []
    ) {
        box = Box(Content(code: code, message: message, place: place, remedy: remedy, others: others))
    }

    /// Errors are equal when they say the same.
    public static func == (a: UrsaError, b: UrsaError) -> Bool { a.box.content == b.box.content }

    /// One error that carries all of `errors`, or nil when there are none.
    public static func all(_ errors: [UrsaError]) -> UrsaError? {
        guard var first = errors.first else { return nil }
        // Those that it carries already stay with it.
        first.others += errors.dropFirst()
        return first
    }

    /// This error and those reported with it, flat.
    public var flattened: [UrsaError] {
        var alone = self
        alone.others = []
        return [alone] + others.flatMap(\.flattened)
    }

    /// The same error with a place, when it has none yet.
    public func at(_ place: String) -> UrsaError {
        var copy = self
        if copy.place == nil { copy.place = place }
        return copy
    }
}

extension UrsaError: CustomStringConvertible {
    /// `message — place — remedy`, one line for each error.
    public var description: String {
        flattened.map { error in
            [error.message, error.place, error.remedy].compactMap { $0 }.joined(separator: " — ")
        }.joined(separator: "\n")
    }
}
