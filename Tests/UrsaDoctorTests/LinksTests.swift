import Testing
import UrsaBase

@testable import UrsaDoctor

@Suite("Doctor: links and routes")
struct LinksTests {
    private static let routes =
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
        + "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
    private static let second = "eth1\t00000000\t016433C6\t0003\t0\t0\t10\t00000000\t0\t0\t0\n"
    private static let advertised =
        "00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
        + "fe800000000000000000000000000001 00000400 00000002 00000000 00450003     eth0\n"

    @Test("an advertised default route that forwarding will end is told with the setting that keeps it")
    func advertised() throws {
        let host = try FakeHost(["/proc/net/ipv6_route": Self.advertised])
        #expect(try host.single(AdvertisedRouteCheck()).severity == .ok)
        try host.write("/proc/sys/net/ipv6/conf/eth0/forwarding", "1")
        try host.write("/proc/sys/net/ipv6/conf/eth0/accept_ra", "1")
        let finding = try host.single(AdvertisedRouteCheck())
        #expect(finding.severity == .warning && finding.remedy == "sysctl -w net.ipv6.conf.eth0.accept_ra=2")
        try host.write("/proc/sys/net/ipv6/conf/eth0/accept_ra", "2")
        #expect(try host.single(AdvertisedRouteCheck()).severity == .ok)
    }

    @Test("a strict reverse path filter matters only with several uplinks")
    func reversePath() throws {
        let host = try FakeHost(["/proc/net/route": Self.routes, "/proc/sys/net/ipv4/conf/all/rp_filter": "1"])
        #expect(try host.single(ReversePathCheck()).severity == .ok)
        try host.write("/proc/net/route", Self.routes + Self.second)
        #expect(
            host.examine(ReversePathCheck()).map(\.remedy) == [
                "sysctl -w net.ipv4.conf.eth0.rp_filter=2", "sysctl -w net.ipv4.conf.eth1.rp_filter=2",
            ])
        try host.write("/proc/sys/net/ipv4/conf/all/rp_filter", "2")
        #expect(try host.single(ReversePathCheck()).severity == .ok)
    }

    @Test("bridges that speak STP or snoop without a querier are named with what mends them")
    func bridges() throws {
        let host = try FakeHost([
            "/sys/class/net/br0/bridge/stp_state": "1", "/sys/class/net/br0/bridge/forward_delay": "1500",
            "/sys/class/net/br0/bridge/multicast_snooping": "1", "/sys/class/net/br0/bridge/multicast_querier": "0",
            "/sys/class/net/br0/brif/eth0/port_no": "1", "/sys/class/net/eth0/mtu": "1500",
        ])
        let findings = host.examine(BridgePortsCheck())
        #expect(
            findings.map(\.remedy) == [
                "ip link set br0 type bridge stp_state 0", "ip link set br0 type bridge mcast_snooping 0",
            ])
        #expect(findings[0].message.contains("30 s"))
    }

    @Test("Wi-Fi is told, on a bridge it is a warning")
    func wireless() throws {
        let host = try FakeHost(["/sys/class/net/wlan0/phy80211/name": "phy0", "/sys/class/net/eth0/mtu": "1500"])
        #expect(try host.single(WirelessCheck()).severity == .note)
        try host.write("/sys/class/net/wlan0/brport/state", "3")
        #expect(try host.single(WirelessCheck()).remedy == "ip link set wlan0 nomaster")
    }

    @Test("a way outside narrower than the networks is told")
    func frames() throws {
        let host = try FakeHost(["/proc/net/route": Self.routes, "/sys/class/net/eth0/mtu": "1500"])
        #expect(try host.single(FrameSizeCheck()).severity == .ok)
        try host.write("/sys/class/net/eth0/mtu", "1420")
        #expect(try host.single(FrameSizeCheck()).severity == .note)
        try host.write("/sys/class/net/ursa-lab/mtu", "1500")
        try host.write("/sys/class/net/ursa-lab/ifalias", "ursa:0a1b2c3d:lab")
        let finding = try host.single(FrameSizeCheck())
        #expect(finding.severity == .warning && finding.message.contains("ursa-lab more"))
    }
}
