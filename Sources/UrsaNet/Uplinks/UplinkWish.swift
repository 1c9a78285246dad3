public import UrsaBase

/// A way out of the host: a provider behind a gateway on an interface. Two may share one interface; then the Ethernet
/// address of the gateway tells by which of them a packet came.
public struct UplinkWish: Sendable, Hashable {
    /// Name: 1–32 characters, lower-case letters, digits and hyphens, starting with a letter.
    public var name: String
    /// Position among the home's uplinks, 1…255, kept for the uplink's life: it makes the mark, the table and the
    /// priority of its rules.
    public var number: UInt8
    /// The host's link.
    public var interface: String
    /// The provider's router; nil takes the interface's own default route.
    public var gateway: IPv4Address?
    /// The provider's IPv6 router.
    public var gateway6: IPv6Address?
    /// The host's address towards this provider; nil takes the interface's first one in the gateway's subnet.
    public var address: IPv4Address?
    /// Share of new connections, 0…255 against the others' weights; 0 takes none by itself (only pinned ones).
    public var weight: Int
    /// Used only while no other uplink is healthy.
    public var isFallback: Bool
    /// Whether it works, as the watcher found; an uplink without a check always does.
    public var isHealthy: Bool
    /// What must answer for the uplink to count as healthy; nil: nothing is asked.
    public var check: UplinkCheck?
    /// What the host says of it; filled in when the host is looked at.
    var found = UplinkFound()

    /// An uplink; see the properties.
    public init(
        name: String, number: UInt8, interface: String, gateway: IPv4Address? = nil, gateway6: IPv6Address? = nil,
        address: IPv4Address? = nil, weight: Int = 1, isFallback: Bool = false, isHealthy: Bool = true,
        check: UplinkCheck? = nil
    ) {
        self.name = name
        self.number = number
        self.interface = interface
        self.gateway = gateway
        self.gateway6 = gateway6
        self.address = address
        self.weight = weight
        self.isFallback = isFallback
        self.isHealthy = isHealthy
        self.check = check
    }
}

extension UplinkWish {
    /// The bits of packet and connection marks that tell the uplink: 16…23. Others use the bits below.
    public static let markMask: UInt32 = 0x00ff_0000
    /// The uplink's mark under `markMask`.
    public var mark: UInt32 { UInt32(number) << 16 }
    /// The uplink's routing table.
    public var table: UInt32 { 5000 + UInt32(number) }
}

/// What the host says of an uplink.
struct UplinkFound: Sendable, Hashable {
    /// Name of the link that speaks for the interface: itself, or the bridge that it is a port of.
    var link = ""
    /// Index of that link; nil when it is missing or down.
    var index: Int32?
    /// The routers: those that were said, else those of the link's own default routes.
    var gateway: IPv4Address?
    var gateway6: IPv6Address?
    /// The host's address towards the provider, when it has it.
    var address: IPv4Address?
    /// Ethernet addresses of the routers.
    var macs: [MACAddress] = []
    /// Whether the host's own default routes lead over this link.
    var isDefault = false
    /// Why it can't be used, in words.
    var problem: String?

    /// Whether connections of a family can leave by it.
    func reaches(isIPv6: Bool) -> Bool { problem == nil && (isIPv6 ? gateway6 != nil : gateway != nil) }
}

/// How an uplink's health is found out: an ICMP echo to the target over this uplink.
public struct UplinkCheck: Sendable, Hashable {
    /// Who is asked.
    public var target: IPAddress
    /// Seconds between questions, 1…3600.
    public var interval: Int
    /// Lost answers in a row that make it unhealthy, and answers in a row that make it healthy again, 1…100.
    public var threshold: Int

    /// A check.
    public init(target: IPAddress, interval: Int = 1, threshold: Int = 3) {
        self.target = target
        self.interval = interval
        self.threshold = threshold
    }
}
