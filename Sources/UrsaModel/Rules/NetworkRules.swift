import UrsaBase
import UrsaFirewall

extension NetworkSpec {
    /// Name of the network that machines are on when they say nothing about networks.
    public static let defaultName = "default"
    /// The network that is meant when a machine uses `default` and nobody defined it.
    public static var implied: NetworkSpec { NetworkSpec(name: defaultName) }

    /// IPv4 ranges that can't be a network of machines: their addresses mean something else (RFC 6890).
    static let specialRanges: [(range: IPv4Network, meaning: String)] = [
        (IPv4Network(IPv4Address(0), prefix: 8), "“this host”"),
        (IPv4Network(IPv4Address(127 << 24), prefix: 8), "loopback"),
        (IPv4Network(IPv4Address(0xa9fe_0000), prefix: 16), "link-local addresses"),
        (IPv4Network(IPv4Address(0xe000_0000), prefix: 4), "multicast"),
        (IPv4Network(IPv4Address(0xf000_0000), prefix: 4), "nothing (reserved)"),
    ]

    /// IPv6 ranges that can't be a network of machines (RFC 6890, RFC 4291).
    static let specialRanges6: [(range: IPv6Network, meaning: String)] = [
        (IPv6Network(IPv6Address(high: 0, low: 0), prefix: 8), "loopback and mapped addresses"),
        (IPv6Network(IPv6Address(high: 0xfe80 << 48, low: 0), prefix: 10), "link-local addresses"),
        (IPv6Network(IPv6Address(high: 0xff00 << 48, low: 0), prefix: 8), "multicast"),
    ]

    /// The rules that need nothing but the network itself.
    func findings(_ path: SpecPath) -> [Finding] {
        var findings: [Finding] = []
        if let fault = NameRules.fault(name, what: "network", length: Limits.networkNameLength) {
            findings.append(Finding(path: path, message: fault.message, remedy: fault.remedy))
        }
        if [Zone.host, Zone.any].contains(name) {
            findings.append(
                Finding(
                    path: path, message: "no network can be named \(shown(name)): as a zone that means something else",
                    remedy: "choose another name"))
        }
        findings += modelFindings(path)
        if let subnet {
            if let special = NetworkSpec.specialRanges.first(where: { $0.range.overlaps(subnet) }), subnet.prefix >= 8 {
                findings.append(
                    Finding(
                        path: path.with("subnet"),
                        message: "the subnet \(subnet) lies in \(special.range), which stands for \(special.meaning)",
                        remedy: "take one of 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16, or leave it out"))
            } else if !Limits.subnetPrefix.contains(subnet.prefix) {
                findings.append(
                    Finding(
                        path: path.with("subnet"),
                        message: "the subnet \(subnet) is too \(subnet.prefix < 8 ? "large" : "small")",
                        remedy: "prefixes are /\(Limits.subnetPrefix.lowerBound) to /\(Limits.subnetPrefix.upperBound)")
                )
            }
        }
        if let subnet6 {
            if subnet6.prefix != 64 {
                findings.append(
                    Finding(
                        path: path.with("subnet6"), message: "the IPv6 subnet \(subnet6) is not a /64",
                        remedy: "machines make their own addresses in a /64 (RFC 4862)"))
            }
            if let special = NetworkSpec.specialRanges6.first(where: { $0.range.overlaps(subnet6) }) {
                findings.append(
                    Finding(
                        path: path.with("subnet6"),
                        message:
                            "the IPv6 subnet \(subnet6) lies in \(special.range), which stands for \(special.meaning)",
                        remedy: "take one of fd00::/8, or leave it out"))
            }
            if !ipv6 {
                findings.append(
                    Finding(
                        path: path.with("subnet6"), looksAt: [path.with("ipv6")],
                        message: "the network has an IPv6 subnet but `ipv6: false`",
                        remedy: "remove one of the two"))
            }
        }
        if let mtu, !Limits.mtu.contains(mtu) {
            findings.append(
                Finding(
                    path: path.with("mtu"), message: "an MTU of \(mtu) can't be",
                    remedy: "it is \(Limits.mtu.lowerBound) to \(Limits.mtu.upperBound) bytes"))
        }
        return findings
    }

