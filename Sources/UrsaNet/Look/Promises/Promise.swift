public import UrsaBase

/// Something that the spec makes people expect, and what real packets met.
public struct Promise: Sendable, Hashable {
    /// What it is about: `names`, `addresses`, `neighbours`, `outside`, `host`, `zones`, `ports`, `uplinks`.
    public var topic: String
    /// What is promised: `lab: web is offered 10.77.0.10`.
    public var what: String
    /// What should be seen.
    public var expected: String
    /// What was seen.
    public var seen: String
    /// Why it should be so or is not, in words.
    public var why: String

    /// A promise.
    public init(_ topic: String, _ what: String, expected: String, seen: String, why: String = "") {
        self.topic = topic
        self.what = what
        self.expected = expected
        self.seen = seen
        self.why = why
    }

    /// Whether it is kept.
    public var isKept: Bool { expected == seen }

    /// The promise as JSON.
    public var json: JSON {
        .record([
            "topic": .string(topic), "what": .string(what), "expected": .string(expected), "seen": .string(seen),
            "kept": .bool(isKept), "why": .string(why),
        ])
    }
}
