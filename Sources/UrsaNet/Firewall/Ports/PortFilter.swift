import UrsaBase

/// What guests' ports let through, as an nftables table of family bridge beside their bridge: source addresses that are
/// the guest's own, no more bytes than agreed, no way round isolation.
///
/// Isolation itself is a flag of the bridge's port; here only the detour over the router is closed.
struct PortFilter: Sendable, Hashable {
    /// The text that replaces the table in one transaction; removes it when no port asks for anything.
    let text: String
    /// What the table's comment says; nil when there is to be none.
    let comment: String?
    /// See `Ruleset.chains`.
    let chains: [String: Int]

    /// The filter of these members' ports.
    init(_ home: HomeMark, _ members: [Member]) {
        let members = members.filter { $0.port != PortOptions() && Self.isName($0.tap) }.sorted { $0.tap < $1.tap }
        let table = home.tableName
        let start = "table bridge \(table)\ndelete table bridge \(table)\n"
        guard !members.isEmpty else {
            text = start
            comment = nil
            chains = [:]
            return
        }
        let parts = Self.chains(members)
        let body = Self.sets(members).map(\.text) + parts.map(\.text)
        let digest = hexadecimal(SHA256.digest(body.joined(separator: "\n")).prefix(8))
        let comment = "ursa:\(home.id):\(digest)"
        text = """
            \(start)table bridge \(table) {
            comment "\(comment)"
            \(body.joined(separator: "\n"))
            }

            """
        self.comment = comment
        chains = Ruleset.uses(parts, Self.sets(members))
    }

    /// What nft takes for a link's name between quotes, and for the end of a chain's.
    private static func isName(_ tap: String) -> Bool {
        (1...15).contains(tap.utf8.count)
            && tap.utf8.allSatisfy {
                (97...122).contains($0) || (65...90).contains($0) || (48...57).contains($0) || $0 == 45 || $0 == 95
                    || $0 == 46
            }
    }

    private static func sets(_ members: [Member]) -> [NamedSet] {
        func jumps(_ name: String, _ chain: String, _ members: [Member]) -> NamedSet {
            NamedSet(
                name: name, key: "ifname", value: "verdict",
                elements: members.map { "\"\($0.tap)\" : jump \(chain)_\($0.tap)" })
        }
        let isolated = members.filter(\.port.isIsolated)
        return [
            jumps("guarded", "guard", members.filter(\.port.isGuarded)),
            jumps("senders", "send", members.filter { $0.port.sendRate != nil }),
            jumps("receivers", "receive", members.filter { $0.port.receiveRate != nil }),
            NamedSet(name: "isolated", key: "ifname", elements: isolated.map { "\"\($0.tap)\"" }),
            NamedSet(
                name: "isolated4", key: "ipv4_addr",
                elements: isolated.filter { $0.address.value != 0 }.map(\.address.description)),
            NamedSet(
                name: "isolated6", key: "ipv6_addr", elements: isolated.compactMap(\.address6).map(\.description)),
        ]
    }

    private static func chains(_ members: [Member]) -> [Chain] {
        var chains: [Chain] = []
        for member in members {
            if member.port.isGuarded {
                chains.append(Chain(name: "guard_\(member.tap)", base: nil, rules: guardRules(member)))
            }
            for (name, rate) in [("send", member.port.sendRate), ("receive", member.port.receiveRate)] {
                guard let rate else { continue }
                chains.append(Chain(name: "\(name)_\(member.tap)", base: nil, rules: [limit(rate)]))
            }
        }
        return chains + [
            Chain(
                name: "port_in", base: "type filter hook prerouting priority -300; policy accept;",
                rules: [
                    "iifname vmap @guarded",
                    // A guest could send its neighbour's packets to the router instead, which would bring them back.
                    "iifname @isolated ip daddr @isolated4 drop",
                    "iifname @isolated ip6 daddr @isolated6 drop",
                    "iifname vmap @senders",
                ]),
            Chain(
                name: "port_out", base: "type filter hook postrouting priority 300; policy accept;",
                rules: ["oifname vmap @receivers"]),
        ]
    }

    /// What is more than the rate is lost, as on a line of that speed with a short queue. The kernel lets a second's
    /// worth and the burst come at once; a frame of its own may be 64 KiB long until the card cuts it (GSO).
    private static func limit(_ rate: UInt64) -> String {
        let burst = Swift.max(131_072, rate / 8)
        return "limit rate over \(Swift.max(1, rate)) bytes/second burst \(burst) bytes drop"
    }

    /// Lets return what comes from the guest's own addresses and drops the rest.
    private static func guardRules(_ member: Member) -> [String] {
        let mac = member.mac.description
        var rules = [
            "ether saddr != \(mac) drop",
            // Guests are asked and told by the network's own router and servers only.
            "udp sport { 67, 547 } drop",
            "icmpv6 type { nd-router-advert, nd-redirect } drop",
            "ether type arp arp saddr ether != \(mac) drop",
        ]
        // Without a known address anything may come from the card's own Ethernet address.
        guard member.address.value != 0 else { return rules }
        rules += [
            // 0.0.0.0 asks whether an address is free (RFC 5227).
            "ether type arp arp saddr ip { 0.0.0.0, \(member.address) } return",
            "ip saddr \(member.address) return",
            "ip saddr 0.0.0.0 udp sport 68 udp dport 67 return",
            // The router's own link-local address.
            "ip6 saddr fe80::1 drop",
            // Whose address an advertisement tells is at offset 8 of the message (RFC 4861, section 4.4).
            "icmpv6 type nd-neighbor-advert @th,64,128 0xfe800000000000000000000000000001 drop",
        ]
        let other = member.address6.map { "@th,64,128 != 0x\(hexadecimal($0.bytes)) " } ?? ""
        rules += [
            "icmpv6 type nd-neighbor-advert \(other)@th,64,10 != 0x3fa drop",
            "ip6 saddr fe80::/10 return",
            // Duplicate address detection and what comes before there is an address.
            "ip6 saddr :: icmpv6 type { nd-neighbor-solicit, nd-router-solicit, mld-listener-report, mld2-listener-report } return",
        ]
        if let address = member.address6 { rules.append("ip6 saddr \(address) return") }
        return rules + ["drop"]
    }
}
