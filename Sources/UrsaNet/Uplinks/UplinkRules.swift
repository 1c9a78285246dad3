import UrsaBase

extension RulesetPart {
    /// By which uplink packets leave: a connection is given one when it begins, remembers it in its mark, and every
    /// packet of it that could leave by several carries that mark to the routing rules.
    static func uplinks(_ home: HomeMark, _ wish: HostWish) -> RulesetPart {
        let uplinks = wish.uplinks.sorted { $0.number < $1.number }
        guard !uplinks.isEmpty else { return RulesetPart() }
        return UplinkRules(home: home, uplinks: uplinks, networks: wish.networks.sorted { $0.name < $1.name }).part
    }
}

/// The rules of uplinks; see `RulesetPart.uplinks`.
struct UplinkRules {
    let home: HomeMark
    let uplinks: [UplinkWish]
    let networks: [NetworkWish]

    private let mask = "0x" + hexadecimal(UplinkWish.markMask.bigEndianBytes)
    private let rest = "0x" + hexadecimal((~UplinkWish.markMask).bigEndianBytes)
    private func mark(_ uplink: UplinkWish) -> String { "0x" + hexadecimal(uplink.mark.bigEndianBytes) }
    private func quoted(_ link: String) -> String { "\"\(link)\"" }

    private var there: [UplinkWish] { uplinks.filter { $0.found.problem == nil } }
    private var pinned: [NetworkWish] { networks.filter { !$0.uplinks.isEmpty } }

    var part: RulesetPart {
        RulesetPart(sets: sets, chains: uplinks.map(take) + there.map(comeIn) + choices + there.map(leave) + hooks)
    }

    private var sets: [NamedSet] {
        // Of two on one interface the gateway's Ethernet address tells by which a packet came.
        let shared = there.filter { uplink in uplinks.contains { $0.shares(uplink) } }
        let alone = there.filter { uplink in !uplinks.contains { $0.shares(uplink) } }
        let nat = networks.filter { $0.model == .nat }
        return [
            NamedSet(
                name: "uplink_links", key: "ifname", elements: Set(there.map(\.found.link)).sorted().map(quoted)),
            NamedSet(
                name: "uplink_of_link", key: "ifname", value: "verdict",
                elements: alone.map { "\(quoted($0.found.link)) : goto come_in_\($0.number)" }),
            NamedSet(
                name: "uplink_of_gateway", key: "ifname . ether_addr", value: "verdict",
                elements: shared.flatMap { uplink in
                    uplink.found.macs.map { "\(quoted(uplink.found.link)) . \($0) : goto come_in_\(uplink.number)" }
                }),
            NamedSet(
                name: "uplink_pins", key: "ifname", value: "verdict",
                elements: pinned.map { "\(quoted(home.stemName($0.name))) : goto \(choice(of: $0))" }),
            NamedSet(
                name: "uplink_nat4", key: "ipv4_addr", elements: nat.map { "\($0.subnet)" }, isRange: true),
            NamedSet(
                name: "uplink_nat6", key: "ipv6_addr", elements: nat.compactMap { $0.subnet6.map { "\($0)" } },
                isRange: true),
        ]
    }

    /// Gives a new connection an uplink, and its first packet the way.
    private func take(_ uplink: UplinkWish) -> Chain {
        Chain(
            name: "take_\(uplink.number)", base: nil,
            rules: [
                "ct mark set ct mark and \(rest) or \(mark(uplink))",
                "meta mark set \(mark(uplink))",
            ])
    }

    /// Notes the uplink that a connection comes in by: its answers leave there.
    private func comeIn(_ uplink: UplinkWish) -> Chain {
        Chain(
            name: "come_in_\(uplink.number)", base: nil,
            rules: ["ct mark set ct mark and \(rest) or \(mark(uplink))"])
    }

    /// Source addresses of what leaves by an uplink: the guests', and the host's own ones that belong elsewhere because
    /// they were chosen before the way was.
    private func leave(_ uplink: UplinkWish) -> Chain {
        var rules = [
            "ip saddr @uplink_nat4 masquerade",
            "ip6 saddr @uplink_nat6 masquerade",
            "fib saddr type local fib saddr . oif type != local masquerade",
        ]
        if let address = uplink.address {
            rules[0] = "ip saddr @uplink_nat4 snat ip to \(address)"
            rules.insert("fib saddr type local ip saddr != \(address) snat ip to \(address)", at: 1)
        }
        return Chain(name: "leave_\(uplink.number)", base: nil, rules: rules)
    }

