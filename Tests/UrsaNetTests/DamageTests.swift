import CLinux
import Glibc
import Testing
import UrsaBase

@testable import UrsaNet

@Suite("damage is mended part by part", .enabled(if: PrivateHost.isPossible, "needs root for network namespaces"))
struct DamageTests {
    /// Builds lab with two guests and a published port, does the damage, expects `health` to name it (when it is one
    /// that `health` looks for), converges, and expects everything to work again with the guests' ports untouched.
    private func mend(
        complaint: String?, steps expected: [String], _ damage: @escaping @Sendable (PrivateHost) throws -> Void
    ) throws {
        try PrivateHost.run { host in
            try host.addNeighbour()
            var wish = try labWish()
            wish.ports = [port(8080, of: wish, 0)]
            try host.networks.converge([wish])
            try host.addLabGuests()
            let server = try host.serve("web", port: 80)
            defer { withExtendedLifetime(server) {} }
            #expect(try host.fetch("192.0.2.2:8080", in: "w") != nil)
            #expect(host.networks.health(["lab"]) == [:])
            try damage(host)
            if let complaint {
                let words = host.networks.health(["lab"])["lab"] ?? "nothing"
                #expect(words.contains(complaint), "\(words)")
            }
            let steps = try host.networks.converge([wish]).map(\.line)
            for start in expected { #expect(steps.contains { $0.hasPrefix(start) }, "\(start) is not in \(steps)") }
            #expect(steps.count == expected.count, "\(steps)")
            #expect(host.networks.plan([wish], try host.networks.observe()).map(\.line) == [])
            #expect(host.networks.health(["lab"]) == [:])
            #expect(try host.fetch("192.0.2.2:8080", in: "w") != nil)
            #expect(try host.fetch("127.0.0.1:8080") != nil)
            _ = try host.dhcp("db")
            #expect(
                host.networks.resolves(network: "lab", name: "web.lab.ursa.internal", seconds: 2) != nil)
            try host.networks.converge([])
            #expect(try host.leftovers() == [])
        }
    }

    @Test("nft flush ruleset") func flushed() throws {
        try mend(complaint: "table ursa is gone", steps: ["~ table"]) { try $0.sh("nft flush ruleset") }
    }

    @Test("a flushed chain") func flushedChain() throws {
        try mend(complaint: "was changed", steps: ["~ table"]) { try $0.sh("nft flush chain inet ursa published") }
    }

    @Test("a removed port element") func removedElement() throws {
        try mend(complaint: nil, steps: ["~ table"]) { try $0.sh("nft flush map inet ursa every4") }
    }

    @Test("a deleted bridge: the ports are attached again") func bridge() throws {
        try mend(complaint: "bridge is gone", steps: ["~ bridge", "~ stem", "~ dnsmasq"]) {
            try $0.ip("link del br0", in: "ursa-lab")
        }
    }

    @Test("a bridge that is down") func bridgeDown() throws {
        try mend(complaint: "bridge is gone or down", steps: ["~ bridge", "~ stem", "~ dnsmasq"]) {
            try $0.ip("link set br0 down", in: "ursa-lab")
        }
    }

    @Test("a detached port") func detached() throws {
        try mend(complaint: "web is not attached", steps: ["~ bridge"]) {
            try $0.ip("link set web nomaster", in: "ursa-lab")
        }
    }

    @Test("a lost address of the bridge") func address() throws {
        try mend(complaint: nil, steps: ["~ bridge", "~ stem"]) {
            try $0.ip("addr del 10.77.0.1/24 dev br0", in: "ursa-lab")
        }
    }

    @Test("kill -9 of dnsmasq") func dnsmasq() throws {
        try mend(complaint: "dnsmasq does not run", steps: ["~ dnsmasq"]) { host in
            let process = DnsmasqProcess(folder: host.home.folder(network: "lab"))
            let identity = try required(process.identity)
            identity.signal(SIGKILL)
            _ = identity.waitForEnd(until: .after(seconds: 5))
        }
    }

    @Test("a deleted route of the host") func route() throws {
        try mend(complaint: "no route", steps: ["~ stem"]) { try $0.ip("route del 10.77.0.0/24") }
    }

    @Test("a deleted default route inside") func insideRoute() throws {
        try mend(complaint: nil, steps: ["~ stem"]) { try $0.ip("route del default", in: "ursa-lab") }
    }

    @Test("a lost proxy entry") func proxy() throws {
        try mend(complaint: nil, steps: ["~ stem"]) {
            try $0.ip("neigh del proxy 10.77.0.254 dev br0", in: "ursa-lab")
        }
    }

    @Test("a deleted stem") func stem() throws {
        try mend(complaint: "link to the host", steps: ["~ stem"]) { try $0.ip("link del ursa-lab") }
    }

    @Test("forwarding turned off") func forwarding() throws {
        try mend(complaint: "does not forward", steps: ["~ settings"]) { try $0.sh("sysctl -qw net.ipv4.ip_forward=0") }
    }

    @Test("an edited names file") func hostsFile() throws {
        try mend(complaint: nil, steps: ["~ "]) { host in
            let text = try File.readText(host.home.hostsFile)
            try File.replace(
                host.home.hostsFile,
                text: text.split(separator: "\n").filter { !$0.contains("10.77.0.11") }
                    .joined(separator: "\n") + "\n")
        }
    }

    @Test("a namespace that lost its name is found again by its dnsmasq, with its guests") func unnamed() throws {
        try mend(complaint: "namespace ursa-lab is gone", steps: ["~ namespace"]) { try $0.sh("ip netns del ursa-lab") }
    }
}
