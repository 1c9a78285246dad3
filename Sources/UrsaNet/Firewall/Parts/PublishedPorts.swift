import UrsaBase

extension RulesetPart {
    /// Ports of the host that lead to machines: destination addresses are translated by maps; only ports that not
    /// everybody may use need a rule of their own.
    static func publishedPorts(_ layout: FirewallLayout) -> RulesetPart {
        var maps = PortMaps()
        for network in layout.networks { for port in network.wish.ports { maps.add(port, layout) } }
        func map(_ name: String, _ key: String, _ family: String, _ elements: [String]) -> NamedSet {
            NamedSet(name: name, key: key, value: "\(family) . inet_service", elements: elements)
        }
        let routeback = layout.networks.map { "\"\($0.link)\" . \"\($0.link)\"" }
        return RulesetPart(
            sets: [
                NamedSet(name: "routeback", key: "ifname . ifname", elements: routeback),
                map("bound4", "inet_proto . ipv4_addr . inet_service", "ipv4_addr", maps.bound4),
                map("bound6", "inet_proto . ipv6_addr . inet_service", "ipv6_addr", maps.bound6),
                map("behind4", "ifname . inet_proto . inet_service", "ipv4_addr", maps.behind4),
                map("behind6", "ifname . inet_proto . inet_service", "ipv6_addr", maps.behind6),
                map("every4", "inet_proto . inet_service", "ipv4_addr", maps.every4),
                map("every6", "inet_proto . inet_service", "ipv6_addr", maps.every6),
            ],
            chains: [published(maps.rules)] + publishedChains)
    }

    private static func published(_ restricted: [String]) -> Chain {
        // ::1 has no counterpart of route_localnet: a connection to [::1] must be refused at once, not lost.
        Chain(
            name: "published", base: nil,
            rules: restricted + [
                "dnat ip to meta l4proto . ip daddr . th dport map @bound4",
                "dnat ip6 to meta l4proto . ip6 daddr . th dport map @bound6",
                "fib daddr type local dnat ip to iifname . meta l4proto . th dport map @behind4",
                "fib daddr type local dnat ip6 to iifname . meta l4proto . th dport map @behind6",
                "fib daddr type local dnat ip to meta l4proto . th dport map @every4",
                "ip6 daddr != ::1 fib daddr type local dnat ip6 to meta l4proto . th dport map @every6",
            ])
    }

    private static let publishedChains: [Chain] = [
        Chain(
            name: "dstnat_in", base: "type nat hook prerouting priority dstnat; policy accept;",
            rules: ["meta l4proto { tcp, udp } jump published"]),
        Chain(
            name: "dstnat_own", base: "type nat hook output priority -100; policy accept;",
            rules: ["meta l4proto { tcp, udp } jump published"]),
        Chain(name: "forward_in", base: forwardBase, rules: ["oifname @stems ct status dnat \(pass)"]),
        // A guest that calls a port published by its own neighbour, or by itself, must get the answer by way of the
        // host (routeback); the host calling 127.0.0.1 needs a source that the guest can answer.
        Chain(
            name: "srcnat_out", base: sourceBase,
            rules: [
                "iifname . oifname @routeback ct status dnat masquerade",
                "oifname @stems ip saddr 127.0.0.0/8 masquerade",
            ]),
    ]
}

/// Elements of the maps of published ports.
private struct PortMaps {
    var bound4: [String] = []
    var bound6: [String] = []
    var behind4: [String] = []
    var behind6: [String] = []
    var every4: [String] = []
    var every6: [String] = []
    /// Rules for ports that only some sources may use.
    var rules: [String] = []
    /// Texts of addresses: many ports lead to few machines.
    private var texts: [IPAddress: String] = [:]

    private mutating func text(_ address: IPAddress) -> String {
        if let text = texts[address] { return text }
        let text = address.description
        texts[address] = text
        return text
    }

    mutating func add(_ port: PublishedPort, _ layout: FirewallLayout) {
        let transport = port.isUDP ? "udp" : "tcp"
        let guest4 = "\(text(.v4(port.guestAddress))) . \(port.guestPort)"
        let guest6 = port.guestAddress6.map { "\(text(.v6($0))) . \(port.guestPort)" }
        let uplink = port.uplink.flatMap { name in layout.uplinks.first { $0.wish.name == name } }
        // A port of an uplink is on the host's address there, when that is known.
        let address = port.hostAddress ?? uplink.flatMap { ($0.wish.address ?? $0.wish.found.address).map { .v4($0) } }
        if !port.sources.isEmpty { return restrict(port, transport, address, link: uplink?.link) }
        switch address {
        case .v4(let address): bound4.append("\(transport) . \(address) . \(port.hostPort) : \(guest4)")
        case .v6(let address):
            if let guest6 { bound6.append("\(transport) . \(address) . \(port.hostPort) : \(guest6)") }
        case nil:
            if let link = uplink?.link {
                behind4.append("\"\(link)\" . \(transport) . \(port.hostPort) : \(guest4)")
            } else {
                every4.append("\(transport) . \(port.hostPort) : \(guest4)")
            }
        }
        guard port.hostAddress == nil, let guest6 else { return }
        if let link = uplink?.link {
            behind6.append("\"\(link)\" . \(transport) . \(port.hostPort) : \(guest6)")
        } else {
            every6.append("\(transport) . \(port.hostPort) : \(guest6)")
        }
    }

    private mutating func restrict(_ port: PublishedPort, _ transport: String, _ address: IPAddress?, link: String?) {
        for isIPv6 in [false, true] {
            let sources = port.sources.filter { $0.address.isIPv6 == isIPv6 }.withoutParts
            let guest = isIPv6 ? port.guestAddress6.map { "[\($0)]" } : "\(port.guestAddress)"
            guard !sources.isEmpty, let guest else { continue }
            let ip = isIPv6 ? "ip6" : "ip"
            var words = sources.match("\(ip) saddr")
            if let address, address.isIPv6 == isIPv6 {
                words += " \(ip) daddr \(address)"
            } else if port.hostAddress != nil {
                continue
            } else {
                words += (link.map { " iifname \"\($0)\"" } ?? "") + " fib daddr type local"
            }
            rules.append("\(words) \(transport) dport \(port.hostPort) dnat \(ip) to \(guest):\(port.guestPort)")
        }
    }
}

extension [AddressPrefix] {
    /// The same addresses without ranges that lie in others: nft 1.0.6 refuses overlaps.
    var withoutParts: [AddressPrefix] {
        var result: [AddressPrefix] = []
        for prefix in sorted(by: { $0.prefix < $1.prefix })
        where !result.contains(where: { $0.contains(prefix.address) }) {
            result.append(prefix)
        }
        return result
    }

    /// A match of a field with these ranges of one family, which must not overlap.
    func match(_ field: String) -> String {
        // A set can't hold a range of everything.
        if contains(where: { $0.prefix <= 0 }) { return "meta nfproto \(field.hasPrefix("ip6") ? "ipv6" : "ipv4")" }
        return "\(field) { \(map(\.nft).joined(separator: ", ")) }"
    }
}
