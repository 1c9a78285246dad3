/// One change of the world: it can say what it will do, do it, and take it back.
///
/// A plan is a list of steps. `apply` of a step whose effect is there already does nothing; `undo` of a step whose
/// effect is gone does nothing. Both may be interrupted at any moment (kill -9) and run again.
public protocol Step: Sendable {
    /// What the step changes, as one line for `ursa plan`: `+ bridge ursa-lab 10.77.0.1/24`, `- tap …`, `~ …`.
    var line: String { get }
    /// Makes the change.
    func apply() throws(UrsaError)
    /// Takes the change back.
    func undo() throws(UrsaError)
}

/// How far a long piece of work is.
public struct Progress: Sendable, Hashable {
    /// What is being done: `downloading debian-12.qcow2`.
    public var activity: String
    /// Units done (bytes where not said otherwise), nil when unknown.
    public var done: UInt64?
    /// Units in all, nil when unknown.
    public var total: UInt64?
    /// A report on a piece of work.
    public init(_ activity: String, done: UInt64? = nil, total: UInt64? = nil) {
        self.activity = activity
        self.done = done
        self.total = total
    }
}

/// Receives reports on long work; called often, from any thread.
public typealias ProgressHandler = @Sendable (Progress) -> Void
