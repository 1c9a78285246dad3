public import UrsaBase

/// What a firewall is laid over: the networks, uplinks and machines that zones name, as far as deciding needs them.
public struct Topology: Sendable, Hashable {
    /// A network of guests.
    public struct Network: Sendable, Hashable {
        /// What a network is to the world around it where no zone says anything else.
        public enum Reach: Sendable, Hashable {
            /// Nothing passes between its guests and the rest of the world (isolated).
            case closed
            /// Guests reach the outside; from there only what is published comes in (nat).
            case translated
            /// The outside reaches guests as guests reach it (routed, lan): their addresses are known there.
            case open
            /// Guests are on somebody else's segment, that of this interface of the host (bridged).
            case segment(interface: String?)
        }
        /// Name in the spec.
        public var name: String
        /// See `Reach`.
        public var reach: Reach
        /// Addresses that packets from it may have; empty when they are not known yet.
        public var sources: [AddressPrefix]
        /// Addresses of its name server, which the host may always ask.
        public var servers: [IPAddress]
        /// Whether the host itself answers its DHCP and DNS, because its bridge is the host's own.
        public var isOnHost: Bool

        /// A network.
        public init(
            name: String, reach: Reach = .translated, sources: [AddressPrefix] = [], servers: [IPAddress] = [],
            isOnHost: Bool = false
        ) {
            self.name = name
            self.reach = reach
            self.sources = sources
            self.servers = servers
            self.isOnHost = isOnHost
        }
    }

    /// A way out of the host.
    public struct Uplink: Sendable, Hashable {
        /// Name in the spec.
        public var name: String
        /// The host's link; two uplinks may share it.
        public var interface: String

        /// An uplink.
        public init(name: String, interface: String) {
            self.name = name
            self.interface = interface
        }
    }

    /// A machine's card.
    public struct Machine: Sendable, Hashable {
        /// The machine's name.
        public var name: String
        /// The network that the card is on.
        public var network: String
        /// Its addresses; empty when they are not known yet.
        public var addresses: [IPAddress]

        /// A machine's card.
        public init(name: String, network: String, addresses: [IPAddress] = []) {
            self.name = name
            self.network = network
            self.addresses = addresses
        }
    }

    /// The networks.
    public var networks: [Network]
    /// The uplinks; empty: everything outside is one place.
    public var uplinks: [Uplink]
    /// Machines, once per card.
    public var machines: [Machine]

    /// A topology from its parts.
    public init(networks: [Network] = [], uplinks: [Uplink] = [], machines: [Machine] = []) {
        self.networks = networks
        self.uplinks = uplinks
        self.machines = machines
    }

    /// The network of that name.
    public func network(_ name: String) -> Network? { networks.first { $0.name == name } }
    /// The uplink of that name.
    public func uplink(_ name: String) -> Uplink? { uplinks.first { $0.name == name } }
}

/// Where a packet comes from or goes to, before zones are looked at.
public enum Place: Sendable, Hashable, CustomStringConvertible {
    /// The host itself.
    case host
    /// A network of guests, by name.
    case network(String)
    /// Behind an uplink, by name.
    case uplink(String)
    /// Behind a link of the host that is none of these.
    case outside

    /// `network lab`.
    public var description: String {
        switch self {
        case .host: "the host"
        case .network(let name): "network \(name)"
        case .uplink(let name): "uplink \(name)"
        case .outside: "outside"
        }
    }
}
