public import UrsaFirewall

/// Everything that the home wants of this host's network, with all that had to be given out. What is not in it is
/// taken away.
public struct HostWish: Sendable, Hashable {
    /// Networks that live in a namespace (or with `placement` on the host).
    public var networks: [NetworkWish]
    /// Bridges on the host that reach a LAN.
    public var bridges: [BridgeWish]
    /// Ways out of the host; empty leaves the host's routing alone.
    public var uplinks: [UplinkWish]
    /// Who may speak to whom.
    public var firewall: Firewall

    /// A wish from its parts.
    public init(
        networks: [NetworkWish] = [], bridges: [BridgeWish] = [], uplinks: [UplinkWish] = [],
        firewall: Firewall = Firewall()
    ) {
        self.networks = networks
        self.bridges = bridges
        self.uplinks = uplinks
        self.firewall = firewall
    }

    /// Whether nothing at all is wanted.
    public var isEmpty: Bool {
        networks.isEmpty && bridges.isEmpty && uplinks.isEmpty && firewall.isPlain && firewall.admins.isEmpty
    }
}
