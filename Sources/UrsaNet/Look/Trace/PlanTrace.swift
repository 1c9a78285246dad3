public import UrsaBase
public import UrsaFirewall

/// Walks a packet through what is planned: names, published ports, zones, uplinks. Pure; needs no kernel.
public struct PlanTrace {
    private let wish: HostWish
    private let view: HostView
    private let matrix: Matrix
    private var steps: [Trace.Step] = []

    /// A plan on a host.
    ///
    /// - Parameter view: the host's links: their addresses are the host's own.
    public init(_ wish: HostWish, _ view: HostView) {
        self.wish = wish
        self.view = view
        matrix = Matrix(wish.firewall, wish.topology)
    }

    /// An end with all that is known of it.
    private struct Found {
        var name: String
        var place: Place
        var addresses: [IPAddress]
        var member: Member?
        var uplink: UplinkWish?
    }

    /// An address of nobody (RFC 5737, RFC 3849), for somebody outside of whom no more is said.
    static let stranger = IPAddress.v4(IPv4Address(0xC633_644D))
    static let stranger6 = IPAddress.v6(IPv6Address(high: 0x2001_0db8_ffff_0000, low: 0x77))

    /// What becomes of the packet, and the way on which the kernel can be asked the same.
    ///
    /// - Throws: `.notFound` for a name that nobody has.
    public func run(_ query: TraceQuery) throws(UrsaError) -> (trace: Trace, route: TraceRoute?) {
        var walk = self
        var sources = try find(query.from)
        var targets = try find(query.to)
        // A machine on several networks is reached on the one that both are on, else by its first card.
        for source in sources {
            for target in targets where source.place == target.place && source.member != nil {
                (sources, targets) = ([source], [target])
            }
        }
        guard let source = sources.first, let target = targets.first else {
            throw UrsaError(.notFound, "an end has no address", remedy: "start the machine first")
        }
        let trace = walk.walk(source, target, query)
        return (trace, walk.route)
    }

    private var route: TraceRoute?

    // MARK: ends

    private func find(_ end: TraceEnd) throws(UrsaError) -> [Found] {
        switch end {
        case .host: return [host]
        case .outside: return [outside(nil)]
        case .address(let address):
            if hostAddresses.contains(address) {
                return [Found(name: "\(address)", place: .host, addresses: [address])]
            }
            let members = all.filter { $0.addresses.contains(address) }
            if !members.isEmpty { return members }
            for network in matrix.topology.networks where network.sources.contains(where: { $0.contains(address) }) {
                return [Found(name: "\(address)", place: .network(network.name), addresses: [address])]
            }
            return [outside(address)]
        case .machine(let name):
            let members = all.filter { $0.name == name }
            guard members.isEmpty else { return members }
            let near = nearMiss(name, among: all.map(\.name) + ["host", "net"])
            throw UrsaError(
                .notFound, "there is no machine '\(name)'",
                remedy: near.map { "did you mean '\($0)'?" }
                    ?? "name a machine, an address, `host`, or `net` for outside")
        }
    }

    private var all: [Found] {
        var result: [Found] = []
        for (name, members) in wish.networks.map({ ($0.name, $0.members) })
            + wish.bridges.map({ ($0.name, $0.members) })
        {
            for member in members {
                // A machine on somebody else's segment may have an address that is not known here.
                let addresses = member.addresses.filter { $0 != .v4(IPv4Address(0)) }
                result.append(
                    Found(name: member.machine, place: .network(name), addresses: addresses, member: member))
            }
        }
        return result
    }

    private var hostAddresses: [IPAddress] {
        var result = view.links.flatMap { $0.addresses.map(\.address) }
        for network in wish.networks where network.model != .isolated {
            result.append(.v4(network.hostEnd))
            if let address = network.hostEnd6 { result.append(.v6(address)) }
        }
        return result + [.v4(IPv4Address(0x7f00_0001)), .v6(IPv6Address(high: 0, low: 1))]
    }

    private var host: Found {
        // What others call the host by: an address of a link that leads outside, before those of inner ones.
        let links = view.links.filter { $0.network == nil }
        let ordered = links.filter { !$0.gateways.isEmpty } + links.filter { $0.gateways.isEmpty }
        return Found(name: "host", place: .host, addresses: ordered.flatMap { $0.addresses.map(\.address) })
    }

    private func outside(_ address: IPAddress?) -> Found {
        // By the link that the address is on, else by the first uplink.
        let near = address.flatMap { address in
            view.links.first { $0.addresses.contains { $0.contains(address) } && $0.network == nil }
        }
        let uplink =
            wish.uplinks.first { near?.name == $0.interface }
            ?? (near == nil ? wish.uplinks.first { $0.isHealthy } : nil)
        return Found(
            name: address.map { "\($0)" } ?? "outside", place: uplink.map { .uplink($0.name) } ?? .outside,
            addresses: address.map { [$0] } ?? [Self.stranger, Self.stranger6], uplink: uplink)
    }

