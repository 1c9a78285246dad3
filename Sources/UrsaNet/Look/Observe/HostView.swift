import Glibc
public import UrsaBase

/// The host's own links as they are, Ursa's among them, with what a person wants to know of each.
public struct HostView: Sendable, Hashable {
    /// Name of the host.
    public var name: String
    /// Its links in the kernel's order, loopback left out.
    public var links: [HostLink]
    /// Whether it forwards IPv4 packets.
    public var isForwarding: Bool

    /// A view from its parts.
    public init(name: String, links: [HostLink], isForwarding: Bool) {
        self.name = name
        self.links = links
        self.isForwarding = isForwarding
    }

    /// The link of that name.
    public func link(_ name: String) -> HostLink? { links.first { $0.name == name } }
}

/// One link of the host.
public struct HostLink: Sendable, Hashable {
    /// Its name.
    public var name: String
    /// `bridge`, `veth`, `tun`, `wireless`; nil for a plain card.
    public var kind: String?
    /// Ethernet address, nil for links without.
    public var mac: MACAddress?
    /// Largest frame payload in bytes.
    public var mtu: Int
    /// Whether it is switched on.
    public var isUp: Bool
    /// Its addresses; link-local IPv6 ones are left out.
    public var addresses: [AddressPrefix]
    /// Routers that the host's default routes lead to over this link.
    public var gateways: [IPAddress]
    /// The bridge or bond that it is a port of.
    public var master: String?
    /// The network of this home whose part it is.
    public var network: String?
    /// Whether another home of Ursa has made it.
    public var isOfOtherHome: Bool
    /// Bytes that passed.
    public var counters: LinkCounters

    /// A link; see the properties.
    public init(
        name: String, kind: String? = nil, mac: MACAddress? = nil, mtu: Int = 1500, isUp: Bool = true,
        addresses: [AddressPrefix] = [], gateways: [IPAddress] = [], master: String? = nil, network: String? = nil,
        isOfOtherHome: Bool = false, counters: LinkCounters = LinkCounters(received: 0, sent: 0)
    ) {
        self.name = name
        self.kind = kind
        self.mac = mac
        self.mtu = mtu
        self.isUp = isUp
        self.addresses = addresses
        self.gateways = gateways
        self.master = master
        self.network = network
        self.isOfOtherHome = isOfOtherHome
        self.counters = counters
    }
}

extension HostNetworks {
    /// Looks at the host's links, addresses and default routes. Needs no rights.
    public func view() throws(UrsaError) -> HostView { try HostView.look(home) }
}

extension HostView {
    /// The same without a home whose links would be told apart.
    public static func look() throws(UrsaError) -> HostView { try look(nil) }

    static func look(_ home: HomeMark?) throws(UrsaError) -> HostView {
        let socket = try NetlinkSocket()
        let links = try socket.links()
        let addresses = try socket.addresses()
        let routes = try socket.routes(AF_INET) + socket.routes(AF_INET6)
        let names = Dictionary(links.map { ($0.index, $0.name) }) { first, _ in first }
        var result: [HostLink] = []
        for link in links where link.name != "lo" {
            var view = HostLink(name: link.name, kind: link.kind, mtu: Int(link.mtu), isUp: link.isUp)
            if link.mac.count == 6 { view.mac = MACAddress(link.mac.reduce(0) { $0 << 8 | UInt64($1) }) }
            if File.exists("/sys/class/net/\(link.name)/phy80211") { view.kind = "wireless" }
            view.addresses = addresses.filter { $0.link == link.index && !$0.address.isLinkLocal }.map {
                AddressPrefix(address: $0.address, prefix: $0.prefix)
            }
            let defaults = routes.filter { $0.link == link.index && $0.destination.prefix == 0 }
            for gateway in defaults.compactMap(\.gateway) where !view.gateways.contains(gateway) {
                view.gateways.append(gateway)
            }
            view.master = link.master.flatMap { names[$0] }
            view.network = home.flatMap { $0.network(alias: link.alias) }
            view.isOfOtherHome = link.alias?.hasPrefix("ursa:") == true && view.network == nil
            view.counters = link.counters
            result.append(view)
        }
        var buffer = [CChar](repeating: 0, count: 256)
        gethostname(&buffer, buffer.count - 1)
        let name = String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return HostView(name: name, links: result, isForwarding: Sysctl.read("ipv4/ip_forward") == "1")
    }
}

extension IPAddress {
    /// fe80::/10 (RFC 4291) and 169.254.0.0/16 (RFC 3927).
    var isLinkLocal: Bool {
        switch self {
        case .v4(let address): address.value >> 16 == 0xa9fe
        case .v6(let address): address.high >> 54 == 0x3fa
        }
    }
}
