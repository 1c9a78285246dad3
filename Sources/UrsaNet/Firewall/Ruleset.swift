import UrsaBase

/// The host's nftables table for a set of networks, as text for `nft -f`.
///
/// One table of family inet; every base chain's policy is accept, and only packets that come from or go to a stem of
/// this home are ever dropped, so nobody else's traffic is touched. Addresses, ports and links are in sets and maps:
/// a packet costs the same with one published port and with a thousand.
struct Ruleset: Sendable, Hashable {
    /// The table's name.
    let table: String
    /// The text, which replaces the table in one transaction (connection tracking goes on over it).
    let text: String
    /// What the table's comment says: the owner and a digest of the text, by which a look at the kernel tells whether
    /// this is the table there.
    let comment: String
    /// Per chain how many rules and jumps it is used by (`NFTA_CHAIN_USE`); a flushed chain has fewer.
    let chains: [String: Int]
    /// Sets and maps of single values with the number of their elements.
    let elements: [String: Int]

    /// The table for the networks.
    init(_ home: HomeMark, _ networks: [NetworkWish]) {
        let networks = networks.sorted { $0.name < $1.name }
        let sets = Self.sets(home, networks)
        var body = sets.map(\.text)
        elements = Dictionary(uniqueKeysWithValues: sets.filter { !$0.isRange }.map { ($0.name, $0.elements.count) })
        var chains: [String: Int] = [:]
        for chain in Self.chains {
            chains[chain.name, default: 0] += chain.rules.count
            for rule in chain.rules { if let target = rule.jumpTarget { chains[target, default: 0] += 1 } }
            body += ["chain \(chain.name) {"] + (chain.base.map { [$0] } ?? []) + chain.rules + ["}"]
        }
        let digest = hexadecimal(SHA256.digest(body.joined(separator: "\n")).prefix(8))
        table = home.tableName
        comment = "ursa:\(home.id):\(digest)"
        self.chains = chains
        // "add, delete, add" works whether the table was there or not; nft 1.0.6 has no `destroy`.
        text = """
            table inet \(table)
            delete table inet \(table)
            table inet \(table) {
            comment "\(comment)"
            \(body.joined(separator: "\n"))
            }

            """
    }

    /// The text that removes the table, whether it is there or not.
    static func removal(_ home: HomeMark) -> String {
        "table inet \(home.tableName)\ndelete table inet \(home.tableName)\n"
    }

    /// A set or map.
    private struct NamedSet {
        var kind = "set"
        var name: String
        var type: String
        var elements: [String]
        var isRange = false
        var text: String {
            let flags = isRange ? "; flags interval" : ""
            let list = elements.isEmpty ? "" : "; elements = { \(elements.joined(separator: ", ")) }"
            return "\(kind) \(name) { type \(type)\(flags)\(list); }"
        }
    }

    /// Names of the sets and maps whose elements can be counted.
    static let countable = ["stems", "routeback", "bound4", "bound6", "every4", "every6"]

    private static func sets(_ home: HomeMark, _ networks: [NetworkWish]) -> [NamedSet] {
        let stems = networks.map { "\"\(home.stemName($0.name))\"" }
        var bound4: [String] = []
        var bound6: [String] = []
        var every4: [String] = []
        var every6: [String] = []
        for port in networks.flatMap(\.ports) {
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
        let subnets6 = networks.compactMap { $0.subnet6.map { "\($0)" } }
        func map(_ name: String, _ key: String, _ family: String, _ elements: [String]) -> NamedSet {
            NamedSet(kind: "map", name: name, type: "\(key) : \(family) . inet_service", elements: elements)
        }
        return [
            NamedSet(name: "stems", type: "ifname", elements: stems),
            NamedSet(name: "routeback", type: "ifname . ifname", elements: stems.map { "\($0) . \($0)" }),
            NamedSet(name: "subnets4", type: "ipv4_addr", elements: networks.map { "\($0.subnet)" }, isRange: true),
            NamedSet(name: "subnets6", type: "ipv6_addr", elements: subnets6, isRange: true),
            map("bound4", "inet_proto . ipv4_addr . inet_service", "ipv4_addr", bound4),
            map("bound6", "inet_proto . ipv6_addr . inet_service", "ipv6_addr", bound6),
            map("every4", "inet_proto . inet_service", "ipv4_addr", every4),
            map("every6", "inet_proto . inet_service", "ipv6_addr", every6),
        ]
    }

    private struct Chain: Sendable {
        var name: String
        var base: String?
        var rules: [Rule]
        typealias Rule = String
    }

    /// The sum of use counts that every table of ours has.
    static let smallestUse = chains.reduce(0) { sum, chain in
        sum + chain.rules.count + chain.rules.filter { $0.jumpTarget != nil }.count
    }

    private static let chains: [Chain] = [
        // The stems accept packets for 127.0.0.0/8 (route_localnet), because answers to the host's own connections to
        // its published ports become such; from a guest nothing else may.
        Chain(
            name: "pre_raw", base: "type filter hook prerouting priority raw; policy accept;",
            rules: [
                "iifname @stems ip daddr 127.0.0.0/8 drop",
                "iifname @stems ip saddr 127.0.0.0/8 drop",
            ]),
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
        // Outside → guest: only answers and published ports. Guest → outside: only with the subnet's own sources.
        Chain(
            name: "forward_in", base: "type filter hook forward priority -5; policy accept;",
            rules: [
                "iifname != @stems oifname != @stems accept",
                "tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu",
                "ct state established,related accept",
                "iifname @stems ip saddr != @subnets4 drop",
                "iifname @stems ip6 saddr != @subnets6 drop",
                "oifname @stems ct status dnat accept",
                "oifname @stems drop",
            ]),
        // A guest that calls a port published by its own neighbour must get the answer by way of the host (routeback);
        // the host calling 127.0.0.1 needs a source that the guest can answer.
        Chain(
            name: "srcnat_out", base: "type nat hook postrouting priority srcnat; policy accept;",
            rules: [
                "iifname . oifname @routeback masquerade",
                "oifname @stems ip saddr 127.0.0.0/8 masquerade",
                "oifname != @stems ip saddr @subnets4 masquerade",
                "oifname != @stems ip6 saddr @subnets6 masquerade",
            ]),
    ]
}

extension String {
    fileprivate var jumpTarget: String? {
        guard let range = firstRange(of: " jump ") else { return nil }
        return String(self[range.upperBound...])
    }
    private func firstRange(of word: String) -> Range<String.Index>? {
        var start = startIndex
        while start < endIndex {
            if self[start...].hasPrefix(word) { return start..<index(start, offsetBy: word.count) }
            start = index(after: start)
        }
        return nil
    }
}
