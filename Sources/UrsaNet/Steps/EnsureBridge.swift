import UrsaBase

/// The bridge with its addresses and ports.
struct EnsureBridge: NetStep {
    let home: HomeMark
    let wish: NetworkWish
    /// What is wrong with one that was there before; empty for a new one.
    let broken: [String]
    let phase = Phase.make
    var network: String? { wish.name }

    var line: String {
        let addresses = wish.bridgeAddresses.filter { $0.address != NetworkWish.stemInside6 }.map(\.description)
        let what = "bridge br0 \(addresses.joined(separator: ", ")) in \(home.namespaceName(wish.name))"
        return broken.isEmpty ? "+ \(what)" : "~ \(what): \(broken.joined(separator: "; "))"
    }

    static func addresses(_ wish: NetworkWish, link: Int32) -> [NetlinkMessage] {
        wish.bridgeAddresses.map {
            RouteRequest.addAddress(
                $0.address, prefix: $0.prefix, link: link,
                withoutRoute: wish.bridgeHasNoSubnet && $0.address != NetworkWish.stemInside6)
        }
    }

    static func makeLink(_ home: HomeMark, _ wish: NetworkWish, _ socket: NetlinkSocket) throws(UrsaError) {
        let name = LinkName.name(BridgeName.bridge)
        try socket.transact([
            LinkRequest.addBridge(BridgeName.bridge, mac: home.mac("bridge \(wish.name)"), mtu: UInt32(wish.mtu)),
            LinkRequest.setAlias(name, home.alias(wish.name)),
            LinkRequest.noAutomaticIPv6(name),
        ])
    }

    func apply() throws(UrsaError) {
        let (home, wish) = (home, wish)
        try home.namespace(wish.name).run { () throws(UrsaError) in
            let socket = try NetlinkSocket()
            if try socket.link(BridgeName.bridge) == nil { try Self.makeLink(home, wish, socket) }
            let links = try socket.links()
            guard let bridge = links.first(where: { $0.name == BridgeName.bridge }) else {
                throw UrsaError(.io, "the bridge of \(wish.name) went away while it was set up")
            }
            var requests = [
                LinkRequest.set(.name("lo"), up: true, action: "bring lo up"),
                LinkRequest.set(.index(bridge.index), up: true, mtu: UInt32(wish.mtu), action: "bring br0 up"),
                LinkRequest.setAlias(.index(bridge.index), home.alias(wish.name)),
            ]
            for address in try socket.addresses() where address.link == bridge.index {
                let prefix = AddressPrefix(address: address.address, prefix: address.prefix)
                if !wish.bridgeAddresses.contains(prefix) {
                    requests.append(
                        RouteRequest.deleteAddress(address.address, prefix: address.prefix, link: bridge.index))
                }
            }
            requests += Self.addresses(wish, link: bridge.index)
            for port in links where home.network(alias: port.alias) == wish.name {
                guard port.name != BridgeName.bridge, port.name != BridgeName.stem else { continue }
                requests.append(
                    LinkRequest.set(
                        .index(port.index), up: true, master: bridge.index, action: "attach \(port.name) to br0"))
            }
            requests += PortRequest.isolation(wish.members, links)
            try socket.transact(requests)
            for setting in BridgeSettings.of(wish) { try setting.apply() }
        }
    }

    // A new one goes with its namespace; of an older one nothing was taken away.
    func undo() throws(UrsaError) {}
}
