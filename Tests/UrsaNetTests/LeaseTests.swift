import Glibc
import Testing
import UrsaBase

@testable import UrsaNet

@Suite("leases and names", .enabled(if: PrivateHost.isPossible, "needs root for network namespaces"))
struct LeaseTests {
    @Test(
        "a client that reads raw frames and checks checksums gets address, MTU, router and name server",
        arguments: [NetworkModel.nat, .isolated, .lan])
    func strict(_ model: NetworkModel) throws {
        try PrivateHost.run { host in
            try host.addLAN()
            var wish = try modelWish(model)
            wish.mtu = 1420
            try host.networks.converge([wish])
            try host.addGuest("g1", on: "net", mac: wish.members[0].mac.description)
            let mac = wish.members[0].mac
            let lease = try NetworkNamespace(name: "g1").run { () throws(UrsaError) -> [UInt8: [UInt8]] in
                do {
                    guard let lease = try DHCPClient(link: "eth0").leases([mac], seconds: 10)[mac] else { return [:] }
                    var options = lease.options
                    options[0] = lease.address.bytes
                    return options
                } catch { throw error as? UrsaError ?? UrsaError(.io, "\(error)") }
            }
            #expect(lease[0] == wish.members[0].address.bytes)
            #expect(lease[26] == [UInt8(1420 >> 8), UInt8(1420 & 0xff)])
            #expect(lease[3] == wish.router?.bytes)
            #expect(lease[6] == wish.gateway.bytes)
            #expect(lease[1] == wish.subnet.netmask.bytes)
            // A table that somebody flushes comes back.
            try host.sh("nft flush ruleset", in: "ursa-net")
            let steps = try host.networks.converge([wish]).map(\.line)
            #expect(steps == ["~ settings in namespace ursa-net"])
        }
    }

    @Test("a network on the host answers strict clients too") func onHost() throws {
        try PrivateHost.run { host in
            let wish = try modelWish(.nat, isOnHost: true)
            try host.networks.converge([wish])
            try host.addGuest("g1", on: "net", mac: wish.members[0].mac.description, hostBridge: "ursa-net")
            let mac = wish.members[0].mac
            let count = try NetworkNamespace(name: "g1").run { () throws(UrsaError) -> Int in
                do { return try DHCPClient(link: "eth0").leases([mac], seconds: 10).count } catch {
                    throw error as? UrsaError ?? UrsaError(.io, "\(error)")
                }
            }
            #expect(count == 1)
        }
    }

    @Test("500 clients at the same time each get their own address")
    func many() throws {
        try PrivateHost.run { host in
            var wish = try labWish(machines: [])
            wish.subnet = try required(IPv4Network("10.77.0.0/22"))
            for index in UInt32(0)..<500 {
                let mac = MACAddress(0x5254_0010_0000 + UInt64(index))
                wish.members.append(
                    Member(
                        machine: "m\(index)", mac: mac, address: wish.subnet[10 + index],
                        address6: wish.subnet6?.slaacAddress(of: mac)))
            }
            try host.networks.converge([wish])
            try host.addGuest("many", on: "lab", mac: "52:54:00:ff:ff:ff")
            let macs = wish.members.map(\.mac)
            let given = try NetworkNamespace(name: "many").run { () throws(UrsaError) -> [MACAddress: IPv4Address] in
                do { return try DHCPClient(link: "eth0").leases(macs, seconds: 30).mapValues(\.address) } catch {
                    throw error as? UrsaError ?? UrsaError(.io, "\(error)")
                }
            }
            #expect(given.count == 500)
            #expect(wish.members.allSatisfy { given[$0.mac] == $0.address })
            #expect(host.networks.resolves(network: "lab", name: "m499", seconds: 5) == wish.members[499].address)
        }
    }

    @Test("A, AAAA and PTR for every model; no question about our names or private addresses goes outside")
    func records() throws {
        for model in [NetworkModel.isolated, .routed, .lan] {
            try PrivateHost.run { host in
                try host.addLAN()
                let wish = try modelWish(model)
                try host.networks.converge([wish])
                try host.addGuest("g1", on: "net", mac: wish.members[0].mac.description)
                _ = try host.dhcp("g1")
                func ask(_ words: String) throws -> String {
                    try host.attempt("busybox nslookup \(words) \(wish.gateway)", in: "g1").text
                }
                try #require(
                    try model == .isolated || host.wait(for: "default", "ip route", in: "g1"))
                let address = wish.members[1].address
                let address6 = try required(wish.members[1].address6)
                #expect(try ask("g2.net.ursa.internal").contains("\(address)"), "\(model)")
                #expect(try ask("-type=aaaa g2.net.ursa.internal").contains("\(address6)"), "\(model)")
                #expect(try ask("\(address)").contains("g2.net.ursa.internal"), "\(model)")
                #expect(try ask("\(address6)").contains("g2.net.ursa.internal"), "\(model)")
                #expect(try ask("nobody.net.ursa.internal").contains("NXDOMAIN"), "\(model)")
            }
        }
    }

    @Test("a network takes the MTU of its way out unless it was asked for another")
    func mtu() throws {
        try PrivateHost.run { host in
            try host.addLAN()
            try host.ip("link set eth0 mtu 1400")
            var wish = try modelWish(.nat)
            wish.isMTUFixed = false
            try host.networks.converge([wish])
            #expect(try host.ip("link show br0", in: "ursa-net").contains("mtu 1400"))
            #expect(host.networks.plan([wish], try host.networks.observe()).map(\.line) == [])
            wish.isMTUFixed = true
            try host.networks.converge([wish])
            #expect(try host.ip("link show br0", in: "ursa-net").contains("mtu 1500"))
        }
    }
}
