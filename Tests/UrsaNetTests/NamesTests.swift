import Glibc
import Testing
import UrsaBase

@testable import UrsaNet

@Suite("names on the host, and who else is there")
struct NamesTests {
    @Test("reverse zones cover the subnet: whole bytes, several of them, part of one")
    func zones() throws {
        func zones(_ subnet: String, _ model: NetworkModel = .nat) throws -> [String] {
            var wish = try labWish()
            wish.model = model
            wish.subnet6 = nil
            wish.subnet = try required(IPv4Network(subnet))
            return wish.reverseZones
        }
        #expect(try zones("10.77.0.0/24") == ["0.77.10.in-addr.arpa"])
        #expect(try zones("10.77.4.0/22") == (4...7).map { "\($0).77.10.in-addr.arpa" })
        #expect(try zones("10.64.0.0/10").count == 64)
        #expect(try zones("192.0.2.64/28") == ["2.0.192.in-addr.arpa"])
        #expect(try zones("192.0.2.0/24", .lan) == [])
        #expect(
            try labWish().reverseZones.last == "3.0.0.0.2.0.0.0.1.0.0.0.7.7.d.f.ip6.arpa")
    }

    @Test("where systemd-resolved runs it is told per link, and the names file is left alone")
    func resolver() throws {
        let home = HomeMark(id: "0a1b2c3d", isDefault: true, folder: "/h", runFolder: "/r", hostsFile: "/hosts")
        let networks = HostNetworks(home: home)
        let wish = try labWish()
        var seen = NetObservation()
        seen.hasSystemResolver = true
        var lines = networks.plan([wish], seen).map(\.line)
        #expect(lines.last == "~ systemd-resolved: lab.ursa.internal is asked over ursa-lab")
        #expect(!lines.contains { $0.contains("/hosts") })
        let resolver = try required(SystemResolver(home, wish))
        #expect(
            resolver.commands == [
                ["dns", "ursa-lab", "10.77.0.1", "fd77:1:2:3::1"],
                [
                    "domain", "ursa-lab", "lab.ursa.internal", "~0.77.10.in-addr.arpa",
                    "~3.0.0.0.2.0.0.0.1.0.0.0.7.7.d.f.ip6.arpa",
                ],
                ["default-route", "ursa-lab", "no"],
            ])
        // Said to the same link already; then the link is another.
        var network = NetworkSeen()
        network.hostLink = 7
        network.resolverNote = resolver.note(index: 7)
        seen.networks["lab"] = network
        #expect(!networks.plan([wish], seen).map(\.line).contains { $0.contains("resolved") })
        seen.networks["lab"]?.hostLink = 8
        #expect(networks.plan([wish], seen).map(\.line).contains { $0.contains("resolved") })
        // One that did not listen: the file serves.
        seen.networks["lab"]?.resolverNote = SystemResolver.refused
        lines = networks.plan([wish], seen).map(\.line)
        #expect(lines.last?.hasPrefix("+ /hosts") == true && !lines.contains { $0.contains("resolved") })
        var isolated = wish
        isolated.model = .isolated
        #expect(SystemResolver(home, isolated) == nil)
    }

    @Test(
        "a program that holds port 53 of the host is named with what to do",
        .enabled(if: PrivateHost.isPossible, "needs root for network namespaces"))
    func port() throws {
        try PrivateHost.run { host in
            let server = try host.background(
                "dnsmasq -k --conf-file=/dev/null --no-resolv --no-hosts --pid-file= --user=root --port=53")
            defer { withExtendedLifetime(server) {} }
            let deadline = Deadline.after(seconds: 5)
            let any = try required(IPv4Address("10.0.0.1"))
            while PortHolder.words(port: 53, address: any) == nil, !deadline.isPast { pause(milliseconds: 20) }
            #expect(PortHolder.words(port: 53, address: any)?.hasPrefix("dnsmasq (pid ") == true)
            #expect(PortHolder.words(port: 54, address: any) == nil)
            // In a namespace of its own the network has the port to itself.
            try host.networks.converge([modelWish(.nat)])
            try host.networks.converge([])
            let refused = #expect(throws: UrsaError.self) {
                try host.networks.converge([modelWish(.nat, isOnHost: true)])
            }
            let words = refused.map { "\($0)" } ?? ""
            #expect(words.contains("port 53 is held by dnsmasq (pid "), "\(words)")
            #expect(try host.leftovers() == [])
        }
    }

    @Test(
        "a DHCP client on an interface that becomes a port is told of, with what to do",
        .enabled(if: PrivateHost.isPossible, "needs root for network namespaces"))
    func managers() throws {
        try PrivateHost.run { host in
            try host.addLAN()
            #expect(host.networks.notices(BridgeTests.wish) == [])
            // Under its own name.
            try host.sh("cp /bin/busybox \(host.folder)/udhcpc")
            let client = try host.background("\(host.folder)/udhcpc -f -i eth0 -s /bin/true")
            defer { withExtendedLifetime(client) {} }
            let deadline = Deadline.after(seconds: 5)
            while host.networks.notices(BridgeTests.wish).isEmpty, !deadline.isPast { pause(milliseconds: 20) }
            let words = host.networks.notices(BridgeTests.wish).first ?? ""
            #expect(words.hasPrefix("udhcpc (pid ") && words.contains("udhcpc -i ursa-home"), "\(words)")
            #expect(host.networks.notices(HostWish(bridges: [BridgeWish(name: "x", interface: "eth1")])) == [])
        }
    }
}
