import CLinux
import Glibc
import UrsaBase

/// Looks at the host; changes nothing.
struct Observer: Sendable {
    let home: HomeMark

    func observe() throws(UrsaError) -> NetObservation {
        var result = NetObservation()
        result.hasIPv6 = File.exists("/proc/sys/net/ipv6")
        result.hosts = (try? File.read(home.hostsFile)) ?? []
        result.table = try FirewallTable.look(home.tableName, counting: true)
        result.portFilter = try FirewallTable.look(home.tableName, .bridge)
        result.tableText = try? File.readText(home.tableFile)
        result.journal = SettingsJournal(home).changes
        result.settings = HostSettings.changesNeeded()

        let socket = try NetlinkSocket()
        let links = try socket.links()
        let addresses = try socket.addresses()
        let routes = try socket.routes(AF_INET) + socket.routes(AF_INET6)
        result.surroundings = DnsmasqConfiguration.Surroundings(
            resolvFile: Upstream.resolvFile(),
            hasIPv6Default: routes.contains {
                $0.destination.prefix == 0 && $0.isIPv6 && $0.type == UInt8(RTN_UNICAST)
            },
            user: Upstream.user(reading: home.runFolder))
        result.hasOtherHomes = links.contains {
            $0.alias?.hasPrefix("ursa:") == true && home.network(alias: $0.alias) == nil
        }
        result.lans = LANSeen(home, links, addresses, routes, try socket.published())
        result.bridges = BridgesSeen(home, links, addresses)
        result.foreign = try ForeignSeen.look(home, links: links.map(\.name))
        result.routing = try RoutingSeen.look(home, socket, links, addresses, routes)
        for name in names(links) {
            var seen = NetworkSeen()
            noteHostBridge(name, &seen, links, addresses)
            let dnsmasq = DnsmasqProcess(folder: home.folder(network: name))
            seen.dnsmasq = dnsmasq.identity
            seen.configuration = dnsmasq.configuration
            seen.leases = dnsmasq.files("leases")
            seen.names = dnsmasq.files("names")
            noteStem(name, &seen, links, addresses, routes)
            result.networks[name] = seen
        }
        let apart = result.networks.filter { !$0.value.isOnHost }
        for (name, inside) in try insides(apart.keys.sorted(), apart.compactMapValues(\.dnsmasq)) {
            result.networks[name]?.merge(inside)
        }
        return result
    }

    /// What uplinks are about, alone.
    func routing() throws(UrsaError) -> RoutingSeen {
        let socket = try NetlinkSocket()
        let routes = try socket.routes(AF_INET) + socket.routes(AF_INET6)
        return try RoutingSeen.look(home, socket, socket.links(), socket.addresses(), routes)
    }

    /// Every network that left a trace: a run folder, a namespace, a stem.
    private func names(_ links: [Link]) -> [String] {
        var names = Set(File.list("\(home.runFolder)/net"))
        for file in File.list(NetworkNamespace.folder) {
            // Another home's default-style names must not be taken for ours: the mark inside decides, see `inside`.
            if let name = home.network(namespace: file) { names.insert(name) }
        }
        for link in links { if let name = home.network(alias: link.alias) { names.insert(name) } }
        return names.filter { NetworkWish.isLabel($0, limit: 32) }.sorted()
    }

    private func noteStem(
        _ name: String, _ seen: inout NetworkSeen, _ links: [Link], _ addresses: [LinkAddress], _ routes: [Route]
    ) {
        let stem = home.stemName(name)
        guard let link = links.first(where: { $0.name == stem }), link.kind != "bridge" || seen.foreign != nil else {
            return
        }
        guard home.network(alias: link.alias) == name else {
            seen.foreign = "the link \(stem)"
            return
        }
        seen.hasStem = true
        if link.isUp { seen.add(.stem, FactText.up(stem, mtu: link.mtu)) }
        for address in addresses where address.link == link.index {
            seen.add(.stem, FactText.address(stem, AddressPrefix(address: address.address, prefix: address.prefix)))
        }
        for route in routes where route.link == link.index && route.table == 254 {
            let part: Part = route.isGuestRoute && route.gateway != nil ? .guests : .stem
            seen.add(part, FactText.route(route.destination, route.gateway, stem))
        }
        for setting in StemSettings.all(stem) { if let fact = setting.holding { seen.add(.stem, fact) } }
    }

