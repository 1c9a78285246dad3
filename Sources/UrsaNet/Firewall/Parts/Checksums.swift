import UrsaBase

extension RulesetPart {
    /// DHCP answers of networks whose bridge is among the host's own links carry no UDP checksum: `ChecksumRule` says
    /// why. Other networks have the rule in their namespace.
    static func checksums(_ home: HomeMark, _ wish: HostWish) -> RulesetPart {
        let bridges = wish.networks.filter(\.isOnHost).map { "\"\(home.stemName($0.name))\"" }.sorted()
        guard !bridges.isEmpty else { return RulesetPart() }
        return RulesetPart(
            sets: [NamedSet(name: "bridges", key: "ifname", elements: bridges)],
            chains: [
                Chain(
                    name: "csum", base: "type filter hook postrouting priority -150; policy accept;",
                    rules: ["oifname @bridges udp sport 67 udp checksum set 0"])
            ])
    }
}
