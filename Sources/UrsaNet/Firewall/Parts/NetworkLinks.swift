import UrsaBase

extension RulesetPart {
    /// What hangs `forward_in` on its hook: a little before the usual filters.
    static let forwardBase = "type filter hook forward priority -5; policy accept;"
    /// What hangs `srcnat_out` on its hook.
    static let sourceBase = "type nat hook postrouting priority srcnat; policy accept;"

    /// Which links and addresses are the networks', and what every packet over them is held to.
    static func links(_ home: HomeMark, _ wish: HostWish) -> RulesetPart {
        let networks = wish.networks.sorted { $0.name < $1.name }
        let subnets6 = networks.compactMap { $0.subnet6.map { "\($0)" } }
        return RulesetPart(
            sets: [
                NamedSet(name: "stems", key: "ifname", elements: networks.map { "\"\(home.stemName($0.name))\"" }),
                NamedSet(name: "subnets4", key: "ipv4_addr", elements: networks.map { "\($0.subnet)" }, isRange: true),
                NamedSet(name: "subnets6", key: "ipv6_addr", elements: subnets6, isRange: true),
            ],
            chains: linkChains)
    }

    private static let linkChains: [Chain] = [
        // The stems accept packets for 127.0.0.0/8 (route_localnet), because answers to the host's own connections to
        // its published ports become such; from a guest nothing else may.
        Chain(
            name: "pre_raw", base: "type filter hook prerouting priority raw; policy accept;",
            rules: [
                "iifname @stems ip daddr 127.0.0.0/8 drop",
                "iifname @stems ip saddr 127.0.0.0/8 drop",
            ]),
        // Guest → outside: only with the subnet's own sources.
        Chain(
            name: "forward_in", base: forwardBase,
            rules: [
                "iifname != @stems oifname != @stems accept",
                "tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu",
                "ct state established,related accept",
                "iifname @stems ip saddr != @subnets4 drop",
                "iifname @stems ip6 saddr != @subnets6 drop",
            ]),
    ]

    /// Outside → guest: what no part before has let in.
    static func strangers(_ home: HomeMark, _ wish: HostWish) -> RulesetPart {
        RulesetPart(chains: [Chain(name: "forward_in", base: forwardBase, rules: ["oifname @stems drop"])])
    }

    /// Guests speak to the outside by the host's own address.
    static func masquerade(_ home: HomeMark, _ wish: HostWish) -> RulesetPart {
        RulesetPart(chains: [
            Chain(
                name: "srcnat_out", base: sourceBase,
                rules: [
                    "oifname != @stems ip saddr @subnets4 masquerade",
                    "oifname != @stems ip6 saddr @subnets6 masquerade",
                ])
        ])
    }
}
