import UrsaBase

/// A part of a network; parts are made in this order.
enum Part: Int, Sendable, Hashable, Comparable, CaseIterable {
    case namespace, bridge, stem

    static func < (a: Part, b: Part) -> Bool { a.rawValue < b.rawValue }
}

/// One thing that is, or should be, true of a network on the host: `br0 has 10.77.0.1/24`. What should be and what is
/// are written by the same functions, so the difference of two sets is what must be mended, in words.
struct Fact: Sendable, Hashable {
    let part: Part
    let text: String
}

/// One network as it is on the host.
struct NetworkSeen: Sendable, Hashable {
    /// Whether the namespace's name is bound.
    var hasNamespace = false
    /// Whether something else has the namespace's or the stem's name: no mark of ours on it.
    var foreign: String?
    /// Everything that holds.
    var facts: Set<Fact> = []
    /// Marked ports that are not attached to the bridge.
    var stray: [String] = []
    /// dnsmasq's main file, reservations and names.
    var configuration: String?
    var leases: [String: String] = [:]
    var names: [String: String] = [:]
    /// The running dnsmasq.
    var dnsmasq: ProcessIdentity?
    /// The filter of guests' ports.
    var portFilter: TableSeen?
}

/// A kernel setting that Ursa changed or will change.
struct SettingChange: Sendable, Hashable {
    /// Below /proc/sys/net.
    var name: String
    var old: String
    var new: String
}

/// What is on the host that carries this home's mark, and the facts around it.
public struct NetObservation: Sendable, Hashable {
    /// Networks by name, also those that only a trace is left of.
    var networks: [String: NetworkSeen] = [:]
    /// The home's table.
    var table: TableSeen?
    /// The filter of guests' ports on bridges in the host's own namespace.
    var portFilter: TableSeen?
    /// Other firewalls.
    var foreign = ForeignSeen()
    /// The text that was loaded last, for undoing.
    var tableText: String?
    /// Forwarding settings of the host that are not as networks need them.
    var settings: [SettingChange] = []
    /// Changes noted in the journal, that the last network gives back.
    var journal: [SettingChange] = []
    /// Whether networks of other homes are on the host, which need forwarding too.
    var hasOtherHomes = false
    /// What uplinks are about.
    var routing = RoutingSeen()
    /// The names file.
    var hosts: [UInt8] = []
    /// Whether the kernel speaks IPv6.
    var hasIPv6 = true
    /// What dnsmasq is told about the host.
    var surroundings = DnsmasqConfiguration.Surroundings(resolvFile: "/etc/resolv.conf", hasIPv6Default: false)

    init() {}
}

extension NetworkWish {
    /// What must hold of the network.
    func facts(_ home: HomeMark) -> Set<Fact> {
        var result: Set<Fact> = []
        func add(_ part: Part, _ text: String) { result.insert(Fact(part: part, text: text)) }
        let stem = home.stemName(name)
        for setting in NamespaceSettings.all { add(.namespace, setting.fact) }
        for setting in BridgeSettings.all { add(.bridge, setting.fact) }
        add(.bridge, FactText.up(BridgeName.bridge, mtu: UInt32(mtu)))
        add(.stem, FactText.up(BridgeName.stem, mtu: UInt32(mtu)))
        add(.stem, FactText.up(stem, mtu: UInt32(mtu)))
        for setting in StemSettings.all(stem) { add(.stem, setting.fact) }
        for address in bridgeAddresses { add(.bridge, FactText.address(BridgeName.bridge, address)) }
        for address in stemAddresses { add(.stem, FactText.address(stem, address)) }
        for (destination, gateway) in hostRoutes { add(.stem, FactText.route(destination, gateway, stem)) }
        for (destination, gateway) in insideRoutes { add(.stem, FactText.route(destination, gateway, BridgeName.stem)) }
        for address in publishedAddresses { add(.stem, FactText.publishes(BridgeName.bridge, address)) }
        return result
    }

    /// The namespace's side of the stem, link-local.
    static let stemInside6 = IPAddress.v6(IPv6Address(high: 0xfe80_0000_0000_0000, low: 1))
    /// The host's side of the stem, link-local.
    static let stemOutside6 = IPAddress.v6(IPv6Address(high: 0xfe80_0000_0000_0000, low: 2))

    /// Addresses of the bridge: the guests' router, under fe80::1 too.
    var bridgeAddresses: [AddressPrefix] {
        var result = [AddressPrefix(address: .v4(gateway), prefix: subnet.prefix)]
        if let gateway6 {
            result.append(AddressPrefix(address: .v6(gateway6), prefix: 64))
            result.append(AddressPrefix(address: Self.stemInside6, prefix: 64))
        }
        return result
    }

    /// Addresses of the host's end of the stem. They are the host's own ones in the guests' subnet, as single addresses:
    /// the subnet itself lies behind the gateway, so no frame of a guest ever reaches the host's own stack unrouted.
    var stemAddresses: [AddressPrefix] {
        var result = [AddressPrefix(address: .v4(hostEnd), prefix: 32)]
        if let hostEnd6 {
            result.append(AddressPrefix(address: .v6(hostEnd6), prefix: 128))
            result.append(AddressPrefix(address: Self.stemOutside6, prefix: 64))
        }
        return result
    }