    // MARK: the way

    private mutating func say(_ place: String, _ words: String, decides: Bool = false) {
        steps.append(Trace.Step(place, words, decides: decides))
    }

    private func end(_ outcome: Trace.Outcome) -> Trace { Trace(steps: steps, outcome: outcome) }

    private mutating func walk(_ source: Found, _ target: Found, _ query: TraceQuery) -> Trace {
        func pick(_ found: Found, _ isIPv6: Bool) -> IPAddress? { found.addresses.first { $0.isIPv6 == isIPv6 } }
        // The family that was asked for, else the one of an address that was given, else IPv4 before IPv6.
        var wants6 = query.isIPv6
        if case .address(let address) = query.to { wants6 = address.isIPv6 }
        if case .address(let address) = query.from { wants6 = address.isIPv6 }
        if pick(target, wants6) == nil, target.addresses.isEmpty == false, !query.isIPv6 { wants6 = !wants6 }
        guard let to = pick(target, wants6) else {
            say(target.name, "has no \(wants6 ? "IPv6" : "IPv4") address", decides: true)
            return end(.unreachable)
        }
        guard
            let from = pick(source, wants6) ?? (source.place == .host ? (wants6 ? Self.stranger6 : Self.stranger) : nil)
        else {
            say(source.name, "has no \(wants6 ? "IPv6" : "IPv4") address", decides: true)
            return end(.unreachable)
        }
        let port: UInt16 =
            switch query.traffic {
            case .tcp(let port), .udp(let port): port
            default: 0
            }
        var isUDP = false
        if case .udp = query.traffic { isUDP = true }
        var way = TraceRoute(
            network: nil, isFromHost: source.place == .host, source: from, destination: to, port: port, isUDP: isUDP,
            isPing: query.traffic == .icmp)
        say(source.name, "sends \(words(query.traffic, to)) from \(source.place == .host ? "the host" : "\(from)")")

        if case .network(let name) = source.place {
            way.network = name
            if let trace = leave(name, source, target, to, &way) { return trace }
        } else if source.place != .host {
            way.interface = source.uplink?.interface ?? interface(towards: from)
            way.gateway =
                source.uplink?.gateway.map { .v4($0) } ?? way.interface.flatMap { view.link($0)?.gateways.first }
            say(
                "outside",
                "it comes in by \(way.interface ?? "a link of the host")"
                    + (source.uplink.map { ", uplink \($0.name)" } ?? ""))
        }
        return pass(source, target, from, to, query.traffic, way)
    }

    private func words(_ traffic: Connection.Traffic, _ to: IPAddress) -> String {
        switch traffic {
        case .tcp(let port): "TCP to \(to) port \(port)"
        case .udp(let port): "UDP to \(to) port \(port)"
        case .icmp: "a ping to \(to)"
        case .other: "a packet to \(to)"
        }
    }

    /// Out of a network: to a neighbour, or to the router.
    private mutating func leave(
        _ name: String, _ source: Found, _ target: Found, _ to: IPAddress, _ way: inout TraceRoute
    ) -> Trace? {
        let network = wish.networks.first { $0.name == name }
        if target.place == source.place, target.member != nil {
            way.isSegment = true
            way.target = name
            way.mac = target.member?.mac
            route = way
            if source.member?.port.isIsolated == true, target.member?.port.isIsolated == true {
                say("network \(name)", "both cards are isolated: the bridge passes nothing between them", decides: true)
                return end(.dropped)
            }
            say(
                "network \(name)", "both are on its bridge: the frame goes from port to port, and no rule sees it",
                decides: true)
            say(target.name, "receives it")
            return end(.passes)
        }
        guard let network else {
            say(
                "network \(name)", "\(source.name) is on the LAN itself: the frame goes there without the host's doing",
                decides: true)
            return end(.passes)
        }
        if network.model == .isolated {
            route = way
            if to == .v4(network.gateway) || network.gateway6.map({ .v6($0) }) == to {
                say("network \(name)", "its bridge serves names and addresses to its machines", decides: true)
                return end(.passes)
            }
            say("network \(name)", "it is isolated: it has no router and no way out", decides: true)
            return end(.unreachable)
        }
        let router = to.isIPv6 ? network.gateway6.map { "\($0)" } ?? "fe80::1" : "\(network.gateway)"
        if network.subnet6 == nil, to.isIPv6 {
            say("network \(name)", "it has no IPv6", decides: true)
            return end(.unreachable)
        }
        if to == .v4(network.gateway) || network.gateway6.map({ .v6($0) }) == to {
            say("network \(name)", "\(router) is its own router: it answers itself", decides: true)
            way.target = name
            route = way
            return end(.passes)
        }
        say("network \(name)", "its router \(router) hands it on to the host")
        return nil
    }

