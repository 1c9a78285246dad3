public import UrsaBase

/// What a network of its own subnet is to the world around it.
public enum NetworkModel: String, Sendable, Hashable, CaseIterable {
    /// Guests reach the outside by the host's addresses.
    case nat
    /// No way out; the host has no address there.
    case isolated
    /// The host forwards without translation; the outside needs a route back, or `publishedOn`.
    case routed
    /// Guests have addresses of a LAN that the host is on; the host answers there for each of them (proxy ARP and NDP).
    case lan
}

/// A network as it should be, with everything allocated. The models differ in what the stem, the host's table and the
/// proxy entries do, not in namespace, bridge, taps and names.
public struct NetworkWish: Sendable, Hashable {
    /// What it is to the world around it.
    public var model: NetworkModel
    /// Whether its bridge is in the host's own namespace instead of one of its own.
    public var isOnHost: Bool
    /// The host's interface on whose LAN the host answers for the guests: always with `lan`, on demand with `routed`.
    public var publishedOn: String?
    /// Uplinks that its guests use, by name; empty: all.
    public var uplinks: [String]
    /// Name: 1–32 characters, lower-case letters, digits and hyphens, starting with a letter.
    public var name: String
    /// The guests' subnet, /8 … /29.
    public var subnet: IPv4Network
    /// The guests' IPv6 subnet, a /64; nil for a network without IPv6.
    public var subnet6: IPv6Network?
    /// Largest frame payload in bytes, 1280…65535.
    public var mtu: Int
    /// Whether `mtu` was asked for; otherwise a smaller one of the way out counts.
    public var isMTUFixed: Bool
    /// Machines on the network. Others get no address.
    public var members: [Member]
    /// Ports of the host that lead to machines of the network.
    public var ports: [PublishedPort]

    /// A network; see the properties.
    public init(
        name: String, model: NetworkModel = .nat, isOnHost: Bool = false, publishedOn: String? = nil,
        uplinks: [String] = [], subnet: IPv4Network, subnet6: IPv6Network? = nil, mtu: Int = 1500,
        isMTUFixed: Bool = true, members: [Member] = [], ports: [PublishedPort] = []
    ) {
        self.model = model
        self.isOnHost = isOnHost
        self.publishedOn = publishedOn
        self.uplinks = uplinks
        self.name = name
        self.subnet = subnet
        self.subnet6 = subnet6
        self.mtu = mtu
        self.isMTUFixed = isMTUFixed
        self.members = members
        self.ports = ports
    }

}

/// A machine's place on a network.
public struct Member: Sendable, Hashable {
    /// The machine's name, also its host name.
    public var machine: String
    /// Ethernet address of its card.
    public var mac: MACAddress
    /// Its fixed address.
    public var address: IPv4Address
    /// Its fixed IPv6 address; nil when it has none.
    public var address6: IPv6Address?
    /// Name of its tap, by which rules for its port find it.
    public var tap: String
    /// What is special about its port.
    public var port: PortOptions

    /// A machine's place; see the properties.
    public init(
        machine: String, mac: MACAddress, address: IPv4Address, address6: IPv6Address? = nil, tap: String = "",
        port: PortOptions = PortOptions()
    ) {
        self.machine = machine
        self.mac = mac
        self.address = address
        self.address6 = address6
        self.tap = tap
        self.port = port
    }
}

/// What a guest's port on its bridge does beyond carrying frames.
public struct PortOptions: Sendable, Hashable {
    /// Guests of isolated ports don't reach each other, only the router.
    public var isIsolated: Bool
    /// Frames with other source addresses (Ethernet, IPv4, IPv6, ARP) than the guest's own are dropped.
    public var isGuarded: Bool
    /// Bytes per second that the guest may send; nil: no limit.
    public var sendRate: UInt64?
    /// Bytes per second that the guest may receive.
    public var receiveRate: UInt64?

    /// A port with the usual behaviour.
    public init(isIsolated: Bool = false, isGuarded: Bool = false, sendRate: UInt64? = nil, receiveRate: UInt64? = nil)
    {
        self.isIsolated = isIsolated
        self.isGuarded = isGuarded
        self.sendRate = sendRate
        self.receiveRate = receiveRate
    }
}

/// A port of the host that leads to a machine.
public struct PublishedPort: Sendable, Hashable {
    /// The machine's name, for messages.
    public var machine: String
    /// The uplink that it is on, by name; nil: all of the host.
    public var uplink: String?
    /// Address of the host that the port is on; nil is every address of the host. With one given, the port leads to
    /// the machine's address of the same family.
    public var hostAddress: IPAddress?
    /// Port on the host, 1…65535.
    public var hostPort: UInt16
    /// UDP instead of TCP.
    public var isUDP: Bool
    /// The machine's address.
    public var guestAddress: IPv4Address
    /// The machine's IPv6 address; nil publishes IPv4 only.
    public var guestAddress6: IPv6Address?
    /// Port in the machine, 1…65535.
    public var guestPort: UInt16
    /// Who may use it; empty: everybody.
    public var sources: [AddressPrefix]

    /// A published port; see the properties.
    public init(
        machine: String, uplink: String? = nil, hostAddress: IPAddress? = nil, hostPort: UInt16, isUDP: Bool = false,
        guestAddress: IPv4Address, guestAddress6: IPv6Address? = nil, guestPort: UInt16,
        sources: [AddressPrefix] = []
    ) {
        self.machine = machine
        self.uplink = uplink
        self.hostAddress = hostAddress
        self.hostPort = hostPort
        self.isUDP = isUDP
        self.guestAddress = guestAddress
        self.guestAddress6 = guestAddress6
        self.guestPort = guestPort
        self.sources = sources
    }
}
