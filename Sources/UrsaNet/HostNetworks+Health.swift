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
            var result: [String: String] = [:]
            for (name, inside) in try Observer(home: home).insides(networks) {
                let stem = links.first { $0.name == home.stemName(name) && home.network(alias: $0.alias) == name }
                result[name] = problem(
                    name, inside, stem: stem, routes: routes, table: table, isForwarding: isForwarding)
            }
            return result
        } catch {
            let words = error.message
            return Dictionary(networks.map { ($0, words) }) { first, _ in first }
        }
    }

    private func problem(
        _ name: String, _ inside: NetworkSeen, stem: Link?, routes: [Route], table: TableSeen?, isForwarding: Bool
    ) -> String? {
        func holds(_ start: String) -> Bool { inside.facts.contains { $0.text.hasPrefix(start) } }
        if !inside.hasNamespace { return "its namespace \(home.namespaceName(name)) is gone" }
        if !holds(FactText.upStart(BridgeName.bridge)) { return "its bridge is gone or down" }
        if !holds(FactText.addressStart(BridgeName.bridge)) { return "its bridge has no address" }
        if let port = inside.stray.first { return "the port \(port) is not attached to the bridge" }
        guard let stem, stem.isUp, holds(FactText.upStart(BridgeName.stem)) else {
            return "its link to the host is gone or down"
        }
        if !routes.contains(where: { $0.link == stem.index && $0.gateway != nil }) {
            return "the host has no route to it"
        }
        if DnsmasqProcess(folder: home.folder(network: name)).identity == nil { return "its dnsmasq does not run" }
        guard let table else { return "the nftables table \(home.tableName) is gone" }
        if table.chains.values.reduce(0, +) < Ruleset.smallestUse(home) {
            return "the nftables table \(home.tableName) was changed"
        }
        return isForwarding ? nil : "the host does not forward packets (net.ipv4.ip_forward is 0)"
    }
}
