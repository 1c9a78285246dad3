/// The monitor's threads by what they do.
public enum Sandbox {
    /// A kind of thread.
    public enum Kind: Sendable { case processor, console }
    /// To be filled.
    public static func enter(_ kind: Kind) {}
}
