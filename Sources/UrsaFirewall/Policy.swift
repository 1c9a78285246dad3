/// What happens to a new connection.
public enum FirewallAction: String, Sendable, Hashable, CaseIterable {
    /// It passes.
    case accept
    /// It is lost without a word.
    case drop
    /// It is refused: TCP by a reset, the rest by an ICMP message.
    case reject
}

/// How loud a decision is logged (syslog's names, as nftables takes them).
public enum LogLevel: String, Sendable, Hashable, CaseIterable {
    // In syslog's order, the most important first.
    case err, warn, notice, info, debug
}

/// The default between two zones. The first policy in the file that fits a pair of zones is the pair's one.
///
/// `any` stands for every zone, also the host, but not for a zone and itself: inside a zone everything passes unless a
/// policy names the zone on both sides.
public struct Policy: Sendable, Hashable {
    /// Zone that the connection comes from, or `any`.
    public var from: String
    /// Zone that it goes to, or `any`.
    public var to: String
    /// What happens to what no rule decides.
    public var action: FirewallAction
    /// Whether and how loud that is logged.
    public var log: LogLevel?

    /// A policy.
    public init(from: String, to: String, action: FirewallAction, log: LogLevel? = nil) {
        self.from = from
        self.to = to
        self.action = action
        self.log = log
    }
}
