import UrsaBase
import UrsaFirewall

extension RulesetPart {
    /// Zones, policies and rules: a chain per pair of zones, reached by a map of links.
    ///
    /// Nothing of them stands in the table when nothing was said of zones.
    static func zones(_ layout: FirewallLayout) -> RulesetPart {
        guard !layout.wish.firewall.isPlain else { return RulesetPart() }
        return ZoneChains(layout).part
    }
}

/// Zones as chains.
///
/// A packet's way: `forward_in` looks its two links up in `pairs` and goes to the chain of the two zones (`kvm.net`).
/// Where a link alone does not tell the zone (a part of it is cut out by addresses, or two uplinks share it) the packet
/// goes by `from_ZONE`, which looks at where it goes to.
private struct ZoneChains {
    let layout: FirewallLayout
    let matrix: Matrix
    /// Each link with the places behind it, the usual one first.
    private let places: [(link: String, places: [Place])]
    private let isEverythingOutside: Bool

    init(_ layout: FirewallLayout) {
        self.layout = layout
        matrix = Matrix(layout.wish.firewall, layout.topology)
        var places: [(link: String, places: [Place])] = layout.networks.filter { $0.wish.model != .isolated }
            .map { ($0.link, [.network($0.wish.name)]) }
        for (uplink, link) in layout.uplinks {
            if let index = places.firstIndex(where: { $0.link == link }) {
                places[index].places.append(.uplink(uplink.name))
            } else {
                places.append((link, [.uplink(uplink.name)]))
            }
        }
        self.places = places
        isEverythingOutside = layout.uplinks.isEmpty
    }

    private var zoneMap: ZoneMap { matrix.zoneMap }
    private var zones: [String] { matrix.zones.filter { $0 != Zone.host } }

    var part: RulesetPart {
        var builder = PairChains(matrix: matrix)
        let pairs = matrix.cells.map { builder.chain($0) }
        let from = zones.map(fromChain)
        return RulesetPart(
            sets: sets + builder.sets,
            chains: RulesetPart.refuse + builder.notes + pairs + from + [forward, input, output])
    }

    // MARK: - Links

    /// The zone that a link alone tells, or nil where it takes more.
    private func plainZone(_ entry: (link: String, places: [Place])) -> String? {
        guard !zoneMap.cuts.contains(where: { entry.places.contains($0.place) }) else { return nil }
        let zones = Set(entry.places.map { zoneMap.zone(of: $0) })
        return zones.count == 1 ? zones.first ?? nil : nil
    }

    /// The zone of most of what is behind a link.
    private func usualZone(_ entry: (link: String, places: [Place])) -> String? {
        entry.places.first.flatMap { zoneMap.zone(of: $0) }
    }

    private var sets: [NamedSet] {
        let plain = places.compactMap { entry in plainZone(entry).map { (link: entry.link, zone: $0) } }
        var pairs: [String] = []
        for from in plain {
            for to in plain { pairs.append("\"\(from.link)\" . \"\(to.link)\" : goto \(from.zone).\(to.zone)") }
        }
        func map(_ name: String, _ target: (String) -> String) -> NamedSet {
            let elements = places.compactMap { entry in
                usualZone(entry).map { "\"\(entry.link)\" : \(target($0))" }
            }
            return NamedSet(name: name, key: "ifname", value: "verdict", elements: elements)
        }
        func admins(_ isIPv6: Bool) -> NamedSet {
            NamedSet(
                name: isIPv6 ? "admins6" : "admins4", key: isIPv6 ? "ipv6_addr" : "ipv4_addr",
                elements: layout.wish.firewall.admins.filter { $0.address.isIPv6 == isIPv6 }.withoutParts.flatMap(
                    \.halves), isRange: true)
        }
        let servers = layout.topology.networks.flatMap(\.servers)
        return [
            NamedSet(name: "pairs", key: "ifname . ifname", value: "verdict", elements: pairs),
            map("from", { "jump from_\($0)" }), map("to_host", { "goto \($0).host" }),
            map("from_host", { "goto host.\($0)" }),
        ] + zones.map { from in map("to_\(from)", { "goto \(from).\($0)" }) } + [
            admins(false), admins(true),
            NamedSet(
                name: "servers4", key: "ipv4_addr", elements: servers.filter { !$0.isIPv6 }.map(\.description)),
            NamedSet(name: "servers6", key: "ipv6_addr", elements: servers.filter(\.isIPv6).map(\.description)),
        ]
    }

