import CLinux
import Glibc
import UrsaBase

/// The namespace with its settings and a bare bridge, by whose mark it is known as ours.
struct EnsureNamespace: NetStep {
    let home: HomeMark
    let wish: NetworkWish
    /// Whether the name is bound; then only the settings are mended.
    let exists: Bool
    /// A dnsmasq that still lives in a namespace that lost its name: the namespace is found again through it.
    let survivor: ProcessIdentity?
    let phase = Phase.make
    var network: String? { wish.name }
    private var namespace: NetworkNamespace { home.namespace(wish.name) }

    var line: String {
        if exists { return "~ settings in namespace \(namespace.name)" }
        return survivor == nil
            ? "+ namespace \(namespace.name)"
            : "~ namespace \(namespace.name): its dnsmasq lives in it, its name is gone"
    }

    func apply() throws(UrsaError) {
        // Noted before it is made: a kill from here on leaves a trace.
        try File.makeDirectory(home.folder(network: wish.name))
        if !namespace.exists {
            try NetworkNamespace.prepareFolder()
            if let survivor, survivor.isAlive { try namespace.adopt(process: survivor.pid) }
        }
        let (home, wish) = (home, wish)
        if namespace.exists {
            try namespace.run { () throws(UrsaError) in for setting in NamespaceSettings.all { try setting.apply() } }
        } else {
            try namespace.create { () throws(UrsaError) in
                for setting in NamespaceSettings.all { try setting.apply() }
                try EnsureBridge.makeLink(home, wish, NetlinkSocket())
            }
        }
    }

    func undo() throws(UrsaError) {
        guard !exists, survivor == nil else { return }
        try namespace.remove()
        try File.removeTree(home.folder(network: wish.name))
    }
}

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
            for address in wish.bridgeAddresses {
                requests.append(RouteRequest.addAddress(address.address, prefix: address.prefix, link: bridge.index))
            }
            for port in links where home.network(alias: port.alias) == wish.name {
                guard port.name != BridgeName.bridge, port.name != BridgeName.stem else { continue }
                requests.append(
                    LinkRequest.set(
                        .index(port.index), up: true, master: bridge.index, action: "attach \(port.name) to br0"))
            }
            try socket.transact(requests)
            for setting in BridgeSettings.all { try setting.apply() }
        }
    }

    // A new one goes with its namespace; of an older one nothing was taken away.
    func undo() throws(UrsaError) {}
}

/// The stem: a veth pair between host and namespace, with addresses, routes and settings of both ends.
struct EnsureStem: NetStep {
    let home: HomeMark
    let wish: NetworkWish
    let broken: [String]
    let phase = Phase.make
    var network: String? { wish.name }
    private var name: String { home.stemName(wish.name) }

    var line: String {
        let what = "stem \(name) \(wish.hostEnd)\(wish.hostEnd6.map { ", \($0)" } ?? ""), route to \(wish.subnet)"
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

/// dnsmasq, started or started again.
struct StartDnsmasq: NetStep {
    let home: HomeMark
    let wish: NetworkWish
    let configuration: DnsmasqConfiguration
    /// Why one that should run is started again; nil for the first start.
    let reason: String?
    let phase = Phase.make
    var network: String? { wish.name }

    var line: String {
        let machines = wish.members.count == 1 ? "1 machine" : "\(wish.members.count) machines"
        return "\(reason == nil ? "+" : "~") dnsmasq for \(wish.name), \(machines)\(reason.map { ": \($0)" } ?? "")"
    }

    func apply() throws(UrsaError) {
        try DnsmasqProcess(folder: home.folder(network: wish.name)).start(
            configuration, namespace: home.namespace(wish.name))
    }

    func undo() throws(UrsaError) {
        guard reason == nil else { return }
        try DnsmasqProcess(folder: home.folder(network: wish.name)).stop()
    }
}

/// Reservations and names of a running dnsmasq.
struct UpdateMachines: NetStep {
    let home: HomeMark
    let wish: NetworkWish
    let configuration: DnsmasqConfiguration
    let previous: DnsmasqConfiguration.Machines
    let phase = Phase.make
    var network: String? { wish.name }

    var line: String {
        let old = Set(previous.leases.keys).union(previous.names.keys)
        let new = Set(configuration.leases.keys)
        let changed = new.intersection(old).filter {
            previous.leases[$0] != configuration.leases[$0] || previous.names[$0] != configuration.names[$0]
        }
        let words =
            new.subtracting(old).sorted().map { "+ \($0)" } + old.subtracting(new).sorted().map { "- \($0)" }
            + changed.sorted().map { "~ \($0)" }
        return "~ leases and names of \(wish.name): \(words.joined(separator: ", "))"
    }

    func apply() throws(UrsaError) {
        try DnsmasqProcess(folder: home.folder(network: wish.name)).updateMachines(configuration.machines)
    }

    func undo() throws(UrsaError) {
        try DnsmasqProcess(folder: home.folder(network: wish.name)).updateMachines(previous)
    }
}

/// Takes a network down.
struct RemoveNetwork: NetStep {
    let home: HomeMark
    let name: String
    let phase = Phase.remove
    var network: String? { name }
    var line: String { "- network \(name): dnsmasq, stem, namespace \(home.namespaceName(name))" }
    func apply() throws(UrsaError) { try RemoveNetworks(networks: [self]).apply() }
    // What was taken down on purpose is not built again: the next converge does that from the wish.
    func undo() throws(UrsaError) {}
}

/// Takes several networks down together: the kernel lets all readers pass once, not once per link.
struct RemoveNetworks: NetStep {
    let networks: [RemoveNetwork]
    let phase = Phase.remove
    let network: String? = nil
    var line: String { networks.map(\.line).joined(separator: "\n") }

    func apply() throws(UrsaError) {
        guard let home = networks.first?.home else { return }
        let processes = networks.map { DnsmasqProcess(folder: home.folder(network: $0.name)) }
        for process in processes { process.identity?.signal(SIGKILL) }
        let socket = try NetlinkSocket()
        let names = Set(networks.map(\.name))
        try socket.deleteLinks(
            socket.links().filter { home.network(alias: $0.alias).map(names.contains) == true }.map(\.index))
        // Each unmount waits for the kernel's readers too: at the same time, they wait together. The trace goes last.
        try OSThread.concurrently(networks, atMost: 32) { network throws(UrsaError) in
            let process = DnsmasqProcess(folder: home.folder(network: network.name))
            try process.stop()
            try home.namespace(network.name).remove()
            try process.removeFiles()
        }
    }

    func undo() throws(UrsaError) {}
}
