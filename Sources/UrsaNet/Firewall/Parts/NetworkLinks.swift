import UrsaBase

extension RulesetPart {
    /// What hangs `forward_in` on its hook: a little before the usual filters.
    static let forwardBase = "type filter hook forward priority -5; policy accept;"
    /// What hangs `srcnat_out` on its hook.
    static let sourceBase = "type nat hook postrouting priority srcnat; policy accept;"
    /// What hangs `input_in` on its hook.
    static let inputBase = "type filter hook input priority -5; policy accept;"
    /// Ends the way through `forward_in` for what may pass, with a mark for other tables' chains: an accept in this
    /// table is no accept in theirs.
    static let pass = "goto pass"
    /// The bit of packet marks that says so. It is above those that tell the uplink.
    static let passMark: UInt32 = 0x0100_0000

    /// Which links and addresses are the networks', and what every packet over them is held to.
    static func links(_ layout: FirewallLayout) -> RulesetPart {
        let networks = layout.networks
        func sources(_ isIPv6: Bool) -> [String] {
            networks.flatMap { network in
                network.wish.sources.filter { $0.address.isIPv6 == isIPv6 }.map {
                    "\"\(network.link)\" . \($0.nft)"
                }
            }
        }
        func privates(_ isIPv6: Bool) -> [String] {
            networks.flatMap(\.wish.privateSources).filter { $0.address.isIPv6 == isIPv6 }.map(\.nft)
        }
        func links(_ names: [String]) -> [String] { names.map { "\"\($0)\"" } }
        let uplinks = Set(layout.uplinks.map(\.link)).sorted()
        let transit = uplinks.flatMap { from in uplinks.filter { $0 != from }.map { "\"\(from)\" . \"\($0)\"" } }
        let closed = networks.filter { $0.wish.model == .isolated }
        return RulesetPart(
            sets: [
                NamedSet(name: "stems", key: "ifname", elements: links(networks.map(\.link))),
                NamedSet(
                    name: "bridged", key: "ifname . ifname",
                    elements: layout.ownBridges.sorted().map { "\"\($0)\" . \"\($0)\"" }),
                NamedSet(name: "transit", key: "ifname . ifname", elements: transit),
                NamedSet(
                    name: "served", key: "ifname", elements: links(networks.filter(\.wish.isOnHost).map(\.link))),
                NamedSet(name: "closed", key: "ifname", elements: links(closed.map(\.link))),
                NamedSet(
                    name: "open", key: "ifname",
                    elements: links(networks.filter { [.routed, .lan].contains($0.wish.model) }.map(\.link))),
                NamedSet(name: "sources4", key: "ifname . ipv4_addr", elements: sources(false), isRange: true),
                NamedSet(name: "sources6", key: "ifname . ipv6_addr", elements: sources(true), isRange: true),
                NamedSet(name: "private4", key: "ipv4_addr", elements: privates(false), isRange: true),
                NamedSet(name: "private6", key: "ipv6_addr", elements: privates(true), isRange: true),
            ],
            chains: linkChains)
    }

    private static let linkChains: [Chain] = [
        Chain(
            name: "pass", base: nil,
            rules: ["meta mark set meta mark or 0x\(String(passMark, radix: 16))", "accept"]),
        // The stems accept packets for 127.0.0.0/8 (route_localnet), because answers to the host's own connections to
        // its published ports become such; from a guest nothing else may.
        Chain(
            name: "pre_raw", base: "type filter hook prerouting priority raw; policy accept;",
            rules: [
                "iifname @stems ip daddr 127.0.0.0/8 drop",
                "iifname @stems ip saddr 127.0.0.0/8 drop",
            ]),
        Chain(
            name: "forward_in", base: forwardBase,
            rules: [
                // With br_netfilter frames between two ports of a bridge come by here too.
                "iifname . oifname @bridged \(pass)",
                "iifname != @stems oifname != @stems iifname . oifname != @transit accept",
                "tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu",
                "ct state established,related \(pass)",
                "iifname @closed drop",
                "oifname @closed drop",
                // A guest only speaks from addresses of its own network.
                "iifname @stems meta nfproto ipv4 iifname . ip saddr != @sources4 drop",
                "iifname @stems meta nfproto ipv6 iifname . ip6 saddr != @sources6 drop",
            ]),
        // DHCP and DNS of networks whose bridge is the host's own.
        Chain(
            name: "input_in", base: inputBase,
            rules: ["iifname @served meta l4proto { tcp, udp } th dport { 53, 67, 547 } \(pass)"]),
    ]

    /// What no part before has decided: guests reach the outside, the outside reaches guests of open networks.
    static let strangers = RulesetPart(chains: [
        Chain(
            name: "forward_in", base: forwardBase,
            rules: ["oifname @open \(pass)", "oifname @stems drop", "iifname @stems \(pass)"])
    ])

    /// What has addresses that only this host knows speaks to the outside by the host's own.
    static let masquerade = RulesetPart(chains: [
        Chain(
            name: "srcnat_out", base: sourceBase,
            rules: [
                "oifname != @stems ip saddr @private4 masquerade",
                "oifname != @stems ip6 saddr @private6 masquerade",
            ])
    ])
}

extension AddressPrefix {
    /// The range as nft writes it in a set: without host bits, a single address alone.
    var nft: String {
        switch address {
        case .v4(let four):
            prefix >= 32 ? four.description : IPv4Network(four, prefix: Swift.max(0, prefix)).description
        case .v6(let six):
            prefix >= 128 ? six.description : IPv6Network(six, prefix: Swift.max(0, prefix)).description
        }
    }
}