    /// A network's bridge among the host's own links.
    private func noteHostBridge(_ name: String, _ seen: inout NetworkSeen, _ links: [Link], _ addresses: [LinkAddress])
    {
        let bridgeName = home.stemName(name)
        guard let bridge = links.first(where: { $0.name == bridgeName && $0.kind == "bridge" }) else { return }
        guard home.network(alias: bridge.alias) == name else {
            seen.foreign = "the link \(bridgeName)"
            return
        }
        seen.isOnHost = true
        if bridge.isUp { seen.add(.bridge, FactText.up(bridgeName, mtu: bridge.mtu)) }
        for address in addresses where address.link == bridge.index {
            let prefix = AddressPrefix(address: address.address, prefix: address.prefix)
            seen.add(.bridge, FactText.address(bridgeName, prefix))
        }
        for setting in StemSettings.all(bridgeName) { if let fact = setting.holding { seen.add(.bridge, fact) } }
        seen.notePorts(links.filter { home.network(alias: $0.alias) == name && $0.index != bridge.index }, of: bridge)
    }

    /// Looks into the namespaces, on one thread that goes from one to the next. One that lost its name is entered
    /// through a process that lives in it.
    func insides(
        _ names: [String], _ survivors: [String: ProcessIdentity] = [:]
    ) throws(UrsaError) -> [(String, NetworkSeen)] {
        let home = home
        return try OSThread.run { () throws(UrsaError) -> [(String, NetworkSeen)] in
            var result: [(String, NetworkSeen)] = []
            // The namespace that the thread came from has the bind mounts' folder; it is the same in all.
            for name in names {
                var seen = NetworkSeen()
                if let fd = try home.namespace(name).open() {
                    try check(clinux_setns_network(fd.raw), "enter \(home.namespaceName(name))")
                    seen = try Observer.inside(name, home)
                    seen.hasNamespace = true
                } else if let pid = survivors[name]?.pid, let fd = try? File.open("/proc/\(pid)/ns/net", O_RDONLY),
                    clinux_setns_network(fd.raw) == 0
                {
                    seen = try Observer.inside(name, home)
                }
                result.append((name, seen))
            }
            return result
        }
    }

    private static func inside(_ name: String, _ home: HomeMark) throws(UrsaError) -> NetworkSeen {
        var seen = NetworkSeen()
        for setting in NamespaceSettings.all { if let fact = setting.holding { seen.add(.namespace, fact) } }
        for setting in BridgeSettings.all { if let fact = setting.holding { seen.add(.bridge, fact) } }
        seen.portFilter = try FirewallTable.look(home.tableName, .bridge)
        let socket = try NetlinkSocket()
        let links = try socket.links()
        let marked = links.filter { home.network(alias: $0.alias) == name }
        guard !marked.isEmpty || File.isDirectory(home.folder(network: name)) else {
            seen.foreign = "the network namespace \(home.namespaceName(name))"
            return seen
        }
        let bridge = links.first { $0.name == BridgeName.bridge }
        let stem = links.first { $0.name == BridgeName.stem }
        for link in marked where link.isUp {
            if link.name == BridgeName.bridge { seen.add(.bridge, FactText.up(link.name, mtu: link.mtu)) }
            if link.name == BridgeName.stem { seen.add(.stem, FactText.up(link.name, mtu: link.mtu)) }
        }
        seen.notePorts(marked.filter { $0.name != BridgeName.bridge && $0.name != BridgeName.stem }, of: bridge)
        if let bridge {
            for address in try socket.addresses() where address.link == bridge.index {
                let prefix = AddressPrefix(address: address.address, prefix: address.prefix)
                seen.add(.bridge, FactText.address(bridge.name, prefix))
            }
            for entry in try socket.published() where entry.link == bridge.index {
                seen.add(.stem, FactText.publishes(bridge.name, entry.address))
            }
        }
        for route in try socket.routes(AF_INET) + socket.routes(AF_INET6) where route.table == 254 {
            if let stem, route.link == stem.index {
                seen.add(.stem, FactText.route(route.destination, route.gateway, stem.name))
            } else if let bridge, route.link == bridge.index, route.isGuestRoute {
                seen.add(.guests, FactText.route(route.destination, route.gateway, bridge.name))
            }
        }
        return seen
    }
}

extension NetworkSeen {
    mutating func add(_ part: Part, _ text: String) { facts.insert(Fact(part: part, text: text)) }

    mutating func notePorts(_ links: [Link], of bridge: Link?) {
        for link in links {
            ports[link.name] = link.isIsolated
            if link.master == nil || link.master != bridge?.index || !link.isUp { stray.append(link.name) }
        }
    }

    mutating func merge(_ inside: NetworkSeen) {
        hasNamespace = inside.hasNamespace
        foreign = foreign ?? inside.foreign
        facts.formUnion(inside.facts)
        stray += inside.stray
        ports.merge(inside.ports) { _, inner in inner }
        portFilter = inside.portFilter
    }
}

extension Route {
    var isIPv6: Bool { if case .v6 = destination.address { true } else { false } }
}

extension HomeMark {
    /// The text that was loaded last.
    var tableFile: String { runFolder + "/table.nft" }
}
