import UrsaBase

/// A part of a network; parts are made in this order.
enum Part: Int, Sendable, Hashable, Comparable, CaseIterable {
    case namespace, bridge, stem, guests

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
    /// Whether its bridge is among the host's own links.
    var isOnHost = false
    /// Whether the host's end of a stem is there.
    var hasStem = false
    /// Whether something else has the namespace's or the stem's name: no mark of ours on it.
    var foreign: String?
    /// Everything that holds.
    var facts: Set<Fact> = []
    /// Marked ports that are not attached to the bridge.
    var stray: [String] = []
    /// Marked ports by name, and whether each is kept from the other isolated ones.
    var ports: [String: Bool] = [:]
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
    /// Changes noted in the journal, that go back when nothing needs them any more.
    var journal: [SettingChange] = []
    /// The host's links that lead to LANs, by name, and what it answers for there.
    var lans = LANSeen()
    /// Bridges to LANs.
    var bridges = BridgesSeen()
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
