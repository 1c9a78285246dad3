import UrsaBase

/// Whether somebody else's rules drop what machines send. A drop in any base chain is final: no accept in a chain of
/// Ursa's own can take it back (nft(8), "verdict statements"), so the culprit is named with a rule to put into it.
struct FirewallCheck: Check {
    let topic = "firewall"

    func examine(_ host: HostFacts) -> [Finding] {
        var findings = legacy(host)
        guard host.program("nft") != nil else {
            return findings + [note("can't look at foreign rules without nft", remedy: host.install("nftables"))]
        }
        guard let output = host.output("nft", ["-j", "list", "ruleset"]), output.end.isSuccess else {
            return findings + [
                note(
                    "only root may read the firewall's rules", remedy: host.account.uid == 0 ? nil : "sudo ursa doctor")
            ]
        }
        do throws(UrsaError) {
            findings += examine(try Ruleset(output.output), host)
        } catch {
            findings.append(note("nft's answer can't be read: \(error.message)"))
        }
        return findings.isEmpty ? [ok("no foreign rules drop forwarded traffic")] : findings
    }

    func examine(_ rules: Ruleset, _ host: HostFacts) -> [Finding] {
        rules.chains.compactMap { chain in
            guard chain.type == "filter", let hook = chain.hook, hook == "forward" || hook == "input",
                !chain.table.name.hasPrefix("ursa"), let refusal = rules.refusal(chain)
            else { return nil }
            let owner = Owner(rules, chain)
            let place = "\(owner.words)chain \(chain.name) of table \(chain.table) (\(hook), \(refusal))"
            if rules.opensForUrsa(chain.table) { return ok("\(place) lets Ursa's interfaces pass") }
            let remedy = owner.remedy(rules, chain, host)
            if hook == "input" {
                return note("\(place) drops what machines ask the host itself, unless it is let in", remedy: remedy)
            }
            // IPv4 lost is everything lost; machines live on without IPv6 or frames between bridge ports.
            let message = "\(place) drops forwarded traffic: machines don't reach the outside"
            return chain.table.family == "ip" || chain.table.family == "inet"
                ? problem(message, remedy: remedy) : warning(message, remedy: remedy)
        }
    }

    /// iptables-legacy keeps its rules apart from nftables; they are only visible through its own program.
    private func legacy(_ host: HostFacts) -> [Finding] {
        let tables = [("ip_tables_names", "iptables-legacy"), ("ip6_tables_names", "ip6tables-legacy")]
        return tables.compactMap { table, program in
            guard host.networkTable(table).contains("filter") else { return nil }
            guard let output = host.output(program, ["-S", "FORWARD"]), output.end.isSuccess else {
                return note(
                    "legacy iptables rules are loaded and can't be read",
                    remedy: host.program(program) == nil ? host.install("iptables") : nil)
            }
            let lines = output.text.split(whereSeparator: \.isNewline)
            guard lines.contains("-P FORWARD DROP"), !lines.contains(where: { $0.contains(" ursa") }) else {
                return nil
            }
            let rule = { (side: String) in "\(program) -I FORWARD \(side) ursa-+ -j ACCEPT" }
            let message =
                "chain FORWARD of \(program) (policy DROP) drops forwarded traffic: machines don't reach the outside"
            let remedy = host.command("sh", "-c", "\(rule("-i")) && \(rule("-o"))")
            return program == "iptables-legacy" ? problem(message, remedy: remedy) : warning(message, remedy: remedy)
        }
    }

    /// Whose chain it is; each has its own way to be told.
    enum Owner: Hashable {
        case docker, firewalld, ufw, unknown

        init(_ rules: Ruleset, _ chain: Ruleset.Chain) {
            if rules.has("DOCKER-USER", in: chain.table), chain.hook == "forward" {
                self = .docker
            } else if chain.table.name == "firewalld" {
                self = .firewalld
            } else if rules.chains.contains(where: { $0.table == chain.table && $0.name.hasPrefix("ufw") }) {
                self = .ufw
            } else {
                self = .unknown
            }
        }

        var words: String {
            switch self {
            case .docker: "Docker's "
            case .firewalld: "firewalld's "
            case .ufw: "ufw's "
            case .unknown: ""
            }
        }

        func remedy(_ rules: Ruleset, _ chain: Ruleset.Chain, _ host: HostFacts) -> String? {
            switch self {
            case .firewalld:
                return host.command("firewall-cmd", "--zone=trusted", "--add-interface=ursa-+")
            case .ufw where chain.hook == "forward":
                return host.command("ufw", "default", "allow", "routed")
            case .docker, .ufw, .unknown:
                let name = self == .docker ? "DOCKER-USER" : chain.name
                let words = [chain.table.family, chain.table.name, name]
                // nft has no quoting for names: one that is not plain can't be put into a command.
                guard words.allSatisfy(Owner.isPlain) else { return nil }
                let insert = "insert rule \(words.joined(separator: " "))"
                let sides = chain.hook == "forward" ? ["iifname", "oifname"] : ["iifname"]
                let line = sides.map { "\(insert) \($0) \"ursa-*\" accept" }.joined(separator: "; ")
                return host.command("nft", line)
            }
        }

        private static func isPlain(_ name: String) -> Bool {
            name.first.map { $0.isASCII && ($0.isLetter || $0 == "_") } ?? false
                && name.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "_-.".contains($0)) }
        }
    }
}
