import CLinux
import Glibc
import UrsaBase

/// What the host's routing looks like from the side of uplinks.
struct RoutingSeen: Sendable, Hashable {
    /// A link that is none of Ursa's own, and Ursa's bridges to a LAN.
    struct Interface: Sendable, Hashable {
        var index: Int32
        var isUp: Bool
        /// The bridge of ours that it is a port of: that one has its addresses.
        var bridge: String?
        var addresses: [AddressPrefix] = []
        /// Routers of its default routes in the main table.
        var gateways: [IPAddress] = []
        /// `rp_filter`: 0 none, 1 strict, 2 loose.
        var pathFilter: String?
    }
    /// A neighbour's address on a link.
    struct Place: Sendable, Hashable {
        var link: Int32
        var address: IPAddress
    }

    var interfaces: [String: Interface] = [:]
    /// Routes and rules that carry Ursa's number.
    var routes: Set<TableRoute> = []
    var rules: Set<RoutingRule> = []
    var neighbours: [Place: MACAddress] = [:]
    /// `rp_filter` of all links together: the stricter of it and a link's own holds.
    var pathFilterOfAll: String?
    /// Links of the host's own default routes, the best one of each family.
    var defaultLinks: Set<Int32> = []
    /// Numbers of uplinks that this home has made routes or rules for.
    var noted: Set<UInt8> = []

    /// Whether routes or rules of uplinks are there that another home has made.
    var isOthers: Bool { noted.isEmpty && !(routes.isEmpty && rules.isEmpty) }

    /// Looks; changes nothing.
    static func look(
        _ home: HomeMark, _ socket: NetlinkSocket, _ links: [Link], _ addresses: [LinkAddress], _ routes: [Route]
    ) throws(UrsaError) -> RoutingSeen {
        var seen = RoutingSeen()
        seen.noted = UplinkNotes(home).numbers
        let names = Dictionary(links.map { ($0.index, $0) }, uniquingKeysWith: { first, _ in first })
        for link in links {
            let isOurs = link.alias?.hasPrefix("ursa:") == true
            if isOurs, link.kind != "bridge" { continue }
            var interface = Interface(index: link.index, isUp: link.isUp)
            interface.addresses = addresses.filter { $0.link == link.index }.map {
                AddressPrefix(address: $0.address, prefix: $0.prefix)
            }
            interface.gateways = routes.filter {
                $0.link == link.index && $0.destination.prefix == 0 && $0.table == UInt32(RT_TABLE_MAIN.rawValue)
            }.compactMap(\.gateway)
            if let master = link.master.flatMap({ names[$0] }), home.network(alias: master.alias) != nil {
                interface.bridge = master.name
            }
            interface.pathFilter = Sysctl.read("ipv4/conf/\(link.name)/rp_filter")
            seen.interfaces[link.name] = interface
        }
        // The kernel lists a destination's routes in the order in which it prefers them.
        let defaults = routes.filter {
            $0.destination.prefix == 0 && $0.table == UInt32(RT_TABLE_MAIN.rawValue) && $0.type == UInt8(RTN_UNICAST)
        }
        for isIPv6 in [false, true] {
            if let link = defaults.first(where: { $0.isIPv6 == isIPv6 })?.link { seen.defaultLinks.insert(link) }
        }
        seen.pathFilterOfAll = Sysctl.read("ipv4/conf/all/rp_filter")
        seen.rules = Set(try socket.ownRules())
        seen.routes = Set(try socket.ownRoutes())
        for neighbour in try socket.neighbours() {
            seen.neighbours[Place(link: neighbour.link, address: neighbour.address)] = neighbour.mac
        }
        return seen
    }
}

/// Numbers of uplinks that this home has made routes and rules for: the kernel's marks on those tell that they are
/// Ursa's, not whose. Written before the first is made; a reboot wipes it together with them.
struct UplinkNotes: Sendable {
    private let path: String

    init(_ home: HomeMark) { path = home.runFolder + "/uplink-numbers" }

    var numbers: Set<UInt8> {
        Set((File.peek(path) ?? "").split(separator: " ").compactMap { UInt8($0) })
    }

    func write(_ numbers: Set<UInt8>) throws(UrsaError) {
        guard !numbers.isEmpty else { return try File.remove(path) }
        try File.makeDirectory(Path.parent(path))
        try RunFile.replace(path, text: numbers.sorted().map(String.init).joined(separator: " ") + "\n")
    }
}