    private func choice(of network: NetworkWish) -> String {
        let numbers = uplinks.filter { network.uplinks.contains($0.name) }.map { String($0.number) }
        return "choose_" + numbers.joined(separator: "_")
    }

    /// Chains that choose: one for everybody, one for each group of uplinks that a network is pinned to.
    private var choices: [Chain] {
        var chains = [Chain(name: "choose_any", base: nil, rules: families { choose(candidates(isIPv6: $0)) })]
        for network in pinned where !chains.contains(where: { $0.name == choice(of: network) }) {
            chains.append(
                Chain(
                    name: choice(of: network), base: nil,
                    rules: families { choose(candidates(of: network, isIPv6: $0)) }))
        }
        return chains
    }

    private func families(_ rule: (Bool) -> String?) -> [String] {
        [false, true].compactMap { isIPv6 in
            rule(isIPv6).map { "meta nfproto \(isIPv6 ? "ipv6" : "ipv4") \($0)" }
        }
    }

    /// Those that share the new connections: the healthy ones, fallbacks only when there is no other.
    private func candidates(isIPv6: Bool) -> [(UplinkWish, Int)] {
        let healthy = uplinks.usable(isIPv6: isIPv6).filter(\.isHealthy)
        let usual = healthy.filter { !$0.isFallback && $0.weight > 0 }
        return usual.isEmpty
            ? healthy.filter(\.isFallback).map { ($0, Swift.max(1, $0.weight)) } : usual.map { ($0, $0.weight) }
    }

    /// The same among those that a network is pinned to. When none of them works its guests don't leave by others.
    private func candidates(of network: NetworkWish, isIPv6: Bool) -> [(UplinkWish, Int)] {
        let own = uplinks.filter { network.uplinks.contains($0.name) }
        let healthy = own.usable(isIPv6: isIPv6).filter(\.isHealthy)
        let usual = healthy.filter { !$0.isFallback }
        let chosen = !usual.isEmpty ? usual : !healthy.isEmpty ? healthy : own
        return chosen.map { ($0, Swift.max(1, $0.weight)) }
    }

    private func choose(_ candidates: [(UplinkWish, Int)]) -> String? {
        guard let first = candidates.first else { return nil }
        if candidates.count == 1 { return "goto take_\(first.0.number)" }
        var start = 0
        let shares = candidates.map { uplink, weight in
            defer { start += weight }
            let range = weight == 1 ? "\(start)" : "\(start)-\(start + weight - 1)"
            return "\(range) : goto take_\(uplink.number)"
        }
        return "numgen random mod \(start) vmap { \(shares.joined(separator: ", ")) }"
    }

    private var hooks: [Chain] {
        // Programs that mark their own packets have chosen their way. What is near needs none: rule 10000.
        let known = [
            "meta mark != 0 accept",
            "ct mark and \(mask) != 0 meta mark set ct mark and \(mask) accept",
            "fib daddr type != unicast accept",
        ]
        let own = Set(there.filter(\.found.isDefault).map(\.found.link)).sorted().map(quoted)
        return [
            Chain(
                name: "mark_in", base: "type filter hook prerouting priority mangle; policy accept;",
                rules: [
                    "iifname @uplink_links ct state new ct direction original iifname . ether saddr vmap @uplink_of_gateway",
                    "iifname @uplink_links ct state new ct direction original iifname vmap @uplink_of_link",
                    "iifname @uplink_links accept",
                ] + known + [
                    "iifname @stems ct state new iifname vmap @uplink_pins",
                    "iifname @stems ct state new jump choose_any",
                ]),
            Chain(
                name: "route_out", base: "type route hook output priority mangle; policy accept;",
                rules: known
                    + (own.isEmpty ? [] : ["ct state new oifname { \(own.joined(separator: ", ")) } jump choose_any"])),
            // Before the masquerade of everything else.
            Chain(
                name: "uplink_out", base: "type nat hook postrouting priority 99; policy accept;",
                rules: there.map {
                    "oifname \(quoted($0.found.link)) meta mark and \(mask) == \(mark($0)) jump leave_\($0.number)"
                }),
        ]
    }
}
