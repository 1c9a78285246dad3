public import UrsaBase

/// One network card of a machine.
public struct NICSpec: Sendable, Hashable {
    /// Name of the network it is on.
    public var network: String
    /// IPv4 address wanted inside the network's subnet; nil takes a free one, kept for the machine's life. On a LAN
    /// (`lan`, `bridged`) none is picked: the LAN's own rules hold.
    public var address: IPv4Address?
    /// IPv6 address wanted inside the network's IPv6 subnet; nil takes the one that the card forms itself (SLAAC).
    public var address6: IPv6Address?
    /// Ethernet address wanted; nil derives one from the machine's identity.
    public var mac: MACAddress?
    /// Whether other machines of the network can't be reached from here, unless by a rule of their own: only what lies
    /// behind the network's router can.
    public var isIsolated: Bool
    /// Whether frames that claim other addresses (Ethernet, IPv4, IPv6, ARP) than the card's own are dropped.
    public var isGuarded: Bool
    /// What the machine may send at most; nil: no limit.
    public var sendRate: BitRate?
    /// What the machine may receive at most; nil: no limit.
    public var receiveRate: BitRate?
    /// Largest frame payload that this card's guest is told, 1280…65535 and never above the network's; nil takes the
    /// network's.
    public var mtu: Int?

    /// A card on a network.
    public init(
        network: String, address: IPv4Address? = nil, address6: IPv6Address? = nil, mac: MACAddress? = nil,
        isIsolated: Bool = false, isGuarded: Bool = false, sendRate: BitRate? = nil, receiveRate: BitRate? = nil,
        mtu: Int? = nil
    ) {
        self.network = network
        self.address = address
        self.address6 = address6
        self.mac = mac
        self.isIsolated = isIsolated
        self.isGuarded = isGuarded
        self.sendRate = sendRate
        self.receiveRate = receiveRate
        self.mtu = mtu
    }
}
