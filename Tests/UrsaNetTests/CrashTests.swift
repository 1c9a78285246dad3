import CLinux
import Glibc
import Testing
import UrsaBase

@testable import UrsaNet

@Suite("any interruption is mended", .enabled(if: PrivateHost.isPossible, "needs root for network namespaces"))
struct CrashTests {
    @Test("a plan that ends after any of its steps is finished by the next converge, or taken away without a trace")
    func prefixes() throws {
        try PrivateHost.run { host in
            var wish = try labWish()
            wish.ports = [port(8080, of: wish, 0)]
            try File.makeDirectory(host.home.folder)
            let count = host.networks.plan([wish], try host.networks.observe()).count
            for done in 0...count {
                let steps = host.networks.plan([wish], try host.networks.observe())
                #expect(steps.count == count)
                for step in steps.prefix(done) { try step.apply() }
                if done % 2 == 0 { try host.networks.converge([wish]) }
                if done % 2 == 0 {
                    #expect(host.networks.plan([wish], try host.networks.observe()).map(\.line) == [], "after \(done)")
                }
                try host.networks.converge([])
                #expect(try host.leftovers() == [], "after \(done)")
                #expect(Sysctl.read("ipv4/ip_forward") == "0")
                #expect(try File.readText(host.home.hostsFile) == "127.0.0.1 localhost\n")
            }
        }
    }

    @Test("every step may be applied twice and undone twice")
    func twice() throws {
        try PrivateHost.run { host in
            var wish = try labWish()
            wish.ports = [port(8080, of: wish, 0)]
            try File.makeDirectory(host.home.folder)
            let steps = host.networks.plan([wish], try host.networks.observe())
            for step in steps { for _ in 0..<2 { try step.apply() } }
            #expect(host.networks.plan([wish], try host.networks.observe()).map(\.line) == [])
            for step in steps.reversed() { for _ in 0..<2 { try step.undo() } }
            #expect(try host.leftovers() == [])
            #expect(Sysctl.read("ipv4/ip_forward") == "0")
        }
    }

    @Test("a step that fails takes back everything before it, and says why")
    func undo() throws {
        try PrivateHost.run { host in
            // A folder where dnsmasq's log must be.
            try File.makeDirectory("\(host.home.folder)")
            var wish = try labWish()
            wish.ports = [port(8080, of: wish, 0)]
            let seen = try host.networks.observe()
            try File.makeDirectory("\(host.home.folder(network: "lab"))/log/in-the-way")
            #expect(throws: UrsaError.self) { try host.networks.apply(host.networks.plan([wish], seen)) }
            #expect(try host.leftovers() == [])
            #expect(Sysctl.read("ipv4/ip_forward") == "0")
            #expect(try File.readText(host.home.hostsFile) == "127.0.0.1 localhost\n")
        }
    }

    @Test("a name file without a namespace and half a run folder are no obstacle")
    func halves() throws {
        try PrivateHost.run { host in
            try File.replace("/run/netns/ursa-lab", text: "")
            try File.makeDirectory(host.home.folder(network: "lab"))
            try File.makeDirectory(host.home.folder(network: "gone"))
            try host.networks.converge([labWish()])
            #expect(host.networks.health(["lab"]) == [:])
            #expect(File.list(host.home.runFolder + "/net") == ["lab"])
            try host.networks.converge([])
            #expect(try host.leftovers() == [])
        }
    }

    @Test("links and namespaces of others are left alone, and refused with a reason")
    func foreign() throws {
        try PrivateHost.run { host in
            try host.ip("netns add ursa-lab")
            let error = #expect(throws: UrsaError.self) { try host.networks.converge([labWish()]) }
            #expect(error?.code == .conflict && error?.message.contains("ursa-lab") == true)
            try host.networks.converge([])
            #expect(File.list("/run/netns") == ["ursa-lab"])
            try host.ip("netns del ursa-lab")
            try host.ip("link add ursa-lab type veth peer name other")
            #expect(throws: UrsaError.self) { try host.networks.converge([labWish()]) }
            try host.networks.converge([])
            #expect(try host.ip("-br link").contains("ursa-lab"))
        }
    }

    @Test("two homes on one host never meet")
    func homes() throws {
        try PrivateHost.run { host in
            try host.addNeighbour()
            let other = HostNetworks(
                home: HomeMark(
                    id: "ffff0000", isDefault: false, folder: host.folder + "/home2", runFolder: host.folder + "/run2",
                    hostsFile: host.home.hostsFile))
            defer { DnsmasqProcess(folder: other.home.folder(network: "lab")).identity?.signal(SIGKILL) }
            var second = try labWish()
            second.subnet = try required(IPv4Network("10.78.0.0/24"))
            second.subnet6 = nil
            for index in second.members.indices {
                second.members[index].address = second.subnet[10 + UInt32(index)]
                second.members[index].address6 = nil
            }
            second.ports = [port(8081, of: second, 0)]
            let first = try labWish()
            try host.networks.converge([first])
            try other.converge([second])
            #expect(host.networks.plan([first], try host.networks.observe()).map(\.line) == [])
            #expect(other.plan([second], try other.observe()).map(\.line) == [])
            // The first home goes; forwarding, its own change, must stay for the second.
            try host.networks.converge([])
            #expect(other.health(["lab"]) == [:])
            #expect(Sysctl.read("ipv4/ip_forward") == "1")
            try other.converge([])
            try host.networks.converge([])
            #expect(try host.leftovers() == [])
            #expect(Sysctl.read("ipv4/ip_forward") == "0")
            #expect(try File.readText(host.home.hostsFile) == "127.0.0.1 localhost\n")
        }
    }
}
