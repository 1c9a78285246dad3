import UrsaBase
import UrsaFirewall

extension UplinkSpec {
    /// The rules that need nothing but the uplink itself.
    func findings(_ path: SpecPath) -> [Finding] {
        var findings: [Finding] = []
        func add(_ path: SpecPath, _ message: String, _ remedy: String?) {
            findings.append(Finding(path: path, message: message, remedy: remedy))
        }
        if let fault = NameRules.fault(name, what: "uplink", length: Limits.networkNameLength) {
            add(path, fault.message, fault.remedy)
        } else if [Zone.host, Zone.any].contains(name) {
            add(
                path, "no uplink can be named \(shown(name)): as a zone that means something else",
                "choose another name")
        }
        if let fault = NameRules.interfaceFault(interface) { add(path.with("interface"), fault.message, fault.remedy) }
        for (key, address) in [("gateway", gateway), ("address", address)] {
            guard let address,
                let special = NetworkSpec.specialRanges.first(where: { $0.range.contains(address) })
            else { continue }
            // Links of one cable and some clouds have link-local routers.
            if special.range.address.value >> 16 == 0xa9fe { continue }
            add(
                path.with(key), "\(address) can't be the \(key) of an uplink: it stands for \(special.meaning)",
                "name the provider's")
        }
        if let gateway, gateway == address {
            add(path.with("address"), "\(gateway) is the gateway, so not the host's own address", "name the host's")
        }
        if let gateway6, gateway6.high >> 56 == 0xff || gateway6.high == 0 && gateway6.low <= 1 {
            add(path.with("gateway6"), "\(gateway6) can't be a gateway", "name the provider's router")
        }
        if !Limits.weight.contains(weight) {
            add(path.with("weight"), "a weight of \(weight) can't be", "it is 0 to 255")
        }
        if isFallback, weight == 0 {
            add(path.with("weight"), "a fallback with weight 0 would never be used", "leave the weight out")
        }
        guard let check else { return findings }
        let target = path.with("check", member: "target")
        switch check.target {
        case .v4(let address) where NetworkSpec.specialRanges.contains { $0.range.contains(address) }:
            add(target, "\(address) can't answer for an uplink", "name a host that answers pings beyond the gateway")
        case .v6(let address) where NetworkSpec.specialRanges6.contains { $0.range.contains(address) }:
            add(target, "\(address) can't answer for an uplink", "name a host that answers pings beyond the gateway")
        default: break
        }
        if !Limits.checkInterval.contains(check.interval) {
            add(
                path.with("check", member: "interval"), "an interval of \(check.interval) s can't be",
                "it is 1 to 3600 seconds")
        }
        if !Limits.checkThreshold.contains(check.threshold) {
            add(
                path.with("check", member: "threshold"), "a threshold of \(check.threshold) can't be",
                "it is 1 to 100 answers")
        }
        return findings
    }
}

extension Spec {
    /// The rules of and between uplinks, and of what names them.
    func uplinkFindings() -> [Finding] {
        var findings: [Finding] = []
        for (index, uplink) in uplinks.enumerated() { findings += uplink.findings(SpecPath(.uplinks, index)) }
        findings += sharedInterfaces() + serviceFindings() + providerFindings()
        for (index, uplink) in uplinks.enumerated() {
            guard let network = networks.firstIndex(where: { $0.name == uplink.name }) else { continue }
            findings.append(
                Finding(
                    path: SpecPath(.uplinks, index), against: SpecPath(.networks, network),
                    message: "an uplink and a network are both named \(shown(uplink.name))",
                    remedy: "rename one of the two: zones and policies know both by name"))
        }
        for (index, network) in networks.enumerated() {
            var seen: Set<String> = []
            for (item, name) in network.uplinks.enumerated() {
                let path = SpecPath(.networks, index, network.model.rawValue).member("uplinks", item: item)
                if let finding = unknownUplink(name, path) {
                    findings.append(finding)
                } else if !seen.insert(name).inserted {
                    findings.append(
                        Finding(path: path, message: "the uplink \(shown(name)) stands twice", remedy: "remove one"))
                }
            }
        }
        return findings
    }

    /// A finding when there is no uplink of that name.
    func unknownUplink(_ name: String, _ path: SpecPath) -> Finding? {
        let names = uplinks.map(\.name)
        if names.contains(name) { return nil }
        let remedy = nameRemedy(name, names, "uplinks", none: "define it under `uplinks:`")
        return Finding(path: path, message: "there is no uplink \(shown(name))", remedy: remedy)
    }

    /// Two uplinks on one interface are told apart by their gateways, so both must say theirs.
    private func sharedInterfaces() -> [Finding] {
        var findings: [Finding] = []
        for (index, uplink) in uplinks.enumerated() where !uplink.interface.isEmpty {
            for (earlier, other) in uplinks[..<index].enumerated() where other.interface == uplink.interface {
                let pair = "the uplinks \(shown(other.name)) and \(shown(uplink.name)) share \(shown(uplink.interface))"
                if uplink.gateway == nil && uplink.gateway6 == nil || other.gateway == nil && other.gateway6 == nil {
                    let isMine = uplink.gateway == nil && uplink.gateway6 == nil
                    let path = SpecPath(.uplinks, isMine ? index : earlier)
                    findings.append(
                        Finding(
                            path: path, looksAt: [path.with("gateway"), path.with("gateway6")],
                            against: SpecPath(.uplinks, isMine ? earlier : index, "interface"),
                            message: "\(pair), but \(shown(isMine ? uplink.name : other.name)) says no gateway",
                            remedy: "write the gateway's address: by its Ethernet address they are told apart"))
                } else if let gateway = uplink.gateway, gateway == other.gateway {
                    findings.append(
                        Finding(
                            path: SpecPath(.uplinks, index, "gateway"), against: SpecPath(.uplinks, earlier, "gateway"),
                            message: "\(pair) and the gateway \(gateway)",
                            remedy: "two uplinks need two gateways, or two interfaces"))
                } else if let gateway = uplink.gateway6, gateway == other.gateway6 {
                    findings.append(
                        Finding(
                            path: SpecPath(.uplinks, index, "gateway6"),
                            against: SpecPath(.uplinks, earlier, "gateway6"),
                            message: "\(pair) and the gateway \(gateway)",
                            remedy: "two uplinks need two gateways, or two interfaces"))
                }
                break
            }
        }
        return findings
    }

