import UrsaBase

extension RulesetPart {
    /// Ports of the host that lead to machines: destination addresses are translated by maps.
    static func publishedPorts(_ home: HomeMark, _ wish: HostWish) -> RulesetPart {
        var bound4: [String] = []
        var bound6: [String] = []
        var every4: [String] = []
        var every6: [String] = []
        for port in wish.networks.sorted(by: { $0.name < $1.name }).flatMap(\.ports) {
            let transport = port.isUDP ? "udp" : "tcp"
            let guest4 = "\(port.guestAddress) . \(port.guestPort)"
            let guest6 = port.guestAddress6.map { "\($0) . \(port.guestPort)" }
            switch port.hostAddress {
            case .v4(let address): bound4.append("\(transport) . \(address) . \(port.hostPort) : \(guest4)")
            case .v6(let address):
                if let guest6 { bound6.append("\(transport) . \(address) . \(port.hostPort) : \(guest6)") }
            case nil:
                every4.append("\(transport) . \(port.hostPort) : \(guest4)")
                if let guest6 { every6.append("\(transport) . \(port.hostPort) : \(guest6)") }
            }
        }
        func map(_ name: String, _ key: String, _ family: String, _ elements: [String]) -> NamedSet {
            NamedSet(name: name, key: key, value: "\(family) . inet_service", elements: elements)
        }
        let routeback = wish.networks.map { home.stemName($0.name) }.sorted().map { "\"\($0)\" . \"\($0)\"" }
        return RulesetPart(
            sets: [
                NamedSet(name: "routeback", key: "ifname . ifname", elements: routeback),
                map("bound4", "inet_proto . ipv4_addr . inet_service", "ipv4_addr", bound4),
                map("bound6", "inet_proto . ipv6_addr . inet_service", "ipv6_addr", bound6),
                map("every4", "inet_proto . inet_service", "ipv4_addr", every4),
                map("every6", "inet_proto . inet_service", "ipv6_addr", every6),
            ],
            chains: publishedChains)
    }

    private static let publishedChains: [Chain] = [
        // ::1 has no counterpart of route_localnet: a connection to [::1] must be refused at once, not lost.
        Chain(
            name: "published", base: nil,
            rules: [
                "dnat ip to meta l4proto . ip daddr . th dport map @bound4",
                "dnat ip6 to meta l4proto . ip6 daddr . th dport map @bound6",
                "fib daddr type local dnat ip to meta l4proto . th dport map @every4",
                "ip6 daddr != ::1 fib daddr type local dnat ip6 to meta l4proto . th dport map @every6",
            ]),
        Chain(
            name: "dstnat_in", base: "type nat hook prerouting priority dstnat; policy accept;",
            rules: ["meta l4proto { tcp, udp } jump published"]),
        Chain(
            name: "dstnat_own", base: "type nat hook output priority -100; policy accept;",
            rules: ["meta l4proto { tcp, udp } jump published"]),
        Chain(name: "forward_in", base: forwardBase, rules: ["oifname @stems ct status dnat accept"]),
        // A guest that calls a port published by its own neighbour must get the answer by way of the host (routeback);
        // the host calling 127.0.0.1 needs a source that the guest can answer.
        Chain(
            name: "srcnat_out", base: sourceBase,
            rules: [
                "iifname . oifname @routeback masquerade",
                "oifname @stems ip saddr 127.0.0.0/8 masquerade",
            ]),
    ]
}
