import UrsaBase

/// A network of the model `bridged`: guests are on the LAN itself. A bridge in the host's own namespace has the LAN's
/// interface as a port, and the host's addresses and routes move to the bridge for as long.
public struct BridgeWish: Sendable, Hashable {
    /// Name of the network.
    public var name: String
    /// The LAN's interface, which becomes a port; nil when `bridge` names a bridge that somebody else keeps.
    public var interface: String?
    /// An existing bridge of the host that guests join; it is never changed.
    public var bridge: String?
    /// Largest frame payload; nil takes the interface's.
    public var mtu: Int?
    /// Machines on it; their addresses are the LAN's own and only known when the spec says them.
    public var members: [Member]

    /// A bridge to the LAN; see the properties.
    public init(name: String, interface: String? = nil, bridge: String? = nil, mtu: Int? = nil, members: [Member] = [])
    {
        self.name = name
        self.interface = interface
        self.bridge = bridge
        self.mtu = mtu
        self.members = members
    }

    /// The network's DNS domain.
    public var domain: String { "\(name).ursa.internal" }
}

extension Member {
    /// Whether its IPv4 address is known: on a bridge to a LAN the LAN gives the addresses out.
    var hasAddress: Bool { address.value != 0 }
}
