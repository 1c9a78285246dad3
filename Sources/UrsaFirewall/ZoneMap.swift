public import UrsaBase

/// Which zone everything is in: the spec's zones, those that exist by themselves, and the parts cut out of them.
public struct ZoneMap: Sendable, Hashable {
    /// A part that is cut out of the zone of its place.
    public struct Cut: Sendable, Hashable {
        /// The place that it is a part of.
        public var place: Place
        /// Its addresses.
        public var prefix: AddressPrefix
        /// The zone that they are in.
        public var zone: String
    }

    /// All zones: those of the spec in their order, then those of networks and uplinks that no zone names, `net` where
    /// no uplink is defined, and `host` at the end. Empty for a plain firewall.
    public let zones: [String]
    /// The parts, the most specific first: the first that fits an address decides.
    public let cuts: [Cut]
    private let places: [Place: String]

    /// The zones of a firewall over a topology.
    public init(_ firewall: Firewall, _ topology: Topology) {
        var places: [Place: String] = [:]
        var cuts: [Cut] = []
        var zones: [String] = []
        // The first zone that names a place has it; that two do is a finding.
        func take(_ place: Place, _ zone: String) { places[place] = places[place] ?? zone }
        for zone in firewall.isPlain ? [] : firewall.zones {
            if !zones.contains(zone.name) { zones.append(zone.name) }
            for member in zone.members {
                switch member {
                case .network(let name):
                    take(.network(name), zone.name)
                    if case .segment(let interface) = topology.network(name)?.reach {
                        let place = ZoneMap.place(behind: interface, topology)
                        for machine in topology.machines where machine.network == name {
                            cuts += machine.addresses.map {
                                Cut(place: place, prefix: AddressPrefix($0), zone: zone.name)
                            }
                        }
                    }
                case .uplink(let name): take(.uplink(name), zone.name)
                case .hosts(let prefixes, let behind):
                    let place = ZoneMap.place(named: behind, topology)
                    cuts += prefixes.map { Cut(place: place, prefix: $0, zone: zone.name) }
                case .machine(let name):
                    for machine in topology.machines where machine.name == name {
                        let place = ZoneMap.place(of: machine.network, topology)
                        cuts += machine.addresses.map { Cut(place: place, prefix: AddressPrefix($0), zone: zone.name) }
                    }
                }
            }
        }
        if !firewall.isPlain {
            func add(_ place: Place, _ zone: String) {
                take(place, zone)
                if places[place] == zone, !zones.contains(zone) { zones.append(zone) }
            }
            for network in topology.networks {
                switch network.reach {
                case .translated, .open: add(.network(network.name), network.name)
                // Of a closed network no packet comes; guests on another's segment are in the zone of that.
                case .closed, .segment: break
                }
            }
            for uplink in topology.uplinks { add(.uplink(uplink.name), uplink.name) }
            if topology.uplinks.isEmpty { add(.outside, Zone.outside) }
            for network in topology.networks where places[.network(network.name)] == nil {
                if case .segment(let interface) = network.reach {
                    places[.network(network.name)] = places[ZoneMap.place(behind: interface, topology)]
                }
            }
            places[.host] = Zone.host
            zones.append(Zone.host)
        }
        self.zones = zones
        self.places = places
        self.cuts = cuts.enumerated().sorted {
            ($1.element.prefix.prefix, $0.offset) < ($0.element.prefix.prefix, $1.offset)
        }.map(\.element)
    }

    /// The zone of a place as a whole; nil for what no zone is about.
    public func zone(of place: Place) -> String? { places[place] }

    /// The zone of an end of a connection.
    public func zone(of end: Connection.End) -> String? {
        cuts.first { $0.place == end.place && $0.prefix.contains(end.address) }?.zone ?? places[end.place]
    }

    /// What `behind:` means: a network, an uplink, or everything outside.
    static func place(named name: String, _ topology: Topology) -> Place {
        if topology.uplink(name) != nil { return .uplink(name) }
        return topology.network(name) == nil && name == Zone.outside ? .outside : place(of: name, topology)
    }

    /// The place at which packets of a network's guests are seen.
    private static func place(of network: String, _ topology: Topology) -> Place {
        if case .segment(let interface) = topology.network(network)?.reach { return place(behind: interface, topology) }
        return .network(network)
    }

    private static func place(behind interface: String?, _ topology: Topology) -> Place {
        topology.uplinks.first { $0.interface == interface }.map { .uplink($0.name) } ?? .outside
    }
}