    /// What fits no network of this model, and what is missing.
    private func modelFindings(_ path: SpecPath) -> [Finding] {
        var findings: [Finding] = []
        let model = path.with(model.rawValue)
        func add(_ path: SpecPath, _ message: String, _ remedy: String) {
            findings.append(Finding(path: path, looksAt: [model], message: message, remedy: remedy))
        }
        switch self.model {
        case .bridged where interface == nil && bridge == nil:
            add(
                model, "a bridged network needs the LAN's interface, or a bridge that is there",
                "write `bridged: { interface: eth0 }` or `bridged: { bridge: br0 }`")
        case .bridged where interface != nil && bridge != nil:
            add(
                model, "a bridged network has an interface or a bridge, not both",
                "with `bridge`, the interface is that bridge's port already")
        case .bridged where bridge != nil && fallback != nil:
            add(
                model.member("fallback"), "a bridge that is there needs no fallback", "remove `fallback`")
        case .lan where interface == nil:
            add(model, "a network on the LAN needs the LAN's interface", "write `lan: { interface: eth0 }`")
        default: break
        }
        for (name, key) in [(interface, "interface"), (bridge, "bridge"), (proxy, "proxy")] {
            guard let name, let fault = NameRules.interfaceFault(name) else { continue }
            findings.append(Finding(path: model.member(key), message: fault.message, remedy: fault.remedy))
        }
        if !self.model.hasPlacement, placement != .namespace {
            let why =
                switch self.model {
                case .bridged: "its bridge is always the host's"
                case .user: "each machine has a network of its own"
                default: "its bridge is always in a namespace, so that nothing but Ursa reaches it"
                }
            add(
                path.with("placement"), "a network of the model `\(self.model.rawValue)` has no placement", why)
        }
        if self.model == .bridged, !ipv6 {
            add(
                path.with("ipv6"), "a bridged network has IPv6 when its LAN has",
                "remove `ipv6`, or take `lan` instead of `bridged`")
        }
        return findings
    }

    /// Whether an address belongs to this network alone: it can be nowhere else in the world around the host.
    func owns(_ address: IPAddress) -> Bool {
        guard model != .user, !model.isOnLAN else { return false }
        switch address {
        case .v4(let address): return subnet?.contains(address) ?? false
        case .v6(let address): return subnet6?.contains(address) ?? false
        }
    }

    /// The interface of the LAN that machines have addresses of; nil for networks of their own subnet.
    var lan: String? { model.isOnLAN ? (interface ?? bridge).map { "LAN " + $0 } : nil }

    /// Whether two networks put machines on one LAN, or one takes a part of the other's LAN by proxy.
    func isOnSameLAN(as other: NetworkSpec) -> Bool {
        func isPart(_ one: NetworkSpec, of lan: NetworkSpec) -> Bool {
            lan.model == .lan && one.proxy != nil && one.proxy == lan.interface
        }
        return lan != nil && lan == other.lan || isPart(self, of: other) || isPart(other, of: self)
    }

    /// What is wrong with a machine's wish for an address in this network, nil when nothing is.
    func addressFault(_ address: IPv4Address) -> (message: String, remedy: String?)? {
        if let special = NetworkSpec.specialRanges.first(where: { $0.range.contains(address) }) {
            return ("\(address) lies in \(special.range), which stands for \(special.meaning)", usable)
        }
        guard let subnet else {
            // The LAN's own subnet is known where the network is made.
            if model.isOnLAN { return nil }
            return (
                "the address \(address) needs a network whose subnet is said",
                "give the network \(shown(name)) a subnet, for example `subnet: 10.77.0.0/24`"
            )
        }
        let last = subnet.broadcast.value
        guard subnet.contains(address) else {
            return ("the address \(address) is not in the subnet \(subnet) of the network \(shown(name))", usable)
        }
        switch address.value {
        case subnet.address.value: return ("\(address) is the address of the network \(shown(name)) itself", usable)
        case last: return ("\(address) is the broadcast address of the network \(shown(name))", usable)
        case _ where model.isOnLAN: return nil
        case subnet.address.value &+ 1: return ("\(address) is the gateway of the network \(shown(name))", usable)
        case last &- 1: return ("\(address) is the host's end of the network \(shown(name))", usable)
        default: return nil
        }
    }

    /// What is wrong with a machine's wish for an IPv6 address in this network, nil when nothing is.
    func addressFault(_ address: IPv6Address) -> (message: String, remedy: String?)? {
        if let special = NetworkSpec.specialRanges6.first(where: { $0.range.contains(address) }) {
            return ("\(address) lies in \(special.range), which stands for \(special.meaning)", nil)
        }
        if model == .user {
            return (
                "the model `user` gives out IPv6 addresses by itself", "remove `address6`, or take another model"
            )
        }
        if !ipv6 {
            return ("the network \(shown(name)) has no IPv6, so no \(address)", "remove `ipv6: false` there")
        }
        guard let subnet6 else {
            if model.isOnLAN { return nil }
            return (
                "the address \(address) needs a network whose IPv6 subnet is said",
                "give the network \(shown(name)) one, for example `subnet6: fd00:77::/64`"
            )
        }
        guard subnet6.contains(address) else {
            return ("the address \(address) is not in the subnet \(subnet6) of the network \(shown(name))", nil)
        }
        switch address.low {
        case 0: return ("\(address) stands for the routers of the network \(shown(name)) (RFC 4291)", nil)
        case _ where model.isOnLAN: return nil
        case 1: return ("\(address) is the gateway of the network \(shown(name))", "take another one")
        case 0xffff: return ("\(address) is the host's end of the network \(shown(name))", "take another one")
        default: return nil
        }
    }

    private var usable: String? {
        guard !model.isOnLAN, let subnet, subnet.prefix <= Limits.subnetPrefix.upperBound else { return nil }
        return "free for machines are \(subnet[2]) to \(IPv4Address(subnet.broadcast.value - 2))"
    }
}
