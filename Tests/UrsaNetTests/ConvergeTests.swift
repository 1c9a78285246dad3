import Glibc
import Testing
import UrsaBase

@testable import UrsaNet

@Suite("networks on a real host", .enabled(if: PrivateHost.isPossible, "needs root for network namespaces"))
struct ConvergeTests {
    @Test("from nothing to a network and back leaves nothing, and a second converge does nothing")
    func upAndDown() throws {
        try PrivateHost.run { host in
            try host.addNeighbour()
            var wish = try labWish()
            wish.ports = [port(8080, of: wish, 0)]
            let steps = try host.networks.converge([wish])
            #expect(steps.map(\.line).contains { $0.hasPrefix("+ namespace ursa-lab") })
            let again = host.networks.plan([wish], try host.networks.observe())
            #expect(again.map(\.line) == [])
            #expect(Sysctl.read("ipv4/ip_forward") == "1")
            try host.networks.converge([])
            #expect(try host.leftovers() == [])
            #expect(Sysctl.read("ipv4/ip_forward") == "0")
            #expect(Sysctl.read("ipv6/conf/all/forwarding") == "0")
            #expect(try File.readText(host.home.hostsFile) == "127.0.0.1 localhost\n")
        }
    }
}
