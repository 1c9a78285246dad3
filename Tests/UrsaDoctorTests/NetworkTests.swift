import CLinux
import Glibc
import Testing
import UrsaBase

@testable import UrsaDoctor

@Suite("Doctor: network")
struct NetworkTests {
    @Test func forwardingIsTold() throws {
        let host = try FakeHost(["/proc/sys/net/ipv4/ip_forward": "1", "/proc/sys/net/ipv6/conf/all/forwarding": "0"])
        let finding = try host.single(ForwardingCheck())
        #expect(finding.severity == .note && finding.message.hasPrefix("IPv6 off"))
        try host.write("/proc/sys/net/ipv6/conf/all/forwarding", "1")
        try host.write("/sys/class/net/docker0/operstate", "up")
        #expect(try host.single(ForwardingCheck()).message == "on, perhaps by Docker")
    }

    @Test func bridgeFilterIsTold() throws {
        let host = try FakeHost()
        #expect(try host.single(BridgeFilterCheck()).severity == .ok)
        try host.write("/proc/sys/net/bridge/bridge-nf-call-iptables", "1")
        #expect(try host.single(BridgeFilterCheck()).remedy == "sysctl -w net.bridge.bridge-nf-call-iptables=0")
    }

    private static let header =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    private static func row(_ address: String, inode: Int, state: String = "07") -> String {
        "   0: \(address) 00000000:0000 \(state) 00000000:00000000 00:00000000 00000000     0        0 \(inode) 2 0 0\n"
    }

    @Test func holderOfADNSPortIsNamedWithItsService() throws {
        let host = try FakeHost(["/proc/net/udp": Self.header + Self.row("00000000:0035", inode: 4711)])
        #expect(try host.single(ServicePortsCheck()).message.contains("by an unknown process"))
        try host.write("/proc/99/comm", "named\u{1b}[31m\n")
        try host.write("/proc/99/cgroup", "0::/system.slice/named.service\n")
        try File.makeDirectory(host.root + "/proc/99/fd")
        symlink("socket:[4711]", host.root + "/proc/99/fd/3")
        let finding = try host.single(ServicePortsCheck())
        #expect(finding.severity == .warning && finding.remedy == "systemctl disable --now named.service")
        #expect(finding.message.contains("by named?[31m (pid 99)"), "control characters are taken out")
        try host.write("/proc/99/cmdline", "dnsmasq\0--conf-file=\(host.facts.run)/lab/dnsmasq.conf\0")
        #expect(try host.single(ServicePortsCheck()).severity == .ok, "Ursa's own dnsmasq is no stranger")
    }

    @Test(arguments: ["0100007F:0035", "0500A8C0:0035", "00000000:0036", "garbage", "00000000:zz", ":"])
    func otherSocketsHoldNothing(_ address: String) throws {
        let host = try FakeHost(["/proc/net/udp": Self.header + Self.row(address, inode: 1)])
        #expect(try host.single(ServicePortsCheck()).severity == .ok)
    }

    @Test func resolverIsTold() throws {
        let host = try FakeHost()
        #expect(try host.single(ResolverCheck()).message.contains("names no server"))
        try host.write("/etc/resolv.conf", "# stub\nnameserver 127.0.0.53\noptions edns0\n")
        #expect(try host.single(ResolverCheck()).message.contains("nothing answers"))
        try host.write("/proc/net/udp", Self.header + Self.row("3500007F:0035", inode: 1))
        #expect(try host.single(ResolverCheck()).severity == .note)
        try host.write("/run/systemd/resolve/resolv.conf", "nameserver 192.0.2.1\n")
        #expect(try host.single(ResolverCheck()).message.contains("192.0.2.1"))
        try host.write("/etc/resolv.conf", "nameserver 192.0.2.7\n")
        #expect(try host.single(ResolverCheck()).message == "names of the outside by 192.0.2.7")
    }
}