    /// Through the host.
    private mutating func pass(
        _ source: Found, _ wanted: Found, _ from: IPAddress, _ to: IPAddress, _ asked: Connection.Traffic,
        _ start: TraceRoute
    ) -> Trace {
        var (target, destination, traffic, way) = (wanted, to, asked, start)
        var isForwarded = false
        let isOutside = source.place != .host && start.network == nil
        // Somebody outside can't know a private address: he calls the port of the host that leads there.
        if isOutside, case .network(let name) = target.place,
            let network = wish.networks.first(where: { $0.name == name }),
            network.model == .nat, let member = target.member, let port = published(member.machine, asked, source, to)
        {
            let called = port.hostAddress ?? host.addresses.first { $0.isIPv6 == to.isIPv6 } ?? to
            way.destination = called
            way.port = port.hostPort
            say("the host", "is called at \(called) port \(port.hostPort), which is published for \(member.machine)")
            destination = called
        }
        if let port = forward(destination, way, source) {
            let guest: IPAddress? = destination.isIPv6 ? port.guestAddress6.map { .v6($0) } : .v4(port.guestAddress)
            if let guest, let found = all.first(where: { $0.addresses.contains(guest) }) {
                isForwarded = true
                destination = guest
                target = found
                traffic = port.isUDP ? .udp(port.guestPort) : .tcp(port.guestPort)
                say("the host", "port \(port.hostPort) leads to \(port.machine), \(guest) port \(port.guestPort)")
            }
        }
        if case .network(let name) = target.place { way.target = name }
        way.isReturned = isForwarded && source.place == target.place
        route = way
        if target.place == .host, source.place == .host {
            say("the host", "it is the host's own", decides: true)
            return end(.passes)
        }
        if target.place != .host, !canReach(target) {
            say("the host", "has no default route: there is no way to \(destination)", decides: true)
            return end(.unreachable)
        }
        let decision = matrix.verdict(
            of: Connection(
                from: Connection.End(source.place, from), to: Connection.End(target.place, destination), traffic,
                isForwarded: isForwarded))
        say("the host", reason(decision, source, target, from, destination), decides: true)
        switch decision.action {
        case .drop: return end(.dropped)
        case .reject: return end(.rejected)
        case .accept: return arrive(source, target, destination, isForwarded)
        }
    }

    private mutating func arrive(_ source: Found, _ target: Found, _ destination: IPAddress, _ isForwarded: Bool)
        -> Trace
    {
        switch target.place {
        case .host: say("the host", "receives it")
        case .network(let name):
            if isForwarded, source.place == target.place {
                say(
                    "the host", "sends it back into \(name) under its own address, so that the answer comes by here too"
                )
            }
            say("network \(name)", "the frame goes to \(target.name)")
            say(target.name, "receives it")
        case .uplink, .outside: leaveHost(source, destination)
        }
        return end(.passes)
    }

    /// By which uplink, and under which address.
    private mutating func leaveHost(_ source: Found, _ destination: IPAddress) {
        var network: NetworkWish?
        if case .network(let name) = source.place { network = wish.networks.first { $0.name == name } }
        let pinned = wish.uplinks.filter { network?.uplinks.contains($0.name) == true }
        let candidates = (pinned.isEmpty ? wish.uplinks : pinned).filter(\.isHealthy)
        let usual = candidates.filter { !$0.isFallback && $0.weight > 0 }
        let chosen = pinned.isEmpty ? (usual.isEmpty ? candidates : usual) : candidates
        let link = view.links.first { link in
            link.network == nil && link.addresses.contains { $0.contains(destination) }
        }
        if let link, wish.uplinks.allSatisfy({ $0.interface != link.name }) || chosen.isEmpty {
            say("the host", "\(destination) is on the LAN of \(link.name)")
        } else if chosen.isEmpty {
            say("the host", "it leaves by the host's default route, \(defaultLink?.name ?? "?")")
        } else if chosen.count == 1, let only = chosen.first {
            say(
                "uplink \(only.name)",
                "it leaves by \(only.interface)" + (pinned.isEmpty ? "" : ", where its network is pinned"))
        } else {
            let parts = chosen.map { "\($0.name) (\($0.weight))" }.joined(separator: ", ")
            say("uplinks", "it leaves by one of \(parts), as their weights have it")
        }
        if let network, network.model == .nat {
            say("the host", "the source becomes the host's own address on that link (masquerade)")
        }
    }

