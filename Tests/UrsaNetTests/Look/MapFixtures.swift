import UrsaBase
import UrsaFirewall
import UrsaNet

/// Hosts to be drawn.
enum MapFixtures {
    static let home = HomeMark(id: "0a1b2c3d", isDefault: true, folder: "/f", runFolder: "/r")

    static func address(_ text: String) throws -> IPAddress { try required(IPAddress(text)) }

    /// One network, two machines, one published port.
    static func quickstart() throws -> NetworkMap {
        let lab = try labWish()
        let view = HostView(
            name: "sun",
            links: [
                HostLink(
                    name: "eth0", mac: MACAddress(0x3c52_8212_3456), addresses: [try required(prefix("192.0.2.2/24"))],
                    gateways: [try address("192.0.2.1")])
            ], isForwarding: true)
        return NetworkMap.make(
            home: home, wish: HostWish(networks: [lab]), view: view,
            machines: [machine(lab, 0, ports: ["tcp 8080 → 80"]), machine(lab, 1)], up: ["lab"])
    }

    /// The laptop: one card, two providers on it, machines behind a bridge, zones.
    static func laptop() throws -> NetworkMap {
        var lan = NetworkWish(
            name: "machines", subnet: try required(IPv4Network("10.77.0.0/24")),
            subnet6: try required(IPv6Network("fd77:1:2:3::/64")))
        for (number, name) in ["snape", "debs", "build", "windows"].enumerated() {
            lan.members.append(
                Member(
                    machine: name, mac: MACAddress(0x5254_00ab_cd00 + UInt64(number)),
                    address: lan.subnet[10 + UInt32(number)], address6: lan.subnet6?.address(low: 0x10 + UInt64(number))
                ))
        }
        let uplinks = [
            UplinkWish(
                name: "comcast", number: 1, interface: "eth0", gateway: IPv4Address("172.20.1.1"), weight: 1),
            UplinkWish(
                name: "avvanta", number: 2, interface: "eth0", gateway: IPv4Address("172.20.1.254"), isFallback: true,
                isHealthy: false),
        ]
        let firewall = Firewall(
            zones: [
                Zone(name: "net", members: [.uplink("comcast"), .uplink("avvanta")]),
                Zone(name: "kvm", members: [.network("machines")]),
            ],
            policies: [
                Policy(from: "kvm", to: "any", action: .accept), Policy(from: "host", to: "any", action: .accept),
                Policy(from: "net", to: "any", action: .drop), Policy(from: "any", to: "any", action: .reject),
            ])
        let view = HostView(
            name: "ursa",
            links: [
                HostLink(
                    name: "eth0", mac: MACAddress(0x0013_02aa_bb01),
                    addresses: [try required(prefix("172.20.1.130/24")), try required(prefix("2001:db8:5::130/64"))],
                    gateways: [try address("172.20.1.1")]),
                HostLink(name: "wlan0", kind: "wireless", mac: MACAddress(0x0018_de00_0102), isUp: false),
            ], isForwarding: true)
        var machines = lan.members.indices.map { machine(lan, $0) }
        machines[1].ports = ["comcast tcp 2222 → 22", "tcp 8080 → 80"]
        machines[3].isRunning = false
        machines[3].state = "stopped"
        return NetworkMap.make(
            home: home, wish: HostWish(networks: [lan], uplinks: uplinks, firewall: firewall), view: view,
            machines: machines, up: ["machines"])
    }

    /// Twelve machines on four networks of four models, some of them on several.
    static func office() throws -> NetworkMap {
        var networks: [NetworkWish] = []
        let names: [(String, NetworkModel)] = [
            ("lab", .nat), ("storage", .isolated), ("dmz", .routed), ("home-with-a-rather-long-name-xx", .lan),
        ]
        var machines: [MapMachine] = []
        for (number, entry) in names.enumerated() {
            var network = NetworkWish(
                name: entry.0, model: entry.1, publishedOn: entry.1 == .lan ? "eth0" : nil,
                subnet: try required(IPv4Network("10.\(77 + number).0.0/24")),
                subnet6: try required(IPv6Network("fd12:3456:789a:\(number + 1)::/64")))
            for index in 0..<3 {
                let mac = MACAddress(0x5254_0011_0000 + UInt64(number * 16 + index))
                network.members.append(
                    Member(
                        machine: "\(entry.0.prefix(24))-\(index)", mac: mac,
                        address: network.subnet[10 + UInt32(index)],
                        address6: network.subnet6?.slaacAddress(of: mac)))
            }
            networks.append(network)
            machines += network.members.indices.map { machine(network, $0) }
        }
        machines[0].cards.append(machine(networks[1], 0, offset: 40).cards[0])
        machines[2].cards.append(machine(networks[2], 0, offset: 41).cards[0])
        machines[2].cards.append(machine(networks[3], 0, offset: 42).cards[0])
        machines[8].cards.append(machine(networks[0], 0, offset: 43).cards[0])
        machines[6].ports = (0..<6).map { "tcp 192.0.2.2:\(8000 + $0) → 80" }
        machines[4].isRunning = false
        machines[4].state = "failed"
        let view = HostView(
            name: "office",
            links: [
                HostLink(
                    name: "eth0", mac: MACAddress(0x3c52_8212_3456), addresses: [try required(prefix("192.0.2.2/24"))],
                    gateways: [try address("192.0.2.1"), try address("2001:db8::1")]),
                HostLink(
                    name: "eth1", mac: MACAddress(0x3c52_8212_3457),
                    addresses: [try required(prefix("198.51.100.7/24"))]),
                HostLink(name: "docker0", kind: "bridge", addresses: [try required(prefix("172.17.0.1/16"))]),
            ], isForwarding: true)
        return NetworkMap.make(
            home: home, wish: HostWish(networks: networks), view: view, machines: machines,
            up: Set(networks.map(\.name)), troubles: ["dmz": "its dnsmasq does not run"],
            impairments: ["lab": ["*": Impairment(loss: 1000, rate: 1_250_000)]])
    }

    static func prefix(_ text: String) -> AddressPrefix? {
        let parts = text.split(separator: "/")
        guard parts.count == 2, let address = IPAddress(String(parts[0])), let length = Int(parts[1]) else {
            return nil
        }
        return AddressPrefix(address: address, prefix: length)
    }

    static func machine(
        _ network: NetworkWish, _ index: Int, offset: UInt32 = 0, ports: [String] = []
    ) -> MapMachine {
        let member = network.members[index]
        let addresses: [IPAddress] =
            [.v4(IPv4Address(member.address.value + offset))] + (member.address6.map { [.v6($0)] } ?? [])
        return MapMachine(
            name: member.machine, isRunning: true, state: "running",
            cards: [
                NetworkMap.Card(network: network.name, mac: member.mac, addresses: addresses, tap: "u12ab3\(index)t0")
            ], ports: ports)
    }
}
