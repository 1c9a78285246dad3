public import UrsaBase
public import UrsaFirewall

/// The host's networks as a picture shows them: what is outside, the host with its links, the networks, the machines.
/// A value; made from what is wanted and what was seen, it needs no kernel.
public struct NetworkMap: Sendable, Hashable {
    /// Name of the host.
    public var host: String
    /// Whether it forwards packets.
    public var isForwarding: Bool
    /// Zones by name, in their order; the colours follow it.
    public var zones: [String]
    /// Ways out: uplinks of the spec, else the routers of the host's default routes.
    public var gateways: [Gateway]
    /// The host's own links, Ursa's left out.
    public var links: [Interface]
    /// Networks in the order of the spec.
    public var networks: [Network]
    /// Machines in their order.
    public var machines: [Machine]
    /// Defaults between zones, as the spec says them.
    public var policies: [Policy]
    /// What a reader must know: parts that could not be seen, whether this is only a plan.
    public var notes: [String]

    /// A way out.
    public struct Gateway: Sendable, Hashable {
        /// Name of the uplink, nil for a default route of the host's own.
        public var uplink: String?
        /// The host's link that it is on.
        public var interface: String
        /// The router's addresses.
        public var addresses: [IPAddress]
        /// `weight 2`, `fallback`.
        public var role: String?
        /// False when its check fails.
        public var isHealthy: Bool
        /// The zone of what is behind it.
        public var zone: String?
    }

    /// A link of the host.
    public struct Interface: Sendable, Hashable {
        /// Its name.
        public var name: String
        /// `bridge`, `wireless`, …; nil for a plain card.
        public var kind: String?
        /// Its Ethernet address.
        public var mac: MACAddress?
        /// Its addresses.
        public var addresses: [AddressPrefix]
        /// Whether it is on.
        public var isUp: Bool
        /// The bridge that it is a port of.
        public var master: String?
    }

    /// A network.
    public struct Network: Sendable, Hashable {
        /// Its name.
        public var name: String
        /// `nat`, `isolated`, `routed`, `lan`, `bridged`, `user`.
        public var model: String
        /// What the model means, in a few words.
        public var way: String
        /// Its subnets.
        public var subnets: [String]
        /// The address of the guests' router.
        public var router: String?
        /// The bridge, and where it is.
        public var bridge: String?
        /// The link of the host that leads to it.
        public var stem: String?
        /// The link of the host whose LAN it is on (`bridged`, `lan`).
        public var interface: String?
        /// Uplinks that its guests use; empty: all.
        public var uplinks: [String]
        /// Its zone.
        public var zone: String?
        /// Whether it is up.
        public var isUp: Bool
        /// What is broken, in words.
        public var trouble: String?
        /// What is done to it on purpose.
        public var impairment: String?
    }

    /// A machine.
    public struct Machine: Sendable, Hashable {
        /// Its name.
        public var name: String
        /// Whether it runs.
        public var isRunning: Bool
        /// `running`, `stopped`, `failed`, …
        public var state: String
        /// Its cards.
        public var cards: [Card]
        /// Ports of the host that lead to it: `8080 → 80/tcp`.
        public var ports: [String]
        /// Its own zone, where one names it.
        public var zone: String?
    }

    /// A machine's card.
    public struct Card: Sendable, Hashable {
        /// The network it is on.
        public var network: String
        /// Its addresses.
        public var addresses: [IPAddress]
        /// Its Ethernet address.
        public var mac: MACAddress?
        /// Its link on the network's bridge.
        public var tap: String?
        /// What is done to it on purpose.
        public var impairment: String?
    }

    /// A map from its parts.
    public init(
        host: String, isForwarding: Bool = false, zones: [String] = [], gateways: [Gateway] = [],
        links: [Interface] = [], networks: [Network] = [], machines: [Machine] = [], policies: [Policy] = [],
        notes: [String] = []
    ) {
        self.host = host
        self.isForwarding = isForwarding
        self.zones = zones
        self.gateways = gateways
        self.links = links
        self.networks = networks
        self.machines = machines
        self.policies = policies
        self.notes = notes
    }

    /// Machines with a card on a network, those first whose first card it is.
    func members(of network: String) -> [Machine] {
        machines.filter { $0.cards.first?.network == network }
    }
}

/// What the map is told of a machine that the wish does not know: its state, and what it would be on.
public struct MapMachine: Sendable, Hashable {
    /// Its name.
    public var name: String
    /// Whether it runs.
    public var isRunning: Bool
    /// `running`, `stopped`, …
    public var state: String
    /// Cards with network, addresses and tap.
    public var cards: [NetworkMap.Card]
    /// Published ports in words.
    public var ports: [String]

    /// A machine.
    public init(
        name: String, isRunning: Bool, state: String, cards: [NetworkMap.Card], ports: [String]
    ) {
        self.name = name
        self.isRunning = isRunning
        self.state = state
        self.cards = cards
        self.ports = ports
    }
}

extension NetworkMap.Card {
    /// A card; see the properties.
    public init(network: String, mac: MACAddress?, addresses: [IPAddress], tap: String?) {
        self.init(network: network, addresses: addresses, mac: mac, tap: tap, impairment: nil)
    }
}
