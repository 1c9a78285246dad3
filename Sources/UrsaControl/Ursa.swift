public import UrsaBase

/// What the faces call: everything that decides and acts, over one home. It prints nothing.
///
/// All functions may be called from any process at the same moment as any other; each leaves the home and the host
/// whole when it is killed (the next call mends what is left).
public struct Ursa: Sendable {
    /// Where the state lives.
    public let home: Home
    /// Receives remarks a person should read once (`no KVM here: …`), one line each.
    public let notice: @Sendable (String) -> Void
    /// Receives reports on long work.
    public let progress: ProgressHandler

    /// Opens a home; makes it when it is new.
    public init(
        home: Home, notice: @escaping @Sendable (String) -> Void = { _ in },
        progress: @escaping ProgressHandler = { _ in }
    ) throws(UrsaError) {
        self.home = home
        self.notice = notice
        self.progress = progress
    }
}
