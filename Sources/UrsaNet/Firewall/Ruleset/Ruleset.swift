import UrsaBase

/// The host's nftables table for a wish, as text for `nft -f`.
///
/// One table of family inet; every base chain's policy is accept, and only packets that come from or go to a link of
/// this home (or what the zones of its spec name) are ever dropped, so nobody else's traffic is touched.
struct Ruleset: Sendable, Hashable {
    /// The table's name.
    let table: String
    /// Sets and maps with their elements, but for the set of stamps.
    let sets: [NamedSet]
    /// The chains' texts.
    private let chainTexts: [String]
    /// What the table's comment says: the owner and a digest of everything but the elements of sets. As long as it is
    /// the same, elements are all that a change has to touch.
    let comment: String
    /// A digest of the elements, which stands in the table as the newest element of the set of stamps.
    let digest: IPv6Address
    /// Per chain how many rules it has and how many rules and elements lead to it (`NFTA_CHAIN_USE`): a flushed chain
    /// has fewer.
    let chains: [String: Int]
    private let ruleUses: [String: Int]
    /// Sets and maps whose elements can be counted, with the number of their elements.
    let elements: [String: Int]

    /// Everything that the table is made of. A later part's rules come after an earlier one's in a chain that both use.
    static func parts(_ home: HomeMark, _ wish: HostWish) -> [RulesetPart] {
        let layout = FirewallLayout(home, wish)
        return [
            .links(layout),
            .uplinks(home, wish),
            .publishedPorts(layout),
            .zones(layout),
            .strangers,
            .masquerade,
            .checksums(home, wish),
        ]
    }

    /// The table for a wish.
    init(_ home: HomeMark, _ wish: HostWish) {
        self.init(home, Self.parts(home, wish))
    }

    /// The table for networks alone.
    init(_ home: HomeMark, _ networks: [NetworkWish]) {
        self.init(home, HostWish(networks: networks))
    }

    private init(_ home: HomeMark, _ parts: [RulesetPart]) {
        let joined = Self.join(parts.flatMap(\.chains))
        let sets = parts.flatMap(\.sets)
        // Set and map names are part of the skeleton; so is which of them a rule fills by itself.
        chainTexts = joined.map(\.text)
        let skeleton = sets.map(\.declaration) + chainTexts
        digest = Self.digest(sets)
        table = home.tableName
        comment = "ursa:\(home.id):" + hexadecimal(SHA256.digest(skeleton.joined(separator: "\n")).prefix(8))
        ruleUses = Self.uses(joined)
        chains = ruleUses.merging(Self.uses(sets), uniquingKeysWith: +)
        elements = Dictionary(
            sets.filter(\.isCountable).map { ($0.name, $0.elements.count) }, uniquingKeysWith: { $0 + $1 })
        self.sets = sets
    }

    /// The text, which replaces the table in one transaction (connection tracking goes on over it).
    ///
    /// "Add, delete, add" works whether the table was there or not; nft 1.0.6 has no `destroy`.
    var text: String { text(stamp: 1) }

    /// The text for a host without the table: nothing is deleted, so that nobody waits for the kernel to forget
    /// something. It fails when there is a table.
    ///
    /// A table's comment is taken only where the table is made, and `create` with the whole body loses the rules (1.0.6).
    var firstText: String { "create table inet \(table) { comment \"\(comment)\"; }\n" + body(stamp: 1) }

    /// The text with the stamp's number as it is in the kernel after `number` - 1 changes of elements.
    func text(stamp number: UInt32) -> String {
        "table inet \(table)\ndelete table inet \(table)\n" + body(stamp: number)
    }

    private func body(stamp number: UInt32) -> String {
        let stamps = NamedSet.stamps([Stamp(number: number, digest: digest)])
        return """
            table inet \(table) {
            comment "\(comment)"
            \((sets.map(\.text) + [stamps.text] + chainTexts).joined(separator: "\n"))
            }

            """
    }

    /// The text that removes the table, whether it is there or not.
    static func removal(_ home: HomeMark) -> String {
        "table inet \(home.tableName)\ndelete table inet \(home.tableName)\n"
    }

    private static func digest(_ sets: [NamedSet]) -> IPv6Address {
        let all = sets.map { "\($0.name): \($0.elements.joined(separator: ", "))" }.joined(separator: "\n")
        return IPv6Address(bytes: Array(SHA256.digest(all).prefix(16))) ?? IPv6Address(high: 0, low: 0)
    }

    /// Chains of one name become one; those that are jumped to come first.
    private static func join(_ chains: [Chain]) -> [Chain] {
        var order: [String] = []
        var joined: [String: Chain] = [:]
        for chain in chains {
            if joined[chain.name] == nil {
                order.append(chain.name)
                joined[chain.name] = chain
            } else {
                joined[chain.name]?.rules += chain.rules
            }
        }
        let all = order.compactMap { joined[$0] }
        return all.filter { $0.base == nil } + all.filter { $0.base != nil }
    }

    private static func uses(_ chains: [Chain]) -> [String: Int] {
        var uses: [String: Int] = [:]
        for chain in chains {
            uses[chain.name, default: 0] += chain.rules.count
            for rule in chain.rules { for target in Chain.targets(of: rule) { uses[target, default: 0] += 1 } }
        }
        return uses
    }

    /// Uses of chains by elements of maps.
    private static func uses(_ sets: [NamedSet]) -> [String: Int] {
        var uses: [String: Int] = [:]
        for set in sets where set.value == "verdict" {
            for element in set.elements { for target in Chain.targets(of: element) { uses[target, default: 0] += 1 } }
        }
        return uses
    }

    /// How often each chain is used by rules and by elements of maps.
    static func uses(_ chains: [Chain], _ sets: [NamedSet]) -> [String: Int] {
        uses(chains).merging(uses(sets), uniquingKeysWith: +)
    }

    /// What takes a table with these sets, else as this one, to this one: elements to delete and to add, in one
    /// transaction. Nil when the table in the kernel is not the one that was noted.
    /// - Parameters:
    ///   - noted: the text that was loaded last.
    ///   - seen: the table in the kernel.
    func change(from noted: String, _ seen: TableSeen) -> ElementChange? {
        guard seen.comment == comment, let stamp = seen.stamps.max() else { return nil }
        // The usual case: all is as it should be, and no text needs to be read.
        if stamp.digest == digest, seen.chains == chains, seen.elements == elements {
            return ElementChange(table: table, from: sets, to: sets, stamps: seen.stamps, digest: digest)
        }
        let stamps = NamedSet.stamps([stamp])
        guard let read = NamedSet.read(noted, like: sets + [stamps]), read.last == stamps else { return nil }
        let old = Array(read.dropLast())
        guard seen.chains == ruleUses.merging(Self.uses(old), uniquingKeysWith: +) else { return nil }
        for set in old where set.isCountable && seen.elements[set.name] != set.elements.count { return nil }
        return ElementChange(table: table, from: old, to: sets, stamps: seen.stamps, digest: digest)
    }

    /// The sum of use counts that every table of ours has.
    static func smallestUse(_ home: HomeMark) -> Int {
        uses(join(parts(home, HostWish()).flatMap(\.chains))).values.reduce(0, +)
    }
}
