public import UrsaBase
import UrsaFirewall

extension Spec {
    /// Checks everything that a spec must hold beyond the form of its parts: names, ranges, references, and that
    /// nothing is given out twice. `SpecReader` has done so for what it returns.
    ///
    /// - Returns: all errors, code `.invalidSpec`, with places like `machines.web.networks[0]`.
    public func validate() -> [UrsaError] {
        findings().map { $0.error(.invalidSpec, place: placeName($0.path)) }
    }

    private func placeName(_ path: SpecPath) -> String {
        func name<T>(_ parts: [T], _ name: (T) -> String) -> String {
            guard parts.indices.contains(path.index) else { return ".?" }
            let text = name(parts[path.index])
            return "." + (text.unicodeScalars.contains(where: isHarmful) ? "?" : text)
        }
        var text = path.section.rawValue
        if path.index != SpecPath.whole {
            switch path.section {
            case .uplinks: text += name(uplinks, \.name)
            case .networks: text += name(networks, \.name)
            case .zones: text += name(firewall.zones, \.name)
            case .machines: text += name(machines, \.name)
            case .policy, .rules, .forwards, .admins: text += "[\(path.index)]"
            }
        }
        if let key = path.key { text += ".\(key)" }
        if let item = path.item { text += "[\(item)]" }
        if let member = path.member { text += ".\(member)" }
        return text
    }

