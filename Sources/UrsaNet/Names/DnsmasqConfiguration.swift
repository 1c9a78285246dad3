import UrsaBase

/// What dnsmasq of one network is told, as texts (dnsmasq(8)); no I/O.
struct DnsmasqConfiguration: Sendable, Hashable {
    /// Host facts that shape it.
    struct Surroundings: Sendable, Hashable {
        /// File with the host's real name servers.
        var resolvFile: String
        /// Whether the host has an IPv6 default route; without one it must not offer itself as a router.
        var hasIPv6Default: Bool
        /// The unprivileged user to run as, or nil for root; empty to stay who it is, where there is nobody else.
        var user: String?
    }

    /// The main file.
    let main: String
    /// What differs from machine to machine.
    let machines: Machines
    var leases: [String: String] { machines.leases }
    var names: [String: String] { machines.names }

    /// One file per machine and kind; dnsmasq sees new ones without a restart.
    struct Machines: Sendable, Hashable {
        /// DHCP reservations by file name, for `dhcp-hostsdir`.
        var leases: [String: String]
        /// Host names by file name, for `hostsdir`.
        var names: [String: String]
    }

    /// - Parameter bridge: name of the link that guests are behind.
    init(
        _ wish: NetworkWish, folder: String, bridge: String = BridgeName.bridge, _ surroundings: Surroundings
    ) {
        var lines = [
            // Name of the network and addresses of the host, not what the host's own /etc/hosts says.
            "no-hosts", "hostsdir=\(folder)/names", "domain=\(wish.domain)", "local=/ursa.internal/",
            "host-record=gateway.\(wish.domain),\([wish.gateway.description, wish.gateway6?.description].joined)",
            // Loops through the host's resolver, queries without a dot and for private addresses end here.
            "dns-loop-detect", "domain-needed", "bogus-priv",
            // Only on the bridge (bound again when the bridge comes back), and names for the host too.
            "interface=\(bridge)", "except-interface=lo", "bind-dynamic",
            // Known machines only, under the names given here and not those they claim. No lease file: every lease is
            // fixed, so there is nothing to remember.
            "dhcp-range=\(wish.subnet.address),static,\(wish.subnet.netmask),12h", "dhcp-hostsdir=\(folder)/leases",
            "dhcp-ignore=tag:!known", "dhcp-ignore-names", "dhcp-authoritative", "leasefile-ro",
            // An empty option is not sent at all.
            "dhcp-option=option:router\(wish.router.map { ",\($0)" } ?? "")",
            "dhcp-option=option:dns-server,\(wish.gateway)",
            "dhcp-option=option:mtu,\(wish.mtu)", "dhcp-option=option:domain-search,\(wish.domain)",
            "log-dhcp", "log-facility=\(folder)/log", "pid-file=\(folder)/pid",
            "user=\(surroundings.user ?? "root")",
        ]
        if wish.hasStem {
            lines += ["interface=\(BridgeName.stem)", "no-dhcp-interface=\(BridgeName.stem)"]
        }
        // Without a way out nobody else is asked.
        lines.append(wish.isReachable ? "resolv-file=\(surroundings.resolvFile)" : "no-resolv")
        if wish.isReachable { lines.append("host-record=host.ursa.internal,\(wish.hostRecord)") }
        // The bridge has no address of the LAN; leases of its subnet are given out all the same.
        if wish.bridgeHasNoSubnet { lines.append("shared-network=\(bridge),\(wish.subnet.address)") }
        // An empty name leaves user and group alone.
        if surroundings.user == "" { lines.append("group=") }
        if let subnet6 = wish.subnet6, let gateway6 = wish.gateway6 {
            // Where only single addresses are behind the bridge, no neighbour is to be looked for on the link.
            let onLink = wish.bridgeHasNoSubnet ? ",off-link" : ""
            let lifetime = wish.leadsOutByIPv6(surroundings) ? 1800 : 0
            lines += [
                "enable-ra", "quiet-ra", "dhcp-range=\(subnet6.address),static,slaac\(onLink),64,12h",
                "dhcp-option=option6:dns-server,[\(gateway6)]", "dhcp-option=option6:domain-search,\(wish.domain)",
                // interval, router lifetime: 0 when there is no way out, so that guests don't wait for one.
                "ra-param=\(bridge),mtu:\(wish.mtu),60,\(lifetime)",
            ]
        }
        main = lines.joined(separator: "\n") + "\n"
        var leases: [String: String] = [:]
        var names: [String: String] = [:]
        for member in wish.members {
            let address6 = member.address6.map { ",[\($0)]" } ?? ""
            leases[member.machine] = "\(member.mac),\(member.address)\(address6),\(member.machine),12h\n"
            let full = "\(member.machine).\(wish.domain) \(member.machine)"
            names[member.machine] = "\(member.address) \(full)\n" + (member.address6.map { "\($0) \(full)\n" } ?? "")
        }
        machines = Machines(leases: leases, names: names)
    }
}

/// The fixed link names inside each network's namespace.
enum BridgeName {
    static let bridge = "br0"
    static let stem = "stem"
}

extension NetworkWish {
    fileprivate var hostRecord: String { [hostEnd.description, hostEnd6?.description].joined }
}

extension NetworkWish {
    /// Whether the router leads to the outside by IPv6: private addresses do so only where they are translated.
    fileprivate func leadsOutByIPv6(_ surroundings: DnsmasqConfiguration.Surroundings) -> Bool {
        switch model {
        case .isolated: return false
        // The rest of the LAN is behind it, whatever is behind that.
        case .lan: return true
        case .nat: return surroundings.hasIPv6Default
        case .routed:
            let isPrivate = subnet6.map { $0.address.high >> 57 == 0xfc >> 1 } ?? true
            return surroundings.hasIPv6Default && !isPrivate
        }
    }
}

extension [String?] {
    fileprivate var joined: String { compactMap { $0 }.joined(separator: ",") }
}
