public import UrsaBase
import UrsaFirewall

/// Sends real packets along every promise of what is wanted: names and addresses, neighbours, host, outside, zones by
/// every protocol, published ports, uplinks. What is plugged in for it is unplugged whatever happens.
public struct PromiseTest {
    private let home: HomeMark
    private let wish: HostWish
    private let view: HostView

    /// A test of the networks that are up.
    public init(home: HomeMark, wish: HostWish, view: HostView) {
        self.home = home
        self.wish = wish
        self.view = view
    }

    /// Tests everything; `report` gets each promise as soon as it is known. Needs root.
    public func run(report: (Promise) -> Void = { _ in }) throws(UrsaError) -> [Promise] {
        var all: [Promise] = []
        func add(_ promises: [Promise]) {
            for promise in promises { report(promise) }
            all += promises
        }
        for network in wish.networks where home.place(network.name) != nil {
            do throws(UrsaError) { try add(services(network)) } catch {
                add([Promise("network", network.name, expected: "can be probed", seen: "can't", why: error.description)]
                )
            }
        }
        for uplink in wish.uplinks { add(uplinkPromises(uplink)) }
        for question in questions { add(try passage(question)) }
        for network in wish.networks { for port in network.ports { add(published(port)) } }
        return all
    }

    // MARK: what a network itself promises

    private func services(_ network: NetworkWish) throws(UrsaError) -> [Promise] {
        let first = try ProbeGuest(home, network, number: 0)
        let second = try ProbeGuest(home, network, number: 1)
        defer { withExtendedLifetime((first, second)) {} }
        var result: [Promise] = []
        let name = network.name
        for address in second.addresses {
            let isThere = try first.run { () throws(UrsaError) -> Bool in Calls.ping(address, seconds: 2.5) }
            result.append(
                Promise(
                    "neighbours", "\(name): two guests reach each other by \(family(address))", expected: "answer",
                    seen: isThere ? "answer" : "silence"))
        }
        var router: [IPAddress] = [.v4(network.gateway)]
        if let gateway = network.gateway6 { router.append(.v6(gateway)) }
        for address in router {
            let isThere = try first.run { () throws(UrsaError) -> Bool in Calls.ping(address, seconds: 2.5) }
            result.append(
                Promise(
                    "neighbours", "\(name): \(address) answers guests", expected: "answer",
                    seen: isThere ? "answer" : "silence"))
        }
        result += try names(network, first, by: router)
        for member in network.members {
            let question = LeaseQuestion(mac: member.mac)
            let offered = try first.run { () throws(UrsaError) -> IPv4Address? in try question.ask(by: "eth0") }
            result.append(
                Promise(
                    "addresses", "\(name): \(member.machine) is offered its address by DHCP",
                    expected: "\(member.address)",
                    seen: offered.map { "\($0)" } ?? "no offer"))
        }
        result += try outside(network, first)
        return result
    }

    private func names(_ network: NetworkWish, _ guest: ProbeGuest, by servers: [IPAddress]) throws(UrsaError)
        -> [Promise]
    {
        var result: [Promise] = []
        for server in servers {
            for member in network.members {
                let full = "\(member.machine).\(network.domain)"
                var asked: [(NameQuestion, String)] = [(NameQuestion(kind: .a, name: full), "\(member.address)")]
                if let address = member.address6 {
                    asked.append((NameQuestion(kind: .aaaa, name: full), "\(address)"))
                }
                for address in member.addresses { asked.append((.reverse(address), full)) }
                for (question, wanted) in asked {
                    let answer = try guest.run { () throws(UrsaError) -> [String]? in question.ask(server) }
                    let words = "\(question.kind)".uppercased()
                    result.append(
                        Promise(
                            "names", "\(network.name): \(words) of \(member.machine) by \(family(server))",
                            expected: wanted,
                            seen: answer.map { $0.contains(wanted) ? wanted : $0.first ?? "no such name" } ?? "silence")
                    )
                }
            }
        }
        return result
    }

    /// The nearest router outside is as far as a promise of ours reaches.
    private func outside(_ network: NetworkWish, _ guest: ProbeGuest) throws(UrsaError) -> [Promise] {
        var gateways: [(String, IPAddress)] = wish.uplinks.compactMap { uplink in
            uplink.gateway.map { ("uplink \(uplink.name)", .v4($0)) }
        }
        if gateways.isEmpty {
            gateways = view.links.flatMap { link in link.gateways.filter { !$0.isLinkLocal }.map { (link.name, $0) } }
        }
        var result: [Promise] = []
        for (name, gateway) in gateways {
            guard !gateway.isIPv6 || guest.addresses.contains(where: \.isIPv6) else { continue }
            // Somebody who does not answer the host can't be asked by a guest.
            guard Calls.ping(gateway, seconds: 0.7) else { continue }
            let query = TraceQuery(
                from: .address(guest.addresses.first { $0.isIPv6 == gateway.isIPv6 } ?? guest.addresses[0]),
                to: .address(gateway), traffic: .icmp, isIPv6: gateway.isIPv6)
            let plan = try PlanTrace(wish, view).run(query).trace
            let isAnswered = try guest.run { () throws(UrsaError) -> Bool in Calls.ping(gateway, seconds: 0.7) }
            let comesBack = network.model == .nat || network.publishedOn != nil
            // A router outside need not know the way back to a routed network.
            guard comesBack || plan.outcome != .passes || isAnswered else { continue }
            result.append(
                Promise(
                    "outside", "\(network.name): guests and \(gateway) (\(name))",
                    expected: plan.outcome == .passes ? "answer" : "silence", seen: isAnswered ? "answer" : "silence",
                    why: plan.decision ?? ""))
        }
        return result
    }

