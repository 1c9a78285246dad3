import UrsaBase

/// Every ordered pair of zones with what decides between them. Pure: no kernel, same arguments, same matrix.
public struct Matrix: Sendable, Hashable {
    /// What decides where no rule does.
    public enum Default: Sendable, Hashable {
        /// The policy at this place of `Firewall.policies`.
        case policy(Int)
        /// Inside a zone of which no policy speaks everything passes.
        case intraZone
        /// Nothing: the spec has a gap.
        case uncovered
    }

    /// A pair of zones.
    public struct Cell: Sendable, Hashable {
        /// The zone that connections come from.
        public var from: String
        /// The zone that they go to.
        public var to: String
        /// Places in `Firewall.rules` of the rules about this pair, in order.
        public var rules: [Int]
        /// What decides after the rules.
        public var otherwise: Default
    }

    /// The firewall that it was made of.
    public let firewall: Firewall
    /// What it lies over.
    public let topology: Topology
    /// Which zone everything is in.
    public let zoneMap: ZoneMap
    /// All pairs but the host with itself, by the order of the zones. Empty for a plain firewall.
    public let cells: [Cell]

    /// All zones, `host` last.
    public var zones: [String] { zoneMap.zones }

    /// The matrix of a firewall over a topology.
    public init(_ firewall: Firewall, _ topology: Topology) {
        self.firewall = firewall
        self.topology = topology
        zoneMap = ZoneMap(firewall, topology)
        var cells: [Cell] = []
        cells.reserveCapacity(zoneMap.zones.count * zoneMap.zones.count)
        for from in zoneMap.zones {
            // What is said of other zones than this one is looked at once per row, not once per pair.
            let ruleRow = firewall.rules.indices.filter { [Zone.any, from].contains(firewall.rules[$0].from) }
            let policyRow = firewall.policies.indices.filter { [Zone.any, from].contains(firewall.policies[$0].from) }
            for to in zoneMap.zones where from != Zone.host || to != Zone.host {
                let rules = ruleRow.filter { firewall.rules[$0].isAbout(from, to) }
                var otherwise: Default = from == to ? .intraZone : .uncovered
                if let index = policyRow.first(where: { firewall.policies[$0].isAbout(from, to) }) {
                    otherwise = .policy(index)
                }
                cells.append(Cell(from: from, to: to, rules: rules, otherwise: otherwise))
            }
        }
        self.cells = cells
    }

    /// The pair of two zones; nil when one of them does not exist, and for the host with itself.
    public subscript(from: String, to: String) -> Cell? {
        guard let row = zones.firstIndex(of: from), let column = zones.firstIndex(of: to) else { return nil }
        // The only pair left out would be the last one.
        let place = row * zones.count + column
        return place < cells.count ? cells[place] : nil
    }

    /// What a default does.
    public func effect(of otherwise: Default) -> (action: FirewallAction, log: LogLevel?) {
        switch otherwise {
        case .policy(let index): (firewall.policies[index].action, firewall.policies[index].log)
        case .intraZone: (.accept, nil)
        case .uncovered: (.drop, nil)
        }
    }
}

extension Policy {
    /// Whether it speaks of connections between two zones. `any` leaves out the inside of a zone.
    public func isAbout(_ from: String, _ to: String) -> Bool {
        if from == to { return self.from == from && self.to == to }
        return (self.from == Zone.any || self.from == from) && (self.to == Zone.any || self.to == to)
    }
}

extension Rule {
    /// Whether it speaks of connections between two zones. `any` holds the inside of a zone too.
    public func isAbout(_ from: String, _ to: String) -> Bool {
        (self.from == Zone.any || self.from == from) && (self.to == Zone.any || self.to == to)
    }

    /// Whether it is about this connection, its zones aside.
    public func fits(_ connection: Connection) -> Bool {
        func has(_ prefixes: [AddressPrefix], _ address: IPAddress) -> Bool {
            prefixes.isEmpty || prefixes.contains { $0.contains(address) }
        }
        func carries(_ transports: RuleProtocol, _ port: UInt16) -> Bool {
            (transport == transports || transport == .any) && (ports.isEmpty || ports.contains { $0.contains(port) })
        }
        guard has(sources, connection.source.address), has(destinations, connection.destination.address)
        else { return false }
        return switch connection.traffic {
        case .tcp(let port): carries(.tcp, port)
        case .udp(let port): carries(.udp, port)
        case .icmp: transport == .icmp || transport == .any && ports.isEmpty
        case .other: transport == .any && ports.isEmpty
        }
    }
}
