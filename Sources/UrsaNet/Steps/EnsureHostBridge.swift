import UrsaBase

/// The bridge of a network that is placed on the host, with the host's own addresses in the subnet.
///
/// Nothing is done about the host's `br_netfilter`: other programs (Kubernetes) need it as it is, so rules that let
/// frames of one bridge pass stand in the table instead.
struct EnsureHostBridge: NetStep {
    let home: HomeMark
    let wish: NetworkWish
    let broken: [String]
    let phase = Phase.make
    var network: String? { wish.name }
    private var name: String { wish.bridgeName(home) }

    var line: String {
        let addresses = wish.bridgeAddresses.filter { $0.address != NetworkWish.stemInside6 }.map(\.description)
        let what = "bridge \(name) \(addresses.joined(separator: ", ")) on the host"
        return broken.isEmpty ? "+ \(what)" : "~ \(what): \(broken.joined(separator: "; "))"
    }

    func apply() throws(UrsaError) {
        try File.makeDirectory(home.folder(network: wish.name))
        let socket = try NetlinkSocket()
        if let there = try socket.link(name) {
            guard home.network(alias: there.alias) == wish.name else {
                throw UrsaError(
                    .conflict, "the host has a link \(name) that is not Ursa's",
                    remedy: "rename that link, or the network \(wish.name)")
            }
        } else {
            try socket.transact([
                LinkRequest.addBridge(name, mac: home.mac("bridge \(wish.name)"), mtu: UInt32(clamping: wish.mtu)),
                LinkRequest.setAlias(.name(name), home.alias(wish.name)),
                LinkRequest.noAutomaticIPv6(.name(name)),
            ])
        }
        for setting in StemSettings.all(name) { try setting.apply() }
        let links = try socket.links()
        guard let bridge = links.first(where: { $0.name == name }) else {
            throw UrsaError(.io, "the link \(name) went away at once")
        }
        var requests = [
            LinkRequest.set(
                .index(bridge.index), up: true, mtu: UInt32(clamping: wish.mtu), action: "bring \(name) up")
        ]
        for address in try socket.addresses() where address.link == bridge.index {
            let prefix = AddressPrefix(address: address.address, prefix: address.prefix)
            if !wish.bridgeAddresses.contains(prefix) {
                requests.append(
                    RouteRequest.deleteAddress(address.address, prefix: address.prefix, link: bridge.index))
            }
        }
        requests += EnsureBridge.addresses(wish, link: bridge.index)
        for port in links where home.network(alias: port.alias) == wish.name && port.index != bridge.index {
            requests.append(
                LinkRequest.set(.index(port.index), up: true, master: bridge.index, action: "attach \(port.name)"))
        }
        try socket.transact(requests + PortRequest.isolation(wish.members, links))
    }

    func undo() throws(UrsaError) {
        guard broken.isEmpty else { return }
        let socket = try NetlinkSocket()
        let ours = try socket.links().filter { home.network(alias: $0.alias) == wish.name }
        try socket.deleteLinks(ours.map(\.index))
        try File.removeTree(home.folder(network: wish.name))
    }
}
