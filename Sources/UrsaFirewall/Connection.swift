public import UrsaBase

/// A connection that somebody asks for: its first packet, as the host's filters see it (after the destination of a
/// published port was translated, before the source is).
public struct Connection: Sendable, Hashable {
    /// What it carries.
    public enum Traffic: Sendable, Hashable, CustomStringConvertible {
        /// TCP to a port.
        case tcp(UInt16)
        /// UDP to a port.
        case udp(UInt16)
        /// An ICMP or ICMPv6 echo request.
        case icmp
        /// Another protocol.
        case other

        /// `tcp 80`.
        public var description: String {
            switch self {
            case .tcp(let port): "tcp \(port)"
            case .udp(let port): "udp \(port)"
            case .icmp: "icmp"
            case .other: "another protocol"
            }
        }
    }

    /// One of its two ends.
    public struct End: Sendable, Hashable {
        /// Where it is.
        public var place: Place
        /// Its address.
        public var address: IPAddress

        /// An end.
        public init(_ place: Place, _ address: IPAddress) {
            self.place = place
            self.address = address
        }
    }

    /// Who asks.
    public var source: End
    /// Who is asked.
    public var destination: End
    /// What for.
    public var traffic: Traffic
    /// Whether the destination was translated: by a published port or a forward.
    public var isForwarded: Bool
    /// Whether this packet belongs to a connection that passed already, as answers do.
    public var isAnswer: Bool

    /// A connection.
    public init(
        from source: End, to destination: End, _ traffic: Traffic, isForwarded: Bool = false, isAnswer: Bool = false
    ) {
        self.source = source
        self.destination = destination
        self.traffic = traffic
        self.isForwarded = isForwarded
        self.isAnswer = isAnswer
    }
}

/// What happens to a connection, and what decides it.
public struct Decision: Sendable, Hashable {
    /// What decides.
    public enum Reason: Sendable, Hashable {
        /// It belongs to a connection that passed.
        case established
        /// The host speaks to itself.
        case local
        /// A network can't live without it: addresses and neighbours.
        case needed
        /// The source is one of `admins`.
        case admin
        /// It is a published port or a forward.
        case forward
        /// Both ends are guests of one network: the host doesn't see it.
        case segment
        /// A rule, by its place in `Firewall.rules`.
        case rule(Int)
        /// A policy, by its place in `Firewall.policies`.
        case policy(Int)
        /// Both ends are in this zone.
        case intraZone(String)
        /// No zone says anything, so what the network's model promises.
        case plain
        /// It is none of Ursa's traffic.
        case foreign
        /// An isolated network has no way out.
        case closed
        /// A guest sends from an address that is not its network's.
        case spoofed
        /// No policy covers these zones.
        case uncovered
    }

    /// What happens.
    public var action: FirewallAction
    /// What decides.
    public var reason: Reason
    /// Whether and how loud it is logged.
    public var log: LogLevel?

    /// A decision.
    public init(_ action: FirewallAction, _ reason: Reason, log: LogLevel? = nil) {
        self.action = action
        self.reason = reason
        self.log = log
    }
}
