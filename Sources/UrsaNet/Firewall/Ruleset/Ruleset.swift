import UrsaBase

/// The host's nftables table for a wish, as text for `nft -f`.
///
/// One table of family inet; every base chain's policy is accept, and only packets that come from or go to a link of
/// this home are ever dropped, so nobody else's traffic is touched.
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
    /// Sets and maps whose elements can be counted, with the number of their elements.
    let elements: [String: Int]

    /// Everything that the table is made of. A later part's rules come after an earlier one's in a chain that both use.
    static func parts(_ home: HomeMark, _ wish: HostWish) -> [RulesetPart] {
        [
            .links(home, wish),
            .uplinks(home, wish),
            .publishedPorts(home, wish),
            .strangers(home, wish),
            .masquerade(home, wish),
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
        let sets = parts.flatMap(\.sets)
        let joined = Self.join(parts.flatMap(\.chains))
        let body = sets.map(\.text) + joined.map(\.text)
        let digest = hexadecimal(SHA256.digest(body.joined(separator: "\n")).prefix(8))
        table = home.tableName
        comment = "ursa:\(home.id):\(digest)"
        chains = Self.uses(joined, sets)
        elements = Dictionary(
            sets.filter(\.isCountable).map { ($0.name, $0.elements.count) }, uniquingKeysWith: { $0 + $1 })
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

    /// Chains of one name become one. nft 1.0.6 wants a chain before the rule that jumps to it.
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

    private static func uses(_ chains: [Chain], _ sets: [NamedSet]) -> [String: Int] {
        var uses: [String: Int] = [:]
        for chain in chains {
            uses[chain.name, default: 0] += chain.rules.count
            for rule in chain.rules { for target in Chain.targets(of: rule) { uses[target, default: 0] += 1 } }
        }
        for element in sets.filter({ $0.value == "verdict" }).flatMap(\.elements) {
            for target in Chain.targets(of: element) { uses[target, default: 0] += 1 }
        }
        return uses
    }

    /// The sum of use counts that every table of ours has.
    static func smallestUse(_ home: HomeMark) -> Int {
        uses(join(parts(home, HostWish()).flatMap(\.chains)), []).values.reduce(0, +)
    }
}
