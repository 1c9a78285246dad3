public import UrsaBase

/// A way out of the host: a provider behind a gateway on an interface.
public struct UplinkSpec: Sendable, Hashable {
    /// How it is found out whether an uplink works: an ICMP echo over it.
    public struct Check: Sendable, Hashable {
        /// Who is asked.
        public var target: IPAddress
        /// Seconds between questions, 1…3600 (default 1).
        public var interval: Int
        /// Lost answers in a row that end its service, and answers in a row that begin it again, 1…100 (default 3).
        public var threshold: Int

        /// A check with the defaults of the spec.
        public init(target: IPAddress, interval: Int = 1, threshold: Int = 3) {
            self.target = target
            self.interval = interval
            self.threshold = threshold
        }
    }

    /// Name: as a network's, and none that a network has.
    public var name: String
    /// The host's interface. Two uplinks may share one when both say their gateway.
    public var interface: String
    /// The provider's router; nil takes the one that the interface's default route names.
    public var gateway: IPv4Address?
    /// The provider's IPv6 router.
    public var gateway6: IPv6Address?
    /// The host's address towards this provider; nil takes the interface's one in the gateway's subnet.
    public var address: IPv4Address?
    /// Share of new connections against the other uplinks' weights, 0…255; 0 takes only what is pinned to it.
    public var weight: Int
    /// Used only while no other uplink works.
    public var isFallback: Bool
    /// What must answer; nil: it counts as working.
    public var check: Check?

    /// An uplink with the defaults of the spec.
    public init(
        name: String, interface: String, gateway: IPv4Address? = nil, gateway6: IPv6Address? = nil,
        address: IPv4Address? = nil, weight: Int = 1, isFallback: Bool = false, check: Check? = nil
    ) {
        self.name = name
        self.interface = interface
        self.gateway = gateway
        self.gateway6 = gateway6
        self.address = address
        self.weight = weight
        self.isFallback = isFallback
        self.check = check
    }
}
