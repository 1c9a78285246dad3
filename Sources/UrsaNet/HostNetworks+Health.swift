import CLinux
import Glibc
import UrsaBase

extension HostNetworks {
    /// What is broken of running networks, in words, for those where anything is; well below a millisecond per network,
    /// no child process, no lock. It looks for what usually breaks, without knowing what was asked for; `plan` knows it all.
    public func health(_ networks: [String]) -> [String: String] {
        guard !networks.isEmpty else { return [:] }
        do throws(UrsaError) {
            let socket = try NetlinkSocket()
            let links = try socket.links()
            let routes = try socket.routes(AF_INET)
            let table = try FirewallTable.look(home.tableName)
            let isForwarding = Sysctl.read("ipv4/ip_forward") == "1"
            let addresses = try socket.addresses()
            let obstacle = try ForeignSeen.look(home, links: []).obstacles.first
            var result: [String: String] = [:]
            for (name, inside) in try Observer(home: home).insides(networks) {
                let link = links.first { $0.name == home.stemName(name) }
                if let link, home.bridgedNetwork(alias: link.alias) == name {
                    result[name] = bridgedProblem(name, link, links, addresses)
                    continue
                }
                var shared = fault(of: table, isForwarding: isForwarding)
                let own: String?
                if let link, link.kind == "bridge", home.network(alias: link.alias) == name {
                    own = hostBridgeProblem(name, link, links, addresses)
                } else {
                    let stem = link.flatMap { home.network(alias: $0.alias) == name ? $0 : nil }
                    let isStanding = inside.facts.contains { $0.text == NamespaceSettings.isStanding.fact }
                    own = problem(name, inside, stem: stem, routes: routes, isStanding: isStanding)
                    if isStanding, isForwarding == false { shared = fault(of: table, isForwarding: true) }
                }
                result[name] = own ?? shared
                // What stays on the network's own bridge meets no other firewall.
                if result[name] == nil, !inside.facts.contains(where: { $0.text == NamespaceSettings.isStanding.fact })
                {
                    result[name] = obstacle.map { "\($0.chain) \($0.effect) (`\($0.remedy)` mends it)" }
                }
            }
            return result
        } catch {
            let words = error.message
            return Dictionary(networks.map { ($0, words) }) { first, _ in first }
        }
    }

    private func problem(
        _ name: String, _ inside: NetworkSeen, stem: Link?, routes: [Route], isStanding: Bool
    ) -> String? {
        func holds(_ start: String) -> Bool { inside.facts.contains { $0.text.hasPrefix(start) } }
        if !inside.hasNamespace { return "its namespace \(home.namespaceName(name)) is gone" }
        if !holds(FactText.upStart(BridgeName.bridge)) { return "its bridge is gone or down" }
        if !holds(FactText.addressStart(BridgeName.bridge)) { return "its bridge has no address" }
        if let port = inside.stray.first { return "the port \(port) is not attached to the bridge" }
        // A network without a way out has no stem.
        if !isStanding {
            guard let stem, stem.isUp, holds(FactText.upStart(BridgeName.stem)) else {
                return "its link to the host is gone or down"
            }
            // On a LAN only guests have routes, and there may be none.
            let isLAN = inside.facts.contains { $0.text == BridgeSettings.answersForAll.fact }
            if !isLAN, !routes.contains(where: { $0.link == stem.index && $0.gateway != nil }) {
                return "the host has no route to it"
            }
        }
        return nameProblem(name)
    }

    private func hostBridgeProblem(
        _ name: String, _ bridge: Link, _ links: [Link], _ addresses: [LinkAddress]
    ) -> String? {
        if !bridge.isUp { return "its bridge is down" }
        if !addresses.contains(where: { $0.link == bridge.index }) { return "its bridge has no address" }
        for port in links where home.network(alias: port.alias) == name && port.index != bridge.index {
            if port.master != bridge.index || !port.isUp {
                return "the port \(port.name) is not attached to the bridge"
            }
        }
        return nameProblem(name)
    }

    private func bridgedProblem(
        _ name: String, _ bridge: Link, _ links: [Link], _ addresses: [LinkAddress]
    ) -> String? {
        if !bridge.isUp { return "its bridge is down" }
        guard let journal = BridgeJournal.of(name, home) else { return nil }
        guard let port = links.first(where: { $0.name == journal.interface }) else {
            return "the interface \(journal.interface) is gone"
        }
        if port.master != bridge.index || !port.isUp { return "\(port.name) is not a port of its bridge" }
        if addresses.contains(where: { $0.link == port.index }) { return "\(port.name) has addresses of its own again" }
        for tap in links where home.bridgedNetwork(alias: tap.alias) == name && tap.index != bridge.index {
            if tap.master != bridge.index || !tap.isUp { return "the port \(tap.name) is not attached to the bridge" }
        }
        return nil
    }

    private func nameProblem(_ name: String) -> String? {
        DnsmasqProcess(folder: home.folder(network: name)).identity == nil ? "its dnsmasq does not run" : nil
    }

    /// What is wrong with what all networks share.
    private func fault(of table: TableSeen?, isForwarding: Bool) -> String? {
        guard let table else { return "the nftables table \(home.tableName) is gone" }
        if table.chains.values.reduce(0, +) < Ruleset.smallestUse(home) {
            return "the nftables table \(home.tableName) was changed"
        }
        return isForwarding ? nil : "the host does not forward packets (net.ipv4.ip_forward is 0)"
    }
}
