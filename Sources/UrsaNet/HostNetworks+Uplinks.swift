import Glibc
public import UrsaBase

/// A router that shares its interface with another, as the watcher must know it.
public struct SharedGateway: Sendable, Hashable {
    /// Its address.
    public var address: IPv4Address
    /// Its Ethernet address as the host's table has it.
    public var mac: MACAddress?
    /// The host's own address towards it.
    public var asker: IPv4Address
}

extension HostNetworks {
    /// Why uplinks of a wish can't be used now, by name, in words; empty when all can.
    public func problems(of uplinks: [UplinkWish]) throws(UrsaError) -> [String: String] {
        var result: [String: String] = [:]
        for uplink in uplinks.found(try Observer(home: home).routing()) {
            if let problem = uplink.found.problem {
                result[uplink.name] = problem
            } else if uplinks.contains(where: { $0.shares(uplink) }), uplink.found.macs.isEmpty {
                let gateway = uplink.gateway?.description ?? ""
                result[uplink.name] = "its gateway \(gateway) does not answer on \(uplink.interface)"
            }
        }
        return result
    }

    /// The routers of uplinks that share an interface, by the uplink's name; those that the host can't ask are left out.
    public func sharedGateways(of uplinks: [UplinkWish]) -> [String: SharedGateway] {
        guard uplinks.contains(where: { one in uplinks.contains { $0.shares(one) } }),
            let seen = (try? Observer(home: home).routing()) ?? nil
        else { return [:] }
        var result: [String: SharedGateway] = [:]
        for uplink in uplinks.found(seen) where uplinks.contains(where: { $0.shares(uplink) }) {
            guard let link = uplink.found.index, let gateway = uplink.gateway, let asker = uplink.found.address else {
                continue
            }
            result[uplink.name] = SharedGateway(
                address: gateway, mac: seen.neighbours[.init(link: link, address: .v4(gateway))], asker: asker)
        }
        return result
    }

    /// Names of the links on the host that a wish needs and that are Ursa's own.
    public func ownLinks(of wish: HostWish) -> [String] {
        wish.networks.filter { $0.hasStem || $0.isOnHost }.map { home.stemName($0.name) }
            + wish.bridges.filter { $0.bridge == nil }.map { home.bridgeName($0.name) }
    }

    /// Seconds that a gateway has to tell its Ethernet address.
    private static let patience = 0.4

    /// Has the kernel find out the Ethernet addresses of gateways that share an interface: they tell by whom a packet
    /// came. One that does not answer is left for later: the watcher hears of it.
    func findGateways(of uplinks: [UplinkWish]) {
        let shared = uplinks.filter { uplink in uplinks.contains { $0.shares(uplink) } }
        guard !shared.isEmpty, let socket = try? NetlinkSocket() else { return }
        var wanted: [(link: Int32, address: IPAddress)] = []
        for uplink in shared {
            guard let link = (try? socket.link(uplink.interface)) ?? nil else { continue }
            if let gateway = uplink.gateway { wanted.append((link.index, .v4(gateway))) }
            if let gateway = uplink.gateway6 { wanted.append((link.index, .v6(gateway))) }
        }
        let deadline = Deadline.after(seconds: HostNetworks.patience)
        var isFirst = true
        while true {
            let known = (try? socket.neighbours()) ?? []
            wanted.removeAll { link, address in known.contains { $0.link == link && $0.address == address } }
            if wanted.isEmpty || deadline.isPast { return }
            if isFirst { for (link, address) in wanted { try? socket.transact([Neighbour.find(address, link: link)]) } }
            isFirst = false
            pause(milliseconds: 5)
        }
    }

    /// Has nft and the kernel check the host's table for a wish; loads nothing.
    ///
    /// - Throws: what they don't take.
    public func checkTable(of wish: HostWish) throws(UrsaError) {
        let plan = NetworkPlan(home, wish, try observe())
        try FirewallTable.load(plan.ruleset.text, isCheck: true)
    }
}
