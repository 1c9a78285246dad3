import UrsaBase

/// A chain that another firewall leaves to others: rules in it are not overwritten while it runs, and what is accepted
/// there has passed that firewall.
struct ForeignHook: Sendable, Hashable {
    let family: TableFamily
    let table: String
    let chain: String
    /// The base chain that it belongs to, which decides the packets in the end.
    let base: String

    /// Docker's is said so in its documentation ("Packet filtering and firewalls"); ufw's holds the rules of
    /// `ufw route`, and ufw6- the same for IPv6; ufw-user-input those of `ufw allow`.
    static let all: [ForeignHook] = [
        ForeignHook(family: .ip, table: "filter", chain: "DOCKER-USER", base: "FORWARD"),
        ForeignHook(family: .ip6, table: "filter", chain: "DOCKER-USER", base: "FORWARD"),
        ForeignHook(family: .ip, table: "filter", chain: "ufw-user-forward", base: "FORWARD"),
        ForeignHook(family: .ip6, table: "filter", chain: "ufw6-user-forward", base: "FORWARD"),
        ForeignHook(family: .ip, table: "filter", chain: "ufw-user-input", base: "INPUT"),
        ForeignHook(family: .ip6, table: "filter", chain: "ufw6-user-input", base: "INPUT"),
    ]

    /// Those that are there and needed: their base chain drops what nobody accepts. One for each base chain.
    static func needed(_ seen: ForeignSeen) -> [ForeignChain] {
        var served: Set<String> = []
        return all.compactMap { hook in
            guard seen.chain(hook.family, hook.table, hook.base)?.drops == true,
                let chain = seen.chain(hook.family, hook.table, hook.chain),
                served.insert("\(hook.family) \(hook.base)").inserted
            else { return nil }
            return chain
        }
    }
}

/// What is known of firewalld's table.
enum Firewalld {
    static let table = "firewalld"
    /// The chains that choose a zone by the link that a packet comes in by: firewalld 1.x and 0.9.
    static let zoneChains: Set<String> = ["filter_FORWARD_ZONES", "filter_FORWARD_IN_ZONES"]
    /// The zone in which everything is accepted.
    static let zone = "trusted"
}

/// Something of another firewall that is in our packets' way and that Ursa may not change.
public struct ForeignObstacle: Sendable, Hashable {
    /// The chain: `ip filter FORWARD`.
    public let chain: String
    /// What it does to packets of Ursa's networks.
    public let effect: String
    /// The command that mends it.
    public let remedy: String
}

extension NetObservation {
    /// Chains of other firewalls that drop what Ursa's networks send, and that have no place for a rule of ours.
    public var obstacles: [ForeignObstacle] { foreign.obstacles }
}

extension ForeignSeen {
    /// An accept in our own table does not help against a drop in another's: a packet must pass all of them.
    var obstacles: [ForeignObstacle] {
        let mended = Set(ForeignHook.needed(self).map { "\($0.family) \($0.table)" })
        let mark = "0x" + String(RulesetPart.passMark, radix: 16)
        return chains.sorted { $0.title < $1.title }.compactMap { chain in
            guard chain.drops, !opened.contains(chain), chain.hook == ForeignChain.forwardHook, chain.family != .bridge,
                chain.family != .netdev, !mended.contains("\(chain.family) \(chain.table)")
            else { return nil }
            // Tables of these names are kept by iptables' commands, which don't like others' in them.
            let program = chain.table == "filter" ? ["ip": "iptables", "ip6": "ip6tables"][chain.family.name] : nil
            let remedy =
                program.map { "\($0) -I \(chain.name) -m mark --mark \(mark)/\(mark) -j ACCEPT" }
                ?? "nft insert rule \(chain.title) meta mark and \(mark) == \(mark) accept"
            return ForeignObstacle(
                chain: chain.title, effect: "drops packets between networks and to the outside", remedy: remedy)
        }
    }
}