    /// Addresses of providers that lie in a network of machines, or are a machine's.
    private func providerFindings() -> [Finding] {
        var owners: [IPAddress: SpecPath] = [:]
        let onLAN = Set(networks.filter(\.model.isOnLAN).map(\.name))
        for (index, machine) in machines.enumerated() {
            for (item, card) in machine.networks.enumerated() where onLAN.contains(card.network) {
                let path = SpecPath(.machines, index, "networks", item: item)
                if let address = card.address { owners[.v4(address)] = path.member("address") }
                if let address = card.address6 { owners[.v6(address)] = path.member("address6") }
            }
        }
        var findings: [Finding] = []
        for (index, uplink) in uplinks.enumerated() {
            let path = SpecPath(.uplinks, index)
            let given: [(IPAddress?, SpecPath)] = [
                (uplink.gateway.map { .v4($0) }, path.with("gateway")),
                (uplink.gateway6.map { .v6($0) }, path.with("gateway6")),
                (uplink.address.map { .v4($0) }, path.with("address")),
                (uplink.check?.target, path.with("check", member: "target")),
            ]
            for case (let address?, let path) in given {
                if let owner = owners[address] {
                    findings.append(
                        Finding(
                            path: path, against: owner, message: "\(address) is given to a machine too",
                            remedy: "choose another address for the machine"))
                } else if let network = networks.firstIndex(where: { $0.owns(address) }) {
                    let key = address.isIPv6 ? "subnet6" : "subnet"
                    findings.append(
                        Finding(
                            path: path, against: SpecPath(.networks, network, key),
                            message:
                                "\(address) lies in the network \(shown(networks[network].name)), not at a provider",
                            remedy: "give that network another subnet"))
                }
            }
        }
        return findings
    }

    /// Some uplink must take connections while all is well.
    private func serviceFindings() -> [Finding] {
        guard let first = uplinks.first else { return [] }
        if uplinks.allSatisfy(\.isFallback) {
            return [
                Finding(
                    path: SpecPath(.uplinks, 0, "fallback"), looksThrough: [.uplinks],
                    message: uplinks.count == 1
                        ? "\(shown(first.name)) is the only uplink, so not a fallback" : "every uplink is a fallback",
                    remedy: "remove `fallback` from the one that is used first")
            ]
        }
        if uplinks.allSatisfy({ $0.isFallback || $0.weight == 0 }) {
            return [
                Finding(
                    path: SpecPath(.uplinks, uplinks.firstIndex { !$0.isFallback } ?? 0, "weight"),
                    looksThrough: [.uplinks], message: "no uplink takes connections: every weight is 0",
                    remedy: "give one of them a weight of 1 or more")
            ]
        }
        return []
    }

    /// Interfaces that two parts of the spec can't both have: a port of a bridge has no addresses of its own.
    func interfaceFindings() -> [Finding] {
        var findings: [Finding] = []
        var ports: [String: Int] = [:]
        for (index, network) in networks.enumerated() {
            guard network.model == .bridged, let name = network.interface else { continue }
            if let other = ports[name] {
                findings.append(
                    clash(
                        index, "bridged", "interface", name, "of the network \(shown(networks[other].name)) already",
                        SpecPath(.networks, other, "bridged", member: "interface"),
                        "put the machines of both on one network"))
            } else {
                ports[name] = index
            }
        }
        for (index, network) in networks.enumerated() {
            let uses = [
                ("lan", "interface", network.model == .lan ? network.interface : nil),
                ("routed", "proxy", network.proxy),
            ]
            for case (let key, let member, let name?) in uses {
                guard let other = ports[name] else { continue }
                findings.append(
                    clash(
                        index, key, member, name, "of the network \(shown(networks[other].name))",
                        SpecPath(.networks, other, "bridged", member: "interface"),
                        "put the machines on \(shown(networks[other].name)): they are on the same LAN"))
            }
        }
        for (index, uplink) in uplinks.enumerated() {
            guard let other = ports[uplink.interface] else { continue }
            findings.append(
                Finding(
                    path: SpecPath(.uplinks, index, "interface"),
                    against: SpecPath(.networks, other, "bridged", member: "interface"),
                    message: "\(shown(uplink.interface)) can't be an uplink: it is a port of the bridged network "
                        + shown(networks[other].name),
                    remedy:
                        "make that network `lan: { interface: \(uplink.interface) }`, which leaves the interface as it is"
                ))
        }
        return findings
    }

    private func clash(
        _ index: Int, _ key: String, _ member: String, _ name: String, _ what: String, _ other: SpecPath,
        _ remedy: String
    ) -> Finding {
        Finding(
            path: SpecPath(.networks, index, key, member: member), against: other,
            message: "\(shown(name)) is a port \(what)", remedy: remedy)
    }
}

/// What to do about a name that nothing has.
func nameRemedy(_ name: String, _ names: [String], _ what: String, none: String) -> String {
    if let near = nearMiss(name, among: names) { return "did you mean `\(near)`?" }
    if names.isEmpty || names.count > 8 { return none }
    return "the \(what) are \(names.map { "`\($0)`" }.joined(separator: ", "))"
}
