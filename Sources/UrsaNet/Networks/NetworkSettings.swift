import UrsaBase

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
    /// Those of a network.
    static func of(_ wish: NetworkWish) -> [Setting] {
        common + (wish.model == .isolated ? standing : forwarding)
    }

    /// Those of any network, to look for.
    static let all = common + standing + forwarding

    private static let common: [Setting] = [
        // A guest can't send from addresses of others than its subnet.
        Setting(name: "ipv4/conf/all/rp_filter", value: "1"),
        Setting(name: "ipv6/conf/all/disable_ipv6", value: "0", optional: true),
        Setting(name: "ipv6/conf/default/disable_ipv6", value: "0", optional: true),
        Setting(name: "ipv6/conf/all/proxy_ndp", value: "1", optional: true),
        // Frames between guests of a bridge are no business of the host's packet filters.
        Setting(name: "bridge/bridge-nf-call-iptables", value: "0", optional: true),
        Setting(name: "bridge/bridge-nf-call-ip6tables", value: "0", optional: true),
        Setting(name: "bridge/bridge-nf-call-arptables", value: "0", optional: true),
    ]

    private static let forwarding: [Setting] = [
        Setting(name: "ipv4/ip_forward", value: "1"),
        Setting(name: "ipv6/conf/all/forwarding", value: "1", optional: true),
    ]

    // Where there is nothing to forward to, guests whose ports are isolated don't reach each other by way of the
    // router either. (dnsmasq's router advertisements want the kernel's switch for IPv6.)
    private static let standing = [
        isStanding, Setting(name: "ipv6/conf/all/forwarding", value: "0", optional: true),
    ]

    /// What tells a namespace from which nothing leads out.
    static let isStanding = Setting(name: "ipv4/ip_forward", value: "0")
}

/// Settings of the bridge inside its namespace. (The kernel has no `neigh/default` outside the first namespace.)
enum BridgeSettings {
    /// Those of a network.
    static func of(_ wish: NetworkWish) -> [Setting] {
        common + [wish.model == .lan ? answersForAll : answersForSome]
    }

    /// Those of any network, to look for.
    static let all = common + [answersForAll, answersForSome]

    /// To guests on a LAN's subnet the rest of the LAN is behind the bridge's own Ethernet address.
    static let answersForAll = Setting(name: proxyARP, value: "1")
    private static let answersForSome = Setting(name: proxyARP, value: "0")
    private static let proxyARP = "ipv4/conf/\(BridgeName.bridge)/proxy_arp"

    private static let common: [Setting] = [
        // A guest's router advertisements are no business of the namespace, forwarding or not.
        Setting(name: "ipv6/conf/\(BridgeName.bridge)/accept_ra", value: "0", optional: true),
        // Answers for others come at once, not after up to 0.8 s.
        Setting(name: "ipv4/neigh/\(BridgeName.bridge)/proxy_delay", value: "0"),
        Setting(name: "ipv6/neigh/\(BridgeName.bridge)/proxy_delay", value: "0", optional: true),
    ]
}

/// Settings of the host for its end of a stem, or for a network's bridge among its links.
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
