public import UrsaBase

/// What becomes of a packet, step by step.
public struct Trace: Sendable, Hashable {
    /// How it ends.
    public enum Outcome: String, Sendable, Hashable {
        /// It arrives.
        case passes
        /// It is lost without a word.
        case dropped
        /// It is refused, and the sender is told.
        case rejected
        /// There is no way to where it should go.
        case unreachable
    }

    /// One step.
    public struct Step: Sendable, Hashable {
        /// Where: `web`, `network lab`, `the host`, `uplink comcast`.
        public var place: String
        /// What happens there.
        public var words: String
        /// Whether this step decides.
        public var decides: Bool

        /// A step.
        public init(_ place: String, _ words: String, decides: Bool = false) {
            self.place = place
            self.words = words
            self.decides = decides
        }
    }

    /// The steps in their order.
    public var steps: [Step]
    /// How it ends.
    public var outcome: Outcome

    /// A trace.
    public init(steps: [Step], outcome: Outcome) {
        self.steps = steps
        self.outcome = outcome
    }

    /// The step that decides, in words.
    public var decision: String? { steps.last { $0.decides }?.words }

    /// The trace as JSON.
    public var json: JSON {
        .record([
            "outcome": .string(outcome.rawValue), "passes": .bool(outcome == .passes),
            "decidedBy": decision.map(JSON.string),
            "steps": .array(
                steps.map {
                    .record(["place": .string($0.place), "what": .string($0.words), "decides": .bool($0.decides)])
                }),
        ])
    }
}

/// What a packet's way needs to be known by, resolved from the names of a question.
public struct TraceRoute: Sendable, Hashable {
    /// The network that it comes from; nil: the host or outside.
    var network: String?
    /// Whether the host itself sends it.
    var isFromHost: Bool
    /// The host's link that it comes in by from outside.
    var interface: String?
    /// The Ethernet address of who hands it to the host there.
    var gateway: IPAddress?
    /// The packet as it is sent.
    var source: IPAddress
    var destination: IPAddress
    var port: UInt16
    var isUDP: Bool
    var isPing: Bool
    /// The network that it should arrive at; nil: the host or outside.
    var target: String?
    /// Whether it never leaves its bridge.
    var isSegment = false
    /// Whether the host sends it back into the network that it came from.
    var isReturned = false
    /// The receiver's Ethernet address, on the same bridge.
    var mac: MACAddress?
}
