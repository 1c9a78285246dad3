import UrsaBase
import UrsaFirewall

extension NetworkMap {
    /// The map of what is wanted on a host that was seen.
    ///
    /// - Parameters:
    ///   - wish: networks, bridges, uplinks and firewall, also of networks that are down.
    ///   - view: the host's links; nil where they are unknown (a plan for another host).
    ///   - machines: all machines, running or not.
    ///   - up: names of networks that are up.
    ///   - troubles: what is broken, by network.
    ///   - impairments: what is impaired, by network and tap.
    public static func make(
        home: HomeMark?, wish: HostWish, view: HostView?, machines: [MapMachine], up: Set<String>,
        troubles: [String: String] = [:], impairments: [String: [String: Impairment]] = [:], notes: [String] = []
    ) -> NetworkMap {
        var map = NetworkMap(host: view?.name ?? "host", isForwarding: view?.isForwarding ?? true, notes: notes)
        let zones = ZoneMap(wish.firewall, wish.topology)
        map.policies = wish.firewall.policies
        map.gateways = gateways(wish, view, zones)
        map.networks = networks(home, wish, up, troubles, impairments, zones)
        let own = Set(wish.firewall.zones.flatMap(\.members))
        map.machines = machines.map { machine in
            var result = Machine(
                name: machine.name, isRunning: machine.isRunning, state: machine.state, cards: machine.cards,
                ports: machine.ports, zone: nil)
            if own.contains(.machine(machine.name)) {
                result.zone = wish.firewall.zones.first { $0.members.contains(.machine(machine.name)) }?.name
            }
            for index in result.cards.indices {
                guard let tap = result.cards[index].tap else { continue }
                result.cards[index].impairment = impairments[result.cards[index].network]?[tap]?.description
            }
            return result
        }
        // Networks that somebody is on but that the wish does not name: those of user networking.
        for card in machines.flatMap(\.cards) where !map.networks.contains(where: { $0.name == card.network }) {
            map.networks.append(
                Network(
                    name: card.network, model: "user", way: "each machine has a private NAT of its own", subnets: [],
                    uplinks: [], isUp: true))
        }
        map.links = (view?.links ?? []).filter { $0.network == nil && !$0.isOfOtherHome }.filter {
            // Tunnel devices that the kernel makes by itself, and other programs' ends of their own machines.
            $0.isUp || !$0.addresses.isEmpty || $0.kind == nil || $0.kind == "wireless" || $0.kind == "bridge"
        }.map {
            Interface(
                name: $0.name, kind: $0.kind, mac: $0.mac, addresses: $0.addresses, isUp: $0.isUp, master: $0.master)
        }
        // What the wish needs and the host lacks, or a host that is not known.
        let needed = map.gateways.map(\.interface) + map.networks.compactMap(\.interface)
        for name in needed where !map.links.contains(where: { $0.name == name }) {
            map.links.append(
                Interface(name: name, kind: nil, mac: nil, addresses: [], isUp: view == nil, master: nil))
        }
        // Links that somebody goes out by come first.
        let order = { (name: String) in needed.firstIndex(of: name) ?? Int.max }
        map.links = map.links.enumerated().sorted { (order($0.1.name), $0.0) < (order($1.1.name), $1.0) }.map(\.1)
        map.zones = zones.zones.filter { $0 != Zone.host }
        return map
    }

    private static func gateways(_ wish: HostWish, _ view: HostView?, _ zones: ZoneMap) -> [Gateway] {
        if !wish.uplinks.isEmpty {
            return wish.uplinks.map { uplink in
                var addresses: [IPAddress] = []
                if let gateway = uplink.gateway { addresses.append(.v4(gateway)) }
                if let gateway = uplink.gateway6 { addresses.append(.v6(gateway)) }
                if addresses.isEmpty { addresses = view?.link(uplink.interface)?.gateways ?? [] }
                return Gateway(
                    uplink: uplink.name, interface: uplink.interface, addresses: addresses,
                    role: uplink.isFallback ? "fallback" : "weight \(uplink.weight)", isHealthy: uplink.isHealthy,
                    zone: zones.zone(of: .uplink(uplink.name)))
            }
        }
        return (view?.links ?? []).filter { !$0.gateways.isEmpty }.map { link in
            Gateway(
                uplink: nil, interface: link.name, addresses: link.gateways, role: "default route", isHealthy: true,
                zone: zones.zone(of: .outside))
        }
    }

    private static func networks(
        _ home: HomeMark?, _ wish: HostWish, _ up: Set<String>, _ troubles: [String: String],
        _ impairments: [String: [String: Impairment]], _ zones: ZoneMap
    ) -> [Network] {
        var result = wish.networks.map { network in
            Network(
                name: network.name, model: network.model.rawValue, way: way(network),
                subnets: ["\(network.subnet)"] + (network.subnet6.map { ["\($0)"] } ?? []),
                router: "\(network.gateway)",
                bridge: network.isOnHost
                    ? (home.map { "\($0.bridgeName(network.name)) on the host" } ?? "bridge on the host")
                    : "br0 in \(home?.namespaceName(network.name) ?? "its namespace")",
                stem: network.model == .isolated || network.isOnHost ? nil : home?.stemName(network.name),
                interface: network.publishedOn, uplinks: network.uplinks, zone: zones.zone(of: .network(network.name)),
                isUp: up.contains(network.name), trouble: troubles[network.name],
                impairment: impairments[network.name]?["*"]?.description)
        }
        result += wish.bridges.map { bridge in
            Network(
                name: bridge.name, model: "bridged", way: "on the LAN of \(bridge.interface ?? bridge.bridge ?? "?")",
                subnets: [], router: nil,
                bridge: bridge.bridge.map { "\($0), kept by others" }
                    ?? (home.map { "\($0.bridgeName(bridge.name)) on the host" } ?? "bridge on the host"),
                stem: nil, interface: bridge.interface ?? bridge.bridge, uplinks: [],
                zone: zones.zone(of: .network(bridge.name)),
                isUp: up.contains(bridge.name), trouble: troubles[bridge.name],
                impairment: impairments[bridge.name]?["*"]?.description)
        }
        return result
    }

    private static func way(_ network: NetworkWish) -> String {
        switch network.model {
        case .nat: network.uplinks.isEmpty ? "masquerade" : "masquerade by \(network.uplinks.joined(separator: ", "))"
        case .isolated: "no way out"
        case .routed: "routed" + (network.publishedOn.map { ", answered for on \($0)" } ?? "")
        case .lan: "on the LAN of \(network.publishedOn ?? "?") by proxy"
        }
    }
}