    /// All rules over all parts.
    func findings() -> [Finding] {
        var findings: [Finding] = []
        for (index, network) in networks.enumerated() { findings += network.findings(SpecPath(.networks, index)) }
        for (index, machine) in machines.enumerated() { findings += machine.findings(SpecPath(.machines, index)) }
        let byName = Dictionary(networks.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        for (index, machine) in machines.enumerated() {
            findings += machine.findings(SpecPath(.machines, index), on: byName)
        }
        findings += nameFindings() + subnetFindings() + conflictFindings()
        findings += uplinkFindings() + interfaceFindings()
        return findings + firewallFindings() + forwardFindings()
    }

    /// What machines were given that another one, or the same, has already.
    func conflictFindings() -> [Finding] { cardFindings() + publishFindings() }

    private func nameFindings() -> [Finding] {
        var findings: [Finding] = []
        func check(_ names: [String], _ section: SpecPath.Section, _ what: String, limit: Int) {
            var seen: Set<String> = []
            for (index, name) in names.enumerated() where !seen.insert(name).inserted {
                findings.append(
                    Finding(
                        path: SpecPath(section, index), message: "a second \(what) is named \(shown(name))",
                        remedy: "rename one of the two"))
            }
            if names.count > limit {
                findings.append(
                    Finding(
                        path: SpecPath(section, limit),
                        message: "\(names.count) \(what)s are too many",
                        remedy: "at most \(limit) are allowed"))
            }
        }
        check(networks.map(\.name), .networks, "network", limit: Limits.networks)
        check(machines.map(\.name), .machines, "machine", limit: Limits.machines)
        check(uplinks.map(\.name), .uplinks, "uplink", limit: Limits.uplinks)
        check(firewall.zones.map(\.name), .zones, "zone", limit: Limits.zones)
        return findings
    }

    /// Subnets that overlap. Networks of the model `user` are left out: each machine has one of its own. Networks on one
    /// LAN may say the same one.
    private func subnetFindings() -> [Finding] {
        var findings: [Finding] = []
        let shared = networks.indices.filter { networks[$0].model != .user }.prefix(Limits.networks)
        for (position, index) in shared.enumerated() {
            let network = networks[index]
            let others = shared.prefix(position).filter { !network.isOnSameLAN(as: networks[$0]) }
            if let mine = network.subnet,
                let other = others.first(where: { networks[$0].subnet.map(mine.overlaps) ?? false })
            {
                findings.append(overlap(index, "subnet", "\(mine)", "\(networks[other].subnet ?? mine)", other))
            }
            if let mine = network.subnet6,
                let other = others.first(where: { networks[$0].subnet6.map(mine.overlaps) ?? false })
            {
                findings.append(overlap(index, "subnet6", "\(mine)", "\(networks[other].subnet6 ?? mine)", other))
            }
        }
        return findings
    }

    private func overlap(_ index: Int, _ key: String, _ mine: String, _ theirs: String, _ other: Int) -> Finding {
        Finding(
            path: SpecPath(.networks, index, key), against: SpecPath(.networks, other, key),
            message: "the subnet \(mine) overlaps \(theirs) of the network \(shown(networks[other].name))",
            remedy: "give them subnets that don't overlap, or leave one out: a free one is taken")
    }

    /// Addresses and Ethernet addresses given out twice.
    private func cardFindings() -> [Finding] {
        struct Place: Hashable {
            let network: String
            let address: IPAddress
        }
        let byName = Dictionary(networks.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        var findings: [Finding] = []
        var addresses: [Place: (machine: String, path: SpecPath)] = [:]
        var macs: [MACAddress: (machine: String, path: SpecPath)] = [:]
        for (index, machine) in machines.enumerated() {
            for (item, card) in machine.networks.enumerated() {
                let network = byName[card.network]
                func path(_ member: String) -> SpecPath {
                    SpecPath(.machines, index, "networks", item: item, member: member)
                }
                let given: [(IPAddress?, String)] = [
                    (card.address.map { .v4($0) }, "address"), (card.address6.map { .v6($0) }, "address6"),
                ]
                for case (let address?, let member) in given where network?.model != .user {
                    // Networks on one LAN share its addresses.
                    let place = Place(network: network?.lan ?? card.network, address: address)
                    if let owner = addresses[place] {
                        findings.append(
                            Finding(
                                path: path(member), against: owner.path,
                                message: "the address \(address) is given out twice in the network "
                                    + "\(shown(card.network)); the machine \(shown(owner.machine)) has it",
                                remedy: "choose another, or leave it out"))
                    } else {
                        addresses[place] = (machine.name, path(member))
                    }
                }
                if let mac = card.mac {
                    if let owner = macs[mac] {
                        findings.append(
                            Finding(
                                path: path("mac"), against: owner.path,
                                message: "the Ethernet address \(mac) is given out twice; the machine "
                                    + "\(shown(owner.machine)) has it",
                                remedy: "choose another, or leave it out"))
                    } else {
                        macs[mac] = (machine.name, path("mac"))
                    }
                }
            }
        }
        return findings
    }

    /// Ports of the host published twice.
    private func publishFindings() -> [Finding] {
        var findings: [Finding] = []
        var taken = PublishedPorts()
        for (index, machine) in machines.enumerated() {
            for (item, port) in machine.publish.prefix(Limits.publishedPorts).enumerated() {
                guard let owner = taken.insert(port, owner: machine.name) else { continue }
                let what = "\(port.transport.rawValue) port \(port.hostPort) of the host"
                findings.append(
                    Finding(
                        path: SpecPath(.machines, index, "publish", item: item),
                        message: "\(what) is published twice; the machine \(shown(owner)) has it",
                        remedy: "choose another port of the host"))
            }
        }
        return findings
    }
}

/// Ports of the host that are taken; an entry without address takes the port on every address.
struct PublishedPorts {
    private struct Port: Hashable {
        let transport: PublishSpec.Transport
        let number: UInt16
    }
    private struct Owners {
        var everywhere: String?
        var exact: [IPAddress: String] = [:]
        var firstV4: String?
        var firstV6: String?
    }
    private var ports: [Port: Owners] = [:]

    /// Takes a port; returns who has it already, or nil when it was free.
    mutating func insert(_ port: PublishSpec, owner: String) -> String? {
        var owners = ports[Port(transport: port.transport, number: port.hostPort)] ?? Owners()
        defer { ports[Port(transport: port.transport, number: port.hostPort)] = owners }
        let anyV4 = IPAddress.v4(IPv4Address(0))
        let anyV6 = IPAddress.v6(IPv6Address(high: 0, low: 0))
        var present = owners.everywhere
        switch port.hostAddress {
        case nil: present = present ?? owners.firstV4 ?? owners.firstV6
        case let address? where address == anyV4: present = present ?? owners.firstV4
        case let address? where address == anyV6: present = present ?? owners.firstV6
        case .v4(let address)?: present = present ?? owners.exact[anyV4] ?? owners.exact[.v4(address)]
        case .v6(let address)?: present = present ?? owners.exact[anyV6] ?? owners.exact[.v6(address)]
        }
        guard present == nil else { return present }
        switch port.hostAddress {
        case nil: owners.everywhere = owner
        case .v4(let address)?:
            owners.exact[.v4(address)] = owner
            owners.firstV4 = owners.firstV4 ?? owner
        case .v6(let address)?:
            owners.exact[.v6(address)] = owner
            owners.firstV6 = owners.firstV6 ?? owner
        }
        return nil
    }
}

extension MachineSpec {
    /// Checks one machine against the networks there are, as `ursa run` needs it: the same rules as in a file.
    ///
    /// - Parameter networks: the networks known, with their subnets filled in where they have been picked. `default`
    ///   need not be among them.
    /// - Returns: all errors, code `.usage`, each placed at the option it is about (`--memory`).
    public func validate(networks: [NetworkSpec]) -> [UrsaError] {
        let path = SpecPath(.machines, 0)
        var findings = findings(path) + findings(path, on: networks)
        let alone = Spec(networks: networks, machines: [self])
        findings += alone.conflictFindings()
        return findings.map { finding in
            let option = finding.path.key.map { key in
                MachineFields.all.first { $0.key == key }?.option ?? "--\(key)"
            }
            return finding.error(.usage, place: option ?? "--name")
        }
    }
}
