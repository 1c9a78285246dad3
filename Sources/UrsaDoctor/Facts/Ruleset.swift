import UrsaBase

/// The nftables rules of the host's namespace, as far as the doctor reads them (libnftables-json(5)).
struct Ruleset: Sendable {
    /// Where a chain is.
    struct Table: Sendable, Hashable, CustomStringConvertible {
        /// `ip`, `ip6`, `inet`, `bridge`, …
        var family: String
        /// Its name.
        var name: String
        var description: String { "\(family) \(name)" }
    }
    /// A chain; only base chains have a hook.
    struct Chain: Sendable, Hashable {
        var table: Table
        var name: String
        var hook: String?
        var type: String?
        var policy: String?
    }
    /// A rule, as nft writes it.
    struct Rule: Sendable, Hashable {
        var table: Table
        var chain: String
        var comment: String?
        var statements: [JSON]
    }

    /// All chains in order.
    var chains: [Chain] = []
    /// All rules in order.
    var rules: [Rule] = []

    /// Reads what `nft -j list ruleset` prints; unknown objects are passed over.
    init(_ bytes: [UInt8]) throws(UrsaError) {
        for object in try JSON.parse(bytes)["nftables"]?.array ?? [] {
            if let chain = object["chain"], let table = Ruleset.table(chain), let name = chain["name"]?.string {
                chains.append(
                    Chain(
                        table: table, name: name, hook: chain["hook"]?.string, type: chain["type"]?.string,
                        policy: chain["policy"]?.string))
            } else if let rule = object["rule"], let table = Ruleset.table(rule), let chain = rule["chain"]?.string {
                rules.append(
                    Rule(
                        table: table, chain: chain, comment: rule["comment"]?.string,
                        statements: rule["expr"]?.array ?? []))
            }
        }
    }

    private static func table(_ object: JSON) -> Table? {
        guard let family = object["family"]?.string, let name = object["table"]?.string else { return nil }
        return Table(family: family, name: name)
    }

    /// Whether a chain of that name is in the table.
    func has(_ name: String, in table: Table) -> Bool { chains.contains { $0.table == table && $0.name == name } }

    /// How a base chain treats a packet that nothing in it knows: nil lets it pass, else the words for it.
    func refusal(_ chain: Chain) -> String? {
        if chain.policy == "drop" { return "policy drop" }
        // firewalld leaves the policy at accept and ends the chain with an unconditional reject.
        let last = rules.last { $0.table == chain.table && $0.chain == chain.name }
        guard let last, last.statements.allSatisfy(\.isVerdictOrCounter) else { return nil }
        if last.statements.contains(where: { $0["drop"] != nil }) { return "last rule drop" }
        return last.statements.contains { $0["reject"] != nil } ? "last rule reject" : nil
    }

    /// Whether some rule of the table lets Ursa's interfaces pass: by their names, or by Ursa's mark in the comment.
    func opensForUrsa(_ table: Table) -> Bool {
        rules.contains { rule in
            guard rule.table == table, rule.statements.contains(where: { $0["accept"] != nil }) else { return false }
            return rule.comment?.hasPrefix("ursa") == true || rule.statements.contains(where: \.namesUrsaInterface)
        }
    }
}

extension JSON {
    fileprivate var isVerdictOrCounter: Bool {
        members?.allSatisfy { ["drop", "reject", "counter", "log"].contains($0.name) } ?? false
    }

    fileprivate var namesUrsaInterface: Bool {
        guard let match = self["match"], let key = match["left"]?["meta"]?["key"]?.string else { return false }
        return (key == "iifname" || key == "oifname") && match["right"]?.string?.hasPrefix("ursa") == true
    }
}