    /// Routes of the host over the stem: the guests' subnet.
    var hostRoutes: [(AddressPrefix, IPAddress?)] {
        var result: [(AddressPrefix, IPAddress?)] = [
            (AddressPrefix(address: .v4(subnet.address), prefix: subnet.prefix), .v4(gateway))
        ]
        if let subnet6 {
            result.append((AddressPrefix(address: .v6(subnet6.address), prefix: 64), Self.stemInside6))
        }
        return result
    }

    /// Routes of the namespace over the stem: the host's own address, and everything else.
    var insideRoutes: [(AddressPrefix, IPAddress?)] {
        var result: [(AddressPrefix, IPAddress?)] = [
            (AddressPrefix(address: .v4(hostEnd), prefix: 32), nil),
            (AddressPrefix(address: .v4(IPv4Address(0)), prefix: 0), .v4(hostEnd)),
        ]
        if let hostEnd6 {
            result.append((AddressPrefix(address: .v6(hostEnd6), prefix: 128), Self.stemOutside6))
            result.append((AddressPrefix(address: .v6(IPv6Address(high: 0, low: 0)), prefix: 0), Self.stemOutside6))
        }
        return result
    }

    /// The host's own addresses lie in the guests' subnet but not on their bridge: the namespace answers ARP and
    /// neighbour discovery for them.
    var publishedAddresses: [IPAddress] {
        [.v4(hostEnd)] + (hostEnd6.map { [.v6($0)] } ?? [])
    }

    /// The same network for a kernel without IPv6.
    var withoutIPv6: NetworkWish {
        var copy = self
        copy.subnet6 = nil
        for index in copy.members.indices { copy.members[index].address6 = nil }
        for index in copy.ports.indices { copy.ports[index].guestAddress6 = nil }
        copy.ports.removeAll { if case .v6 = $0.hostAddress { true } else { false } }
        return copy
    }
}

/// The texts of facts.
enum FactText {
    static func up(_ link: String, mtu: UInt32) -> String { "\(link) is up and marked, mtu \(mtu)" }
    static func address(_ link: String, _ address: AddressPrefix) -> String { "\(link) has \(address)" }
    static func route(_ destination: AddressPrefix, _ gateway: IPAddress?, _ link: String) -> String {
        "\(destination) goes\(gateway.map { " by \($0)" } ?? "") over \(link)"
    }
    static func publishes(_ link: String, _ address: IPAddress) -> String { "\(link) answers for \(address)" }
}

/// A kernel setting and the value it must have.
struct Setting: Sendable, Hashable {
    /// Below /proc/sys/net.
    let name: String
    let value: String
    /// A kernel without it is fine.
    var optional = false
    var fact: String { "net/\(name) is \(value)" }

    /// The fact, when it holds for the calling thread's namespace.
    var holding: String? {
        guard let now = Sysctl.read(name) else { return optional ? fact : nil }
        return now == value ? fact : nil
    }

    func apply() throws(UrsaError) {
        if optional { try Sysctl.setIfPresent(name, value) } else { try Sysctl.set(name, value) }
    }
}

/// Settings inside each network's namespace.
enum NamespaceSettings {
    static let all: [Setting] = [
        Setting(name: "ipv4/ip_forward", value: "1"),
        // A guest can't send from addresses of others than its subnet.
        Setting(name: "ipv4/conf/all/rp_filter", value: "1"),
        Setting(name: "ipv6/conf/all/disable_ipv6", value: "0", optional: true),
        Setting(name: "ipv6/conf/default/disable_ipv6", value: "0", optional: true),
        Setting(name: "ipv6/conf/all/forwarding", value: "1", optional: true),
        Setting(name: "ipv6/conf/all/proxy_ndp", value: "1", optional: true),
        // Frames between guests of a bridge are no business of the host's packet filters.
        Setting(name: "bridge/bridge-nf-call-iptables", value: "0", optional: true),
        Setting(name: "bridge/bridge-nf-call-ip6tables", value: "0", optional: true),
        Setting(name: "bridge/bridge-nf-call-arptables", value: "0", optional: true),
    ]
}

/// Settings of the bridge inside its namespace. (The kernel has no `neigh/default` outside the first namespace.)
enum BridgeSettings {
    static let all: [Setting] = [
        // Answers for the host's end come at once, not after up to 0.8 s.
        Setting(name: "ipv4/neigh/\(BridgeName.bridge)/proxy_delay", value: "0"),
        Setting(name: "ipv6/neigh/\(BridgeName.bridge)/proxy_delay", value: "0", optional: true),
    ]
}

/// Settings of the host for its end of a stem.
enum StemSettings {
    static func all(_ stem: String) -> [Setting] {
        [
            // Lets answers to the host's own connections by 127.0.0.1 come in; the table keeps everything else out.
            Setting(name: "ipv4/conf/\(stem)/route_localnet", value: "1"),
            Setting(name: "ipv6/conf/\(stem)/disable_ipv6", value: "0", optional: true),
            // Nothing that comes by the stem may give the host an address or a route.
            Setting(name: "ipv6/conf/\(stem)/accept_ra", value: "0", optional: true),
            Setting(name: "ipv6/conf/\(stem)/accept_redirects", value: "0", optional: true),
        ]
    }
}