    /// Matches that tell a zone where the link alone does not, the most specific first.
    private func specialMatches(isSource: Bool) -> [(match: String, zone: String)] {
        let name = isSource ? "iifname" : "oifname"
        let field = isSource ? "saddr" : "daddr"
        var result: [(match: String, zone: String)] = []
        // Prefixes of one length and place can't overlap unless the spec is wrong, so those of a zone share a rule.
        var groups: [(cut: ZoneMap.Cut, prefixes: [AddressPrefix])] = []
        for cut in zoneMap.cuts {
            if let index = groups.firstIndex(where: {
                $0.cut.place == cut.place && $0.cut.zone == cut.zone && $0.cut.prefix.prefix == cut.prefix.prefix
                    && $0.cut.prefix.address.isIPv6 == cut.prefix.address.isIPv6
            }) {
                if !groups[index].prefixes.contains(cut.prefix) { groups[index].prefixes.append(cut.prefix) }
            } else {
                groups.append((cut, [cut.prefix]))
            }
        }
        for (cut, prefixes) in groups {
            let links: String
            if cut.place == .outside {
                links = "\(name) != @stems"
            } else if let link = places.first(where: { $0.places.contains(cut.place) })?.link {
                links = "\(name) \"\(link)\""
            } else {
                continue
            }
            let ip = cut.prefix.address.isIPv6 ? "ip6" : "ip"
            result.append(("\(links) \(prefixes.match("\(ip) \(field)"))", cut.zone))
        }
        for entry in places where Set(entry.places.map { zoneMap.zone(of: $0) }).count > 1 {
            for case .uplink(let uplink) in entry.places.dropFirst() {
                guard let zone = zoneMap.zone(of: .uplink(uplink)),
                    let wish = layout.uplinks.first(where: { $0.wish.name == uplink })?.wish
                else { continue }
                let mark = "0x" + String(UInt32(wish.number) << 16, radix: 16)
                result.append(("\(name) \"\(entry.link)\" ct mark & 0xff0000 == \(mark)", zone))
            }
        }
        return result
    }

    // MARK: - Chains

    private var forward: Chain {
        var rules = ["iifname . oifname vmap @pairs"]
        rules += specialMatches(isSource: true).map { "\($0.match) jump from_\($0.zone)" }
        rules.append("iifname vmap @from")
        if isEverythingOutside { rules.append("jump from_\(Zone.outside)") }
        return Chain(name: "forward_in", base: RulesetPart.forwardBase, rules: rules)
    }

    private func fromChain(_ from: String) -> Chain {
        var rules = specialMatches(isSource: false).map { "\($0.match) goto \(from).\($0.zone)" }
        rules.append("oifname vmap @to_\(from)")
        if isEverythingOutside { rules.append("goto \(from).\(Zone.outside)") }
        return Chain(name: "from_\(from)", base: nil, rules: rules)
    }

    /// What passes to and from the host whatever is said: its own, answers, and what addresses and neighbours need.
    private static let needed = [
        "ct state established,related accept",
        "icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert, nd-redirect, mld-listener-query, mld-listener-report, mld-listener-done, mld2-listener-report } accept",
        "meta l4proto igmp accept",
    ]

    private var input: Chain {
        var rules = ["iif lo accept"] + Self.needed
        rules += [
            "udp dport { 68, 546 } accept",
            "iifname @closed drop",
            "ip saddr @admins4 accept",
            "ip6 saddr @admins6 accept",
        ]
        rules += specialMatches(isSource: true).map { "\($0.match) goto \($0.zone).host" }
        rules.append("iifname vmap @to_host")
        if isEverythingOutside { rules.append("goto \(Zone.outside).host") }
        return Chain(name: "input_in", base: RulesetPart.inputBase, rules: rules)
    }

    private var output: Chain {
        var rules = ["oif lo accept"] + Self.needed
        rules += [
            "udp dport { 67, 68, 547 } accept",
            "meta l4proto { tcp, udp } th dport 53 ip daddr @servers4 accept",
            "meta l4proto { tcp, udp } th dport 53 ip6 daddr @servers6 accept",
            "oifname @closed drop",
            "oifname @stems ct status dnat accept",
        ]
        rules += specialMatches(isSource: false).map { "\($0.match) goto host.\($0.zone)" }
        rules.append("oifname vmap @from_host")
        if isEverythingOutside { rules.append("goto host.\(Zone.outside)") }
        return Chain(name: "output_out", base: "type filter hook output priority -5; policy accept;", rules: rules)
    }
}

extension AddressPrefix {
    /// The range as elements of a set, which can't hold a range of everything.
    fileprivate var halves: [String] {
        guard prefix <= 0 else { return [nft] }
        return address.isIPv6 ? ["::/1", "8000::/1"] : ["0.0.0.0/1", "128.0.0.0/1"]
    }
}
