public import UrsaBase

/// Which packets a rule is about.
public enum RuleProtocol: String, Sendable, Hashable, CaseIterable {
    /// TCP.
    case tcp
    /// UDP.
    case udp
    /// ICMP and ICMPv6 (echo requests; what IPv6 needs to work always passes).
    case icmp
    /// Everything.
    case any
}

/// At most so many new connections in a time; those beyond it are not what the rule is about.
public struct RateLimit: Sendable, Hashable, CustomStringConvertible {
    /// The times that can be written.
    public enum Unit: String, Sendable, Hashable, CaseIterable {
        // As nftables names them.
        case second, minute, hour, day
    }
    /// How many, at least 1.
    public var count: Int
    /// In which time.
    public var unit: Unit
    /// How many may come at once, at least 1.
    public var burst: Int
    /// Whether each source address is counted by itself, so that one can't use up the others' share.
    public var isPerSource: Bool

    /// A limit.
    public init(count: Int, unit: Unit, burst: Int = 5, isPerSource: Bool = false) {
        self.count = count
        self.unit = unit
        self.burst = burst
        self.isPerSource = isPerSource
    }

    /// `10/minute`.
    public var description: String { "\(count)/\(unit.rawValue)" }
}

/// An exception to the policies: rules are tried in the order of the file, before them.
public struct Rule: Sendable, Hashable {
    /// Zone that the connection comes from, or `any` (also inside a zone).
    public var from: String
    /// Zone that it goes to, or `any`.
    public var to: String
    /// Which packets.
    public var transport: RuleProtocol
    /// Destination ports, for TCP and UDP; empty: all.
    public var ports: [ClosedRange<UInt16>]
    /// Source addresses; empty: all of the zone.
    public var sources: [AddressPrefix]
    /// Destination addresses; empty: all of the zone.
    public var destinations: [AddressPrefix]
    /// What happens.
    public var action: FirewallAction
    /// Whether and how loud it is logged.
    public var log: LogLevel?
    /// At most so many new connections; nil: no limit.
    public var limit: RateLimit?

    /// A rule.
    public init(
        from: String, to: String, transport: RuleProtocol = .any, ports: [ClosedRange<UInt16>] = [],
        sources: [AddressPrefix] = [], destinations: [AddressPrefix] = [], action: FirewallAction,
        log: LogLevel? = nil, limit: RateLimit? = nil
    ) {
        self.from = from
        self.to = to
        self.transport = transport
        self.ports = ports
        self.sources = sources
        self.destinations = destinations
        self.action = action
        self.log = log
        self.limit = limit
    }
}
