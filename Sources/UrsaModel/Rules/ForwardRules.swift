import UrsaBase

extension Spec {
    /// The rules of forwards, alone and among each other and with what machines publish.
    func forwardFindings() -> [Finding] {
        var findings: [Finding] = []
        if forwards.count > Limits.forwards {
            findings.append(
                Finding(
                    path: SpecPath(.forwards, Limits.forwards), message: "\(forwards.count) forwards are too many",
                    remedy: "at most \(Limits.forwards) are allowed"))
        }
        let models = Dictionary(networks.map { ($0.name, $0.model) }, uniquingKeysWith: { first, _ in first })
        let byName = Dictionary(
            machines.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
        for (index, forward) in forwards.prefix(Limits.forwards).enumerated() {
            let path = SpecPath(.forwards, index)
            findings += forward.findings(path)
            if let uplink = forward.uplink, let finding = unknownUplink(uplink, path.with("uplink")) {
                findings.append(finding)
            }
            findings += targetFindings(forward, path, byName, models)
        }
        return findings + takenPorts()
    }

    private func targetFindings(
        _ forward: ForwardSpec, _ path: SpecPath, _ byName: [String: Int], _ models: [String: NetworkSpec.Model]
    ) -> [Finding] {
        guard let index = byName[forward.machine] else {
            let remedy = nameRemedy(
                forward.machine, machines.map(\.name), "machines", none: "define it under `machines:`")
            return [
                Finding(
                    path: path.with("to"), looksThrough: machines.isEmpty ? [.machines] : [],
                    message: "there is no machine \(shown(forward.machine))", remedy: remedy)
            ]
        }
        let cards = machines[index].networks.map { models[$0.network] }
        if cards.contains(nil) || cards.contains(where: { $0?.takesForwards ?? false }) { return [] }
        return [
            Finding(
                path: path.with("to"), looksAt: [SpecPath(.machines, index, "networks")],
                against: SpecPath(.machines, index, "networks"),
                message: "no port can lead to the machine \(shown(forward.machine)): \(MachineSpec.unreachable(cards))",
                remedy: "give it a card on a network of the model nat, routed or lan")
        ]
    }

    /// Ports that are forwarded twice, or published by a machine too.
    private func takenPorts() -> [Finding] {
        struct Published {
            let port: PublishSpec
            let machine: Int
            let item: Int
        }
        var published: [Published] = []
        for (machine, spec) in machines.enumerated() where !forwards.isEmpty {
            published += spec.publish.prefix(Limits.publishedPorts).enumerated().map {
                Published(port: $1, machine: machine, item: $0)
            }
        }
        published.sort { ($0.port.hostPort, $0.machine, $0.item) < ($1.port.hostPort, $1.machine, $1.item) }
        let addresses = Dictionary(uplinks.map { ($0.name, $0.address) }, uniquingKeysWith: { first, _ in first })
        var findings: [Finding] = []
        for (index, forward) in forwards.prefix(Limits.forwards).enumerated() {
            let path = SpecPath(.forwards, index, "port")
            let what = forward.transport.rawValue
            if let other = forwards[..<index].firstIndex(where: { forward.collides(with: $0, addresses) }) {
                let port = max(forward.ports.lowerBound, forwards[other].ports.lowerBound)
                findings.append(
                    Finding(
                        path: path, against: SpecPath(.forwards, other, "port"),
                        message:
                            "\(what) port \(port) is forwarded twice; to \(shown(forwards[other].machine)) already",
                        remedy: "choose another port, or another uplink"))
                continue
            }
            var low = 0
            var high = published.count
            while low < high {
                let middle = (low + high) / 2
                if published[middle].port.hostPort < forward.ports.lowerBound {
                    low = middle + 1
                } else {
                    high = middle
                }
            }
            let rest = published[low...].prefix { $0.port.hostPort <= forward.ports.upperBound }
            guard let other = rest.first(where: { forward.collides(with: $0.port, addresses) }) else { continue }
            findings.append(
                Finding(
                    path: path, against: SpecPath(.machines, other.machine, "publish", item: other.item),
                    message: "\(what) port \(other.port.hostPort) is forwarded, and published by the machine "
                        + shown(machines[other.machine].name),
                    remedy: "keep one of the two"))
        }
        return findings
    }
}

extension ForwardSpec {
    /// The rules that need nothing but the forward itself.
    func findings(_ path: SpecPath) -> [Finding] {
        var findings: [Finding] = []
        func add(_ key: String, _ message: String, _ remedy: String) {
            findings.append(Finding(path: path.with(key), message: message, remedy: remedy))
        }
        if ports.lowerBound == 0 { add("port", "there is no port 0", "ports are 1 to 65535") }
        if toPort == 0 { add("to-port", "there is no port 0", "ports are 1 to 65535") }
        let last = Int(toPort ?? ports.lowerBound) + ports.count - 1
        if last > 65535 {
            add("to-port", "the range would end at port \(last) of the machine", "ports end at 65535")
        }
        if let address, let fault = PublishSpec(hostAddress: address, hostPort: 1, guestPort: 1).fault {
            add("address", fault.message, fault.remedy)
        }
        if sources.count > Limits.prefixesOfRule {
            add("source", "\(sources.count) sources are too many", "at most \(Limits.prefixesOfRule) are allowed")
        }
        if let address, !sources.isEmpty, sources.allSatisfy({ $0.address.isIPv6 != address.isIPv6 }) {
            add(
                "source", "the port is on \(address), but its sources are of the other family",
                "name sources of the address's family")
        }
        return findings
    }

    /// Whether two forwards want the same port of the same place.
    fileprivate func collides(with other: ForwardSpec, _ addresses: [String: IPv4Address?]) -> Bool {
        transport == other.transport && ports.overlaps(other.ports)
            && meets(uplink: other.uplink, address: other.address, addresses)
    }

    /// Whether a machine publishes a port that this one has.
    fileprivate func collides(with port: PublishSpec, _ addresses: [String: IPv4Address?]) -> Bool {
        transport == port.transport && ports.contains(port.hostPort)
            && meets(uplink: nil, address: port.hostAddress, addresses)
    }

    /// Whether a place on the host, given by uplink or address, has an address with this one in common, as far as the
    /// file tells.
    private func meets(uplink other: String?, address otherAddress: IPAddress?, _ addresses: [String: IPv4Address?])
        -> Bool
    {
        if let uplink, let other, uplink != other { return false }
        func literal(_ uplink: String?, _ address: IPAddress?) -> IPAddress? {
            if let address { return address }
            guard let uplink, let known = addresses[uplink] ?? nil else { return nil }
            return .v4(known)
        }
        let mine = literal(uplink, address)
        let theirs = literal(other, otherAddress)
        if let mine, let theirs {
            return mine == theirs || mine.isAny && !theirs.isIPv6 || theirs.isAny && !mine.isIPv6
        }
        // An uplink whose address the file does not tell meets what is on every address, not what is on a certain one.
        if uplink != nil, other == nil, otherAddress != nil { return false }
        if uplink == nil, other != nil, address != nil { return false }
        return true
    }
}

extension IPAddress {
    /// 0.0.0.0.
    fileprivate var isAny: Bool { self == .v4(IPv4Address(0)) }
}