    private var defaultLink: HostLink? { view.links.first { !$0.gateways.isEmpty } }

    private func canReach(_ target: Found) -> Bool {
        switch target.place {
        case .host, .network: return true
        case .uplink, .outside:
            if !wish.uplinks.isEmpty || defaultLink != nil { return true }
            return view.links.contains { link in
                link.addresses.contains { prefix in target.addresses.contains { prefix.contains($0) } }
            }
        }
    }

    private func interface(towards address: IPAddress) -> String? {
        view.links.first { link in link.network == nil && link.addresses.contains { $0.contains(address) } }?.name
            ?? defaultLink?.name
    }

    // MARK: published ports

    private var ports: [PublishedPort] { wish.networks.flatMap(\.ports) }

    /// The port of the host that leads to a machine's port.
    private func published(
        _ machine: String, _ traffic: Connection.Traffic, _ source: Found, _ to: IPAddress
    ) -> PublishedPort? {
        ports.first { port in
            let wanted: Connection.Traffic = port.isUDP ? .udp(port.guestPort) : .tcp(port.guestPort)
            return port.machine == machine && traffic == wanted
                && (port.uplink == nil || port.uplink == source.uplink?.name)
                && (!to.isIPv6 || port.guestAddress6 != nil)
        }
    }

    /// Where a call of the host is led to.
    private func forward(_ destination: IPAddress, _ way: TraceRoute, _ source: Found) -> PublishedPort? {
        guard !way.isPing, hostAddresses.contains(destination) else { return nil }
        let fits = ports.filter { port in
            port.hostPort == way.port && port.isUDP == way.isUDP
                && (port.hostAddress == nil || port.hostAddress == destination)
                && (port.uplink == nil || port.uplink == source.uplink?.name)
        }
        // ::1 has no counterpart of route_localnet.
        if destination == .v6(IPv6Address(high: 0, low: 1)) { return nil }
        return fits.first { $0.hostAddress != nil } ?? fits.first
    }

    // MARK: words

    private func reason(
        _ decision: Decision, _ source: Found, _ target: Found, _ from: IPAddress, _ to: IPAddress
    ) -> String {
        let verdict =
            switch decision.action {
            case .accept: "accepted"
            case .drop: "dropped"
            case .reject: "rejected"
            }
        let zones = [Connection.End(source.place, from), Connection.End(target.place, to)].map {
            matrix.zoneMap.zone(of: $0) ?? "?"
        }
        let pair = "zone \(zones[0]) → \(zones[1])"
        switch decision.reason {
        case .rule(let index): return "\(verdict) by rule \(index + 1): \(matrix.firewall.rules[index].words) (\(pair))"
        case .policy(let index):
            return "\(verdict) by policy \(index + 1): \(matrix.firewall.policies[index].words) (\(pair))"
        case .intraZone(let zone): return "\(verdict): both ends are in zone \(zone), and no policy speaks of it"
        case .uncovered: return "\(verdict): no policy covers \(pair)"
        case .forward: return "\(verdict): the port is published"
        case .admin: return "\(verdict): \(from) is one of the admins"
        case .needed: return "\(verdict): a network needs it to live"
        case .established: return "\(verdict): it belongs to a connection that passed"
        case .local: return "\(verdict): the host speaks to itself"
        case .segment: return "\(verdict): both are on one bridge"
        case .foreign: return "\(verdict): it is none of Ursa's traffic"
        case .closed: return "\(verdict): an isolated network has no way in or out"
        case .spoofed: return "\(verdict): \(from) is no address of \(source.place)"
        case .plain:
            if decision.action == .accept { return "accepted: nothing restricts \(source.place) → \(target.place)" }
            return "\(verdict): \(target.name) is behind the host's NAT, and what is not published is closed"
        }
    }
}

extension Rule {
    /// The rule as a person says it: `net → dmz tcp 80, 443 accept`.
    public var words: String {
        var parts = ["\(from) → \(to)"]
        if transport != .any { parts.append(transport.rawValue) }
        if !ports.isEmpty {
            parts.append(
                ports.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }.joined(
                    separator: ", "))
        }
        if !sources.isEmpty { parts.append("from \(sources.map(\.description).joined(separator: ", "))") }
        if !destinations.isEmpty { parts.append("to \(destinations.map(\.description).joined(separator: ", "))") }
        parts.append(action.rawValue)
        if let limit { parts.append("at most \(limit)") }
        return parts.joined(separator: " ")
    }
}

extension Policy {
    /// The policy as a person says it: `net → any drop`.
    public var words: String { "\(from) → \(to) \(action.rawValue)" }
}
