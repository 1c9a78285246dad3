import UrsaBase
import UrsaFirewall

@testable import UrsaModel

/// Specs of all shapes that hold all rules.
enum RandomSpec {
    static func make(_ random: inout Random) -> Spec {
        var spec = Spec()
        for index in 0..<random.next(below: 4) {
            var network = NetworkSpec(name: ["lab", "dmz-2", "yes", "default"][index])
            network.model = [.nat, .user, .isolated, .routed, .lan][random.next(below: 5)]
            if network.model == .lan { network.interface = "eth\(index)" }
            if network.model == .routed, random.chance(50) { network.proxy = "wlan0" }
            if network.model.hasPlacement, random.chance(30) { network.placement = .host }
            if random.chance(60) {
                network.subnet = IPv4Network(
                    IPv4Address(10 << 24 + UInt32(index) << 16), prefix: 16 + random.next(below: 13))
            }
            network.ipv6 = random.chance(70)
            if network.ipv6, random.chance(40) {
                network.subnet6 = IPv6Network(IPv6Address(high: 0xfd00 << 48 + UInt64(index), low: 0), prefix: 64)
            }
            network.start = random.chance(50) ? .always : .onDemand
            if random.chance(50) { network.mtu = 1280 + random.next(below: 60_000) }
            spec.networks.append(network)
        }
        if random.chance(30) {
            spec.networks.append(
                NetworkSpec(
                    name: "home", model: .bridged, interface: random.chance(50) ? "enp3s0" : nil, fallback: nil,
                    start: .always))
            if spec.networks[spec.networks.count - 1].interface == nil {
                spec.networks[spec.networks.count - 1].bridge = "br-lan"
            } else if random.chance(50) {
                spec.networks[spec.networks.count - 1].fallback = .lan
            }
        }
        for index in 0..<random.next(below: 6) { spec.machines.append(machine(index, spec.networks, &random)) }
        spec.addImpliedNetwork()
        uplinks(&spec, &random)
        firewall(&spec, &random)
        forwards(&spec, &random)
        return spec
    }

    private static func machine(_ index: Int, _ networks: [NetworkSpec], _ random: inout Random) -> MachineSpec {
        var machine = MachineSpec(
            name: "m\(index)-x", image: ["tiny", "debian:12", "/a/ b: c.qcow2", "./x", "12"][random.next(below: 5)])
        machine.cpus = 1 + random.next(below: 256)
        machine.memory = .mebibytes(64 + UInt64(random.next(below: 100_000)))
        if random.chance(50) { machine.disk = .mebibytes(1 + UInt64(random.next(below: 1 << 24))) }
        for (card, network) in networks.enumerated() where random.chance(50) {
            var nic = NICSpec(network: network.name)
            if let subnet = network.subnet, random.chance(50) || network.model == .lan {
                nic.address = subnet[UInt32(2 + index)]
            } else if network.model == .lan {
                nic.address = IPv4Address(192 << 24 + 168 << 16 + UInt32(index * 16 + card) + 9)
            }
            if let subnet6 = network.subnet6, network.model != .user, random.chance(50) {
                nic.address6 = subnet6.address(low: UInt64(index + 9))
            }
            if network.model != .user {
                nic.isIsolated = random.chance(30)
                nic.isGuarded = random.chance(30)
                if random.chance(30) {
                    nic.sendRate = BitRate(bitsPerSecond: 8000 + UInt64(random.next(below: 1 << 30)))
                }
                nic.receiveRate = random.chance(50) ? nic.sendRate : BitRate(bitsPerSecond: 100_000_000)
            }
            if random.chance(20) { nic.mtu = 1280 }
            if random.chance(50) { nic.mac = MACAddress(0x5254_0000_0000 + UInt64(index * 16 + card)) }
            machine.networks.append(nic)
        }
        if random.chance(20), !networks.contains(where: { $0.name == "default" && $0.model == .lan }) {
            machine.networks.append(NICSpec(network: "default"))
        }
        let models = machine.networks.map { card in networks.first { $0.name == card.network }?.model ?? .nat }
        if models.contains(where: { $0.takesForwards || $0 == .user }) {
            for port in 0..<random.next(below: 4) {
                let address = [nil, IPAddress("127.0.0.1"), IPAddress("fd00::1")][random.next(below: 3)]
                let transport: PublishSpec.Transport = random.chance(30) ? .udp : .tcp
                machine.publish.append(
                    PublishSpec(
                        hostAddress: address, hostPort: UInt16(1000 + index * 10 + port), guestPort: 80,
                        transport: transport))
            }
        }
        machine.restart = [.never, .always, .onFailure(limit: nil), .onFailure(limit: 3)][random.next(below: 4)]
        machine.engine = random.chance(50) ? .qemu : .auto
        machine.accelerator = AcceleratorChoice.allCases[random.next(below: 3)]
        machine.vsock = random.chance(30)
        machine.stopTimeout = 1 + random.next(below: 3600)
        if random.chance(50) { machine.readyPort = UInt16(1 + random.next(below: 65535)) }
        if random.chance(50) {
            machine.kernelArguments = ["quiet", "a=b: c # d", "'\"\\", "- x", "1", "no"][random.next(below: 6)]
        }
        if random.chance(50) {
            machine.sshKeys = [
                "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICjnvAYmWiq5C49N4M/FN0RQkVaToD5JSj4IHGTKG50j a: b # c"
            ]
        }
        return machine
    }