    // MARK: uplinks

    private func uplinkPromises(_ uplink: UplinkWish) -> [Promise] {
        guard let gateway = uplink.gateway else { return [] }
        let isThere = Calls.ping(.v4(gateway), by: uplink.interface)
        return [
            Promise(
                "uplinks", "\(uplink.name): its gateway \(gateway) answers on \(uplink.interface)", expected: "answer",
                seen: isThere ? "answer" : "silence",
                why: uplink.isHealthy ? "" : "its check fails, so nothing is sent by it")
        ]
    }

    // MARK: who may speak to whom

    /// One question per pair of places and protocol, and one per rule with ports of its own.
    private var questions: [TraceQuery] {
        let matrix = Matrix(wish.firewall, wish.topology)
        let ends = places
        var result: [TraceQuery] = []
        func add(_ query: TraceQuery) { if !result.contains(query) { result.append(query) } }
        for (from, source) in ends {
            for (to, target) in ends where from != to {
                // A host has nobody to be asked outside but strangers; a port that hardly anybody listens on.
                var traffic: [Connection.Traffic] = [.icmp, .tcp(9), .udp(9)]
                if let zones = zonePair(matrix, source, target), let cell = matrix[zones.0, zones.1] {
                    for index in cell.rules {
                        for port in matrix.firewall.rules[index].ports.map(\.lowerBound) {
                            switch matrix.firewall.rules[index].transport {
                            case .udp: traffic.append(.udp(port))
                            default: traffic.append(.tcp(port))
                            }
                        }
                    }
                }
                for traffic in traffic { add(TraceQuery(from: from, to: to, traffic: traffic)) }
            }
        }
        return result
    }

    /// The host, somebody outside, and a machine of each network.
    private var places: [(TraceEnd, Place)] {
        var result: [(TraceEnd, Place)] = [(.host, .host)]
        let isReachable = !wish.uplinks.isEmpty || view.links.contains { !$0.gateways.isEmpty }
        if isReachable {
            let uplink = wish.uplinks.first { $0.isHealthy }
            result.append((.outside, uplink.map { .uplink($0.name) } ?? .outside))
        }
        for network in wish.networks where home.place(network.name) != nil {
            guard let member = network.members.first else { continue }
            result.append((.address(.v4(member.address)), .network(network.name)))
        }
        return result
    }

    private func zonePair(_ matrix: Matrix, _ from: Place, _ to: Place) -> (String, String)? {
        guard let from = matrix.zoneMap.zone(of: from), let to = matrix.zoneMap.zone(of: to) else { return nil }
        return (from, to)
    }

    private func passage(_ query: TraceQuery) throws(UrsaError) -> [Promise] {
        let (plan, route) = try PlanTrace(wish, view).run(query)
        let what = "\(words(query.from)) → \(words(query.to)), \(query.traffic)"
        guard let route, plan.outcome != .unreachable || route.network != nil else { return [] }
        do throws(UrsaError) {
            let live = try LiveTrace(home: home).run(route, patience: 0.1)
            let isKept = live.outcome == plan.outcome
            return [
                Promise(
                    "passage", what, expected: plan.outcome.rawValue, seen: live.outcome.rawValue,
                    why: (isKept ? plan.decision : live.decision) ?? "")
            ]
        } catch {
            guard error.code == .unsupported else { throw error }
            return []
        }
    }

    private func words(_ end: TraceEnd) -> String {
        switch end {
        case .host: return "host"
        case .outside: return "outside"
        case .machine(let name): return name
        case .address(let address):
            let member = wish.networks.flatMap(\.members).first { $0.addresses.contains(address) }
            return member?.machine ?? "\(address)"
        }
    }

    // MARK: published ports

    private func published(_ port: PublishedPort) -> [Promise] {
        let own = view.links.filter { $0.network == nil }.flatMap { $0.addresses.map(\.address) }.first { !$0.isIPv6 }
        guard let called = port.hostAddress ?? own else { return [] }
        let place =
            "\(port.isUDP ? "udp" : "tcp") \(called) port \(port.hostPort) → \(port.machine) port \(port.guestPort)"
        var result: [Promise] = []
        let query = TraceQuery(
            from: .outside, to: .address(called), traffic: port.isUDP ? .udp(port.hostPort) : .tcp(port.hostPort))
        if let (plan, route) = try? PlanTrace(wish, view).run(query), let route, route.target != nil {
            let live = try? LiveTrace(home: home).run(route, patience: 0.1)
            if let live {
                result.append(
                    Promise(
                        "ports", "outside: \(place)", expected: plan.outcome.rawValue, seen: live.outcome.rawValue,
                        why: live.decision ?? ""))
            }
        }
        guard !port.isUDP else { return result }
        let answer = Calls.connect(called, port.hostPort)
        result.append(
            Promise(
                "ports", "host: \(place)", expected: "accepted", seen: answer.rawValue,
                why: answer == .refused
                    ? "nobody listens on that port in \(port.machine)"
                    : answer == .silence ? "\(port.machine) says nothing" : ""))
        return result
    }

    private func family(_ address: IPAddress) -> String { address.isIPv6 ? "IPv6" : "IPv4" }
}
