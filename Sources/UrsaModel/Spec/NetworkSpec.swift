public import UrsaBase

/// One network as the person asked for it.
public struct NetworkSpec: Sendable, Hashable {
    /// What a network is to the world around it.
    public enum Model: String, Sendable, Hashable, CaseIterable {
        /// A private subnet; its machines reach the outside by the host's addresses.
        case nat
        /// A private subnet without a way out; the host has no address there.
        case isolated
        /// A subnet that the host forwards to and from without translation.
        case routed
        /// Machines are on the LAN itself, by a bridge that has the LAN's interface as a port.
        case bridged
        /// Machines have addresses of the LAN, and the host answers there for each of them (proxy ARP and NDP).
        case lan
        /// No network of the host at all: each machine has its own user-space NAT; needs no root.
        case user
    }

    /// When the network exists.
    public enum Start: String, Sendable, Hashable, CaseIterable {
        /// From its first machine's start to its last machine's end.
        case onDemand = "on-demand"
        /// From `up` to `down`, machines or not.
        case always
    }

    /// Where the network's bridge is.
    public enum Placement: String, Sendable, Hashable, CaseIterable {
        /// In a network namespace of its own: nothing that other programs do to the host's tables reaches it.
        case namespace
        /// Among the host's own links.
        case host
    }

    /// Name: 1–32 characters, lower-case letters, digits and hyphens, starting with a letter.
    public var name: String
    /// Its model.
    public var model: Model
    /// With `bridged`, `lan`: the host's interface that is on the LAN; nil with `bridge`.
    public var interface: String?
    /// With `bridged`: a bridge of the host that machines join and that is never changed.
    public var bridge: String?
    /// With `bridged`: what is made instead where the interface can't be a port (Wi-Fi); nil: that is an error. Only
    /// `lan` can be said.
    public var fallback: Model?
    /// With `nat`, `routed`: names of the uplinks that its machines use; empty: all.
    public var uplinks: [String]
    /// With `routed`: the host's interface on whose LAN the host answers for the machines, so that nobody there needs
    /// a route.
    public var proxy: String?
    /// Where its bridge is.
    public var placement: Placement
    /// IPv4 subnet, /8 … /29; nil picks a free one. With `lan` the LAN's own subnet; nil takes the interface's.
    public var subnet: IPv4Network?
    /// IPv6 subnet, /64; nil picks one of the host's own ULA prefix; with `lan` nil takes the interface's.
    public var subnet6: IPv6Network?
    /// Whether the network has IPv6 (default yes).
    public var ipv6: Bool
    /// When it exists.
    public var start: Start
    /// Largest frame payload in bytes, 1280…65535; nil takes what fits through every way out, at most 1500.
    public var mtu: Int?

    /// A network with the defaults of the spec.
    public init(
        name: String, model: Model = .nat, interface: String? = nil, bridge: String? = nil, fallback: Model? = nil,
        uplinks: [String] = [], proxy: String? = nil, placement: Placement = .namespace, subnet: IPv4Network? = nil,
        subnet6: IPv6Network? = nil, ipv6: Bool = true, start: Start = .onDemand, mtu: Int? = nil
    ) {
        self.name = name
        self.model = model
        self.interface = interface
        self.bridge = bridge
        self.fallback = fallback
        self.uplinks = uplinks
        self.proxy = proxy
        self.placement = placement
        self.subnet = subnet
        self.subnet6 = subnet6
        self.ipv6 = ipv6
        self.start = start
        self.mtu = mtu
    }
}