    private static func uplinks(_ spec: inout Spec, _ random: inout Random) {
        for index in 0..<random.next(below: 4) {
            var uplink = UplinkSpec(
                name: ["wired", "backup", "air"][index], interface: ["eth7", "eth7", "ppp0"][index])
            uplink.gateway = IPv4Address(172 << 24 + 20 << 16 + UInt32(index) + 1)
            if random.chance(30) { uplink.gateway6 = IPv6Address(high: 0xfe80 << 48, low: UInt64(index) + 1) }
            if random.chance(30) { uplink.address = IPv4Address(172 << 24 + 20 << 16 + UInt32(index) + 100) }
            uplink.isFallback = index > 0 && random.chance(50)
            uplink.weight = 1 + random.next(below: 255)
            if random.chance(50) {
                uplink.check = UplinkSpec.Check(
                    target: .v4(IPv4Address(203 << 24)), interval: 1 + random.next(below: 100),
                    threshold: 1 + random.next(below: 100))
            }
            spec.uplinks.append(uplink)
        }
        guard let first = spec.uplinks.first else { return }
        for index in spec.networks.indices
        where [.nat, .routed].contains(spec.networks[index].model) && random.chance(40) {
            spec.networks[index].uplinks = [first.name]
        }
    }

    private static func firewall(_ spec: inout Spec, _ random: inout Random) {
        if random.chance(30) { spec.firewall.admins = [AddressPrefix(.v4(IPv4Address(0xc000_0207)))] }
        guard random.chance(60) else { return }
        var zones: [Zone] = []
        if !spec.uplinks.isEmpty, random.chance(60) {
            zones.append(Zone(name: "net", members: spec.uplinks.map { .uplink($0.name) }))
        }
        let networks = spec.networks.filter { [.nat, .routed, .lan].contains($0.model) }
        if !networks.isEmpty, random.chance(60) {
            zones.append(Zone(name: "kvm", members: networks.map { .network($0.name) }))
        }
        if random.chance(40) {
            let prefixes = [AddressPrefix("198.51.100.0/24"), AddressPrefix("2001:db8:7::/48")].compactMap { $0 }
            let behind = spec.uplinks.first?.name ?? "net"
            zones.append(Zone(name: "office", members: [.hosts(prefixes, behind: behind)]))
        }
        spec.firewall.zones = zones
        let names = ZoneMap(
            Firewall(zones: zones, policies: [Policy(from: "any", to: "any", action: .drop)]), spec.topology
        ).zones
        for _ in 0..<random.next(below: 3) where names.count > 2 {
            let rule = Rule(
                from: names[random.next(below: names.count - 1)], to: "any",
                transport: RuleProtocol.allCases[random.next(below: 2)],
                ports: [80...80, 8000...8100 + UInt16(spec.firewall.rules.count)],
                sources: random.chance(30) ? [AddressPrefix(.v4(IPv4Address(0xc633_6400)))] : [],
                action: FirewallAction.allCases[random.next(below: 3)],
                log: random.chance(50) ? LogLevel.allCases[random.next(below: 5)] : nil,
                limit: RateLimit(count: 1 + random.next(below: 100), unit: .minute, burst: 5 + random.next(below: 2)))
            spec.firewall.rules.append(rule)
        }
        spec.firewall.policies = [Policy(from: "any", to: "any", action: .reject, log: random.chance(50) ? .info : nil)]
        if random.chance(50) { spec.firewall.policies.insert(Policy(from: "host", to: "any", action: .accept), at: 0) }
    }

    private static func forwards(_ spec: inout Spec, _ random: inout Random) {
        let models = Dictionary(spec.networks.map { ($0.name, $0.model) }, uniquingKeysWith: { first, _ in first })
        for (index, machine) in spec.machines.enumerated()
        where machine.networks.contains(where: { models[$0.network]?.takesForwards ?? false }) && random.chance(50) {
            let first = UInt16(20_000 + 100 * index)
            spec.forwards.append(
                ForwardSpec(
                    uplink: random.chance(50) ? spec.uplinks.first?.name : nil,
                    address: random.chance(20) ? IPAddress("192.0.2.1") : nil,
                    transport: random.chance(50) ? .udp : .tcp,
                    ports: random.chance(50) ? first...first : first...first + 50, to: machine.name,
                    port: random.chance(50) ? 22 : nil,
                    sources: random.chance(30) ? [AddressPrefix(.v4(IPv4Address(0xc633_6407)))] : []))
        }
    }
}
