import CLinux
import Glibc
import Testing
import UrsaBase

@testable import UrsaNet

@Suite("the host around networks", .enabled(if: PrivateHost.isPossible, "needs root for network namespaces"))
struct HostTests {
    @Test(
        "taps are on the bridge with our mark, come back after its loss, and go with their descriptor",
        .enabled(if: File.exists("/dev/net/tun"), "this kernel has no /dev/net/tun"))
    func taps() throws {
        try PrivateHost.run { host in
            let wish = try labWish()
            try host.networks.converge([wish])
            do {
                let tap = try host.networks.openTap(network: "lab", name: "u123456t0")
                let line = try host.ip("-d link show u123456t0", in: "ursa-lab")
                for part in ["master br0", "link/ether fe:", "alias ursa:0a1b2c3d:lab", "tun type tap", "vnet_hdr on"] {
                    #expect(line.contains(part), "\(part): \(line)")
                }
                #expect(!line.contains("persist on"))
                let error = #expect(throws: UrsaError.self) {
                    _ = try host.networks.openTap(network: "lab", name: "u123456t0")
                }
                #expect(error?.code == .conflict)
                try host.ip("link del br0", in: "ursa-lab")
                try host.networks.converge([wish])
                #expect(try host.ip("link show u123456t0", in: "ursa-lab").contains("master br0"))
                #expect(tap.raw >= 0)
                #expect(host.networks.mtu(ofTap: "u123456t0", network: "lab") == 1500)
            }
            // A child that another test starts in this moment has a copy of the descriptor until it becomes its program.
            let deadline = Deadline.after(seconds: 10)
            while try host.attempt("ip link show u123456t0", in: "ursa-lab").end.isSuccess, !deadline.isPast {
                pause(milliseconds: 20)
            }
            #expect(try !host.attempt("ip link show u123456t0", in: "ursa-lab").end.isSuccess)
            for name in ["", "br0", "stem", "a/b", "sixteen-letters-x", "a b", "%d"] {
                #expect(throws: UrsaError.self) { _ = try host.networks.openTap(network: "lab", name: name) }
            }
            let missing = #expect(throws: UrsaError.self) { _ = try host.networks.openTap(network: "no", name: "t") }
            #expect(missing?.code == .notFound)
        }
    }

    /// The kernel takes a stem away a moment after its namespace; whoever starts a machine then waits for the next bridge.
    @Test(
        "a stem that outlives its namespace is not taken for a bridge",
        .enabled(if: File.exists("/dev/net/tun"), "this kernel has no /dev/net/tun"))
    func stemWithoutNamespace() throws {
        try PrivateHost.run { host in
            let (stem, mark) = (host.networks.home.stemName("lab"), host.networks.home.alias("lab"))
            try host.ip("link add \(stem) type veth peer name other")
            try host.ip("link set \(stem) alias \(mark)")
            let missing = #expect(throws: UrsaError.self) {
                _ = try host.networks.openTap(network: "lab", name: "u123456t0")
            }
            #expect(missing?.code == .notFound)
        }
    }

    @Test(
        "a tap has as many queues as were asked for, each a descriptor, and goes with the last of them",
        .enabled(if: File.exists("/dev/net/tun"), "this kernel has no /dev/net/tun"))
    func tapQueues() throws {
        try PrivateHost.run { host in
            try host.networks.converge([try labWish()])
            var queues: [SharedFD] = try host.networks.openTap(network: "lab", name: "u123456t0", queues: 4)
            #expect(Set(queues.map(\.raw)).count == 4)
            let line = try host.ip("-d link show u123456t0", in: "ursa-lab")
            for part in ["master br0", "multi_queue numqueues 4", "vnet_hdr on", "persist off"] {
                #expect(line.contains(part), "\(part): \(line)")
            }
            queues.removeFirst(3)
            #expect(try host.ip("-d link show u123456t0", in: "ursa-lab").contains("numqueues 1"))
            queues = []
            let deadline = Deadline.after(seconds: 10)
            while try host.attempt("ip link show u123456t0", in: "ursa-lab").end.isSuccess, !deadline.isPast {
                pause(milliseconds: 20)
            }
            #expect(try !host.attempt("ip link show u123456t0", in: "ursa-lab").end.isSuccess)
            // One that is asked for one is as every tap was.
            let one: [SharedFD] = try host.networks.openTap(network: "lab", name: "u123456t0", queues: 1)
            #expect(try !host.ip("-d link show u123456t0", in: "ursa-lab").contains("multi_queue"))
            withExtendedLifetime(one) {}
        }
    }

    @Test("free subnets avoid addresses and routes of every table; collisions are named")
    func subnets() throws {
        try PrivateHost.run { host in
            let first = try host.networks.freeSubnet(taken: [])
            #expect(first.description == "10.77.0.0/24")
            try host.addNeighbour()
            try host.ip("route add 10.77.0.0/23 via 192.0.2.9 table 51820")
            let second = try host.networks.freeSubnet(taken: [required(IPv4Network("10.77.2.0/24"))])
            #expect(second.description == "10.77.3.0/24")
            let words = try host.networks.collision(of: first)
            #expect(words?.contains("10.77.0.0/23") == true && words?.contains("51820") == true)
            try host.ip("route add 10.0.0.0/8 via 192.0.2.9")
            #expect(try host.networks.freeSubnet(taken: []).description == "172.20.0.0/24")
            let six = try host.networks.freeSubnet6(taken: [])
            #expect(six.prefix == 64 && six.address.bytes[0] == 0xfd)
            try host.ip("route add \(six) via 2001:db8::9")
            #expect(try host.networks.freeSubnet6(taken: []) != six)
            #expect(try host.networks.collision(of: six) != nil)
        }
    }

    @Test("a running network does not collide with itself, but with others")
    func ownSubnet() throws {
        try PrivateHost.run { host in
            let wish = try labWish()
            try host.networks.converge([wish])
            #expect(try host.networks.collision(of: wish.subnet) == nil)
            #expect(try host.networks.collision(of: required(wish.subnet6)) == nil)
            #expect(try host.networks.collision(of: required(IPv4Network("10.77.0.0/16"))) != nil)
        }
    }

    @Test("forwarding is put back only where it is still ours, and accept_ra with it")
    func settings() throws {
        try PrivateHost.run { host in
            try host.addNeighbour()
            try host.sh("sysctl -qw net.ipv6.conf.eth0.accept_ra=1 net.ipv4.conf.eth0.forwarding=1")
            try host.networks.converge([labWish()])
            #expect(Sysctl.read("ipv6/conf/eth0/accept_ra") == "2")
            #expect(Sysctl.read("ipv6/conf/all/forwarding") == "1")
            try host.networks.converge([])
            #expect(Sysctl.read("ipv6/conf/eth0/accept_ra") == "1")
            #expect(Sysctl.read("ipv6/conf/all/forwarding") == "0")
            #expect(Sysctl.read("ipv4/ip_forward") == "0")
            #expect(Sysctl.read("ipv4/conf/eth0/forwarding") == "1")
            // A host that forwards by itself goes on doing so.
            try host.sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
            try host.networks.converge([labWish()])
            try host.networks.converge([])
            #expect(Sysctl.read("ipv4/ip_forward") == "1")
            #expect(Sysctl.read("ipv6/conf/all/forwarding") == "1")
        }
    }

    @Test("a names file that is a mount of its own is changed in place and given back to the byte")
    func mountedHosts() throws {
        let original = "127.0.0.1 localhost\n192.0.2.50 web # elsewhere"
        try PrivateHost.run(hosts: original) { host in
            let inner = "\(host.folder)/mounted"
            try File.replace(inner, text: original, mode: 0o640)
            try check(clinux_bind_mount(inner, host.home.hostsFile), "mount the names file")
            try host.networks.converge([labWish()])
            let text = try File.readText(inner)
            #expect(text.contains("10.77.0.11 db.lab.ursa.internal db\n"))
            // The short name is somebody else's already.
            #expect(text.contains("10.77.0.10 web.lab.ursa.internal\n"))
            try host.networks.converge([])
            #expect(try File.readText(inner) == original)
        }
    }

    @Test("names of the outside are asked of the host's own resolver")
    func upstream() throws {
        try PrivateHost.run { host in
            try host.addNeighbour()
            try host.setResolver("nameserver 192.0.2.9\n")
            let resolver = try host.background(
                "dnsmasq -k --conf-file=/dev/null --no-resolv --no-hosts --pid-file= --user=root "
                    + "--address=/outside.test/198.51.100.7", in: "w")
            defer { withExtendedLifetime(resolver) {} }
            try host.networks.converge([labWish()])
            try host.addLabGuests()
            let address = host.networks.resolves(network: "lab", name: "outside.test", seconds: 5)
            #expect(address?.description == "198.51.100.7")
            #expect(try host.sh("busybox nslookup -type=a outside.test 10.77.0.1", in: "web").contains("198.51.100.7"))
        }
    }

    @Test("machines come and go without a restart of dnsmasq")
    func members() throws {
        try PrivateHost.run { host in
            var wish = try labWish()
            try host.networks.converge([wish])
            let process = DnsmasqProcess(folder: host.home.folder(network: "lab"))
            let before = process.identity
            wish.members.removeFirst()
            let mac = MACAddress(0x5254_0000_0033)
            wish.members.append(Member(machine: "new", mac: mac, address: wish.subnet[50]))
            let steps = try host.networks.converge([wish])
            #expect(steps.map(\.line).first == "~ leases and names of lab: + new, - web")
            #expect(process.identity == before)
            let found = host.networks.resolves(network: "lab", name: "new", seconds: 5)
            #expect(found?.description == "10.77.0.50")
            let deadline = Deadline.after(seconds: 5)
            while host.networks.resolves(network: "lab", name: "web", seconds: 0) != nil, !deadline.isPast {
                pause(milliseconds: 20)
            }
            #expect(host.networks.resolves(network: "lab", name: "web", seconds: 0.2) == nil)
            try host.addGuest("new", on: "lab", mac: mac.description)
            #expect(try host.dhcp("new").contains("ip=10.77.0.50\n"))
            #expect(host.networks.plan([wish], try host.networks.observe()).map(\.line) == [])
        }
    }

    @Test("another subnet for a running network replaces every address")
    func otherSubnet() throws {
        try PrivateHost.run { host in
            var wish = try labWish()
            try host.networks.converge([wish])
            wish.subnet = try required(IPv4Network("10.99.0.0/25"))
            wish.subnet6 = nil
            wish.mtu = 1400
            for index in wish.members.indices {
                wish.members[index].address = wish.subnet[10 + UInt32(index)]
                wish.members[index].address6 = nil
            }
            try host.networks.converge([wish])
            #expect(host.networks.plan([wish], try host.networks.observe()).map(\.line) == [])
            #expect(try !host.ip("addr", in: "ursa-lab").contains("10.77."))
            #expect(try !host.ip("addr").contains("10.77."))
            #expect(try host.ip("link show br0", in: "ursa-lab").contains("mtu 1400"))
            let found = host.networks.resolves(network: "lab", name: "web", seconds: 5)
            #expect(found?.description == "10.99.0.10")
        }
    }

    @Test("a guest can't send from addresses outside its subnet")
    func spoofing() throws {
        try PrivateHost.run { host in
            try host.addNeighbour()
            try host.networks.converge([labWish()])
            try host.addLabGuests()
            let server = try host.serve("w", port: 80)
            defer { withExtendedLifetime(server) {} }
            #expect(try host.fetch("192.0.2.9", in: "web") != nil)
            try host.ip("addr add 192.0.2.77/32 dev eth0", in: "web")
            try host.ip("route add 192.0.2.77/32 via 192.0.2.2", in: "w")
            try host.sh("nft add table ip watch", in: "w")
            try host.sh("nft add chain ip watch in { type filter hook input priority 0 ; }", in: "w")
            try host.sh("nft add rule ip watch in ip saddr 192.0.2.77 counter", in: "w")
            let result = try host.attempt("curl -s --max-time 1 --interface 192.0.2.77 http://192.0.2.9/", in: "web")
            #expect(!result.end.isSuccess)
            #expect(try host.sh("nft list chain ip watch in", in: "w").contains("packets 0"))
        }
    }
}
