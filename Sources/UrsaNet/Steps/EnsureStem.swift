import CLinux
import UrsaBase

/// The stem: a veth pair between host and namespace, with addresses, routes and settings of both ends.
struct EnsureStem: NetStep {
    let home: HomeMark
    let wish: NetworkWish
    let broken: [String]
    let phase = Phase.make
    var network: String? { wish.name }
    private var name: String { home.stemName(wish.name) }

    var line: String {
        let route = wish.hostRoutes.first.map { ", route to \($0.0)" } ?? ""
        let what = "stem \(name) \(wish.hostEnd)\(wish.hostEnd6.map { ", \($0)" } ?? "")\(route)"
        return broken.isEmpty ? "+ \(what)" : "~ \(what): \(broken.joined(separator: "; "))"
    }

    func apply() throws(UrsaError) {
        let socket = try NetlinkSocket()
        let link = try ensurePair(socket)
        for setting in StemSettings.all(name) { try setting.apply() }
        try finish(socket, link, addresses: wish.stemAddresses, routes: wish.hostRoutes, source: wish.hostEndSources)
        let wish = wish
        let alias = home.alias(wish.name)
        try home.namespace(wish.name).run { () throws(UrsaError) in
            let socket = try NetlinkSocket()
            guard let stem = try socket.link(BridgeName.stem), let bridge = try socket.link(BridgeName.bridge) else {
                throw UrsaError(.io, "the links of \(wish.name) went away while they were set up")
            }
            try socket.transact([LinkRequest.setAlias(.index(stem.index), alias)])
            let inside = AddressPrefix(address: NetworkWish.stemInside6, prefix: 64)
            try finish(
                socket, stem, addresses: wish.subnet6 == nil ? [] : [inside], routes: wish.insideRoutes,
                source: wish.gatewaySources)
            try socket.transact(wish.publishedAddresses.map { RouteRequest.publish($0, link: bridge.index) })
        }
    }

    /// The host's end, made when the pair is missing, or when it has addresses that it should not have.
    private func ensurePair(_ socket: NetlinkSocket) throws(UrsaError) -> Link {
        guard let namespace = try home.namespace(wish.name).open() else {
            throw UrsaError(.notFound, "there is no network namespace \(home.namespaceName(wish.name))")
        }
        if let there = try socket.link(name) {
            guard home.network(alias: there.alias) == wish.name else {
                throw UrsaError(
                    .conflict, "the host has a link \(name) that is not Ursa's",
                    remedy: "rename that link, or the network \(wish.name)")
            }
            let addresses = try socket.addresses().filter { $0.link == there.index }
            let strange = addresses.contains {
                !wish.stemAddresses.contains(AddressPrefix(address: $0.address, prefix: $0.prefix))
            }
            let raw = namespace.raw
            let hasOtherEnd = try OSThread.run { () throws(UrsaError) -> Bool in
                try check(clinux_setns_network(raw), "enter a network namespace")
                return try NetlinkSocket().link(BridgeName.stem) != nil
            }
            if !strange, hasOtherEnd { return there }
            try socket.transact([LinkRequest.delete(.index(there.index))])
        }
        // Created and marked in one system call, which a kill can't cut in two.
        try socket.transact([
            LinkRequest.addVeth(
                name, mac: home.mac("stem \(wish.name)"), peer: BridgeName.stem,
                peerMAC: home.mac("stem inside \(wish.name)"), peerNamespace: namespace.raw, mtu: UInt32(wish.mtu)),
            LinkRequest.setAlias(.name(name), home.alias(wish.name)),
        ])
        guard let made = try socket.link(name) else { throw UrsaError(.io, "the link \(name) went away at once") }
        return made
    }

    private func finish(
        _ socket: NetlinkSocket, _ link: Link, addresses: [AddressPrefix], routes: [(AddressPrefix, IPAddress?)],
        source: (v4: IPv4Address, v6: IPv6Address?)
    ) throws(UrsaError) {
        var requests: [NetlinkMessage] = []
        if !link.isUp { requests.append(LinkRequest.noAutomaticIPv6(.index(link.index))) }
        requests.append(
            LinkRequest.set(.index(link.index), up: true, mtu: UInt32(wish.mtu), action: "bring \(link.name) up"))
        for address in addresses {
            requests.append(RouteRequest.addAddress(address.address, prefix: address.prefix, link: link.index))
        }
        for (destination, gateway) in routes {
            let from: IPAddress? =
                switch destination.address {
                case .v4: .v4(source.v4)
                case .v6: source.v6.map { .v6($0) }
                }
            requests.append(RouteRequest.addRoute(destination, link: link.index, gateway: gateway, source: from))
        }
        try socket.transact(requests)
    }

    func undo() throws(UrsaError) {
        guard broken.isEmpty else { return }
        let socket = try NetlinkSocket()
        guard let link = try socket.link(name), home.network(alias: link.alias) == wish.name else { return }
        try socket.deleteLinks([link.index])
    }
}

extension NetworkWish {
    /// The host speaks to guests from its own address in their subnet, whatever other addresses it has.
    fileprivate var hostEndSources: (v4: IPv4Address, v6: IPv6Address?) { (hostEnd, hostEnd6) }
    fileprivate var gatewaySources: (v4: IPv4Address, v6: IPv6Address?) { (gateway, gateway6) }
}
