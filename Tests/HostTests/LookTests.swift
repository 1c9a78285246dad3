import Glibc
import TestSupport
import Testing
import UrsaBase

/// What a person asks of running networks, by the commands: lists, map, trace, promises, captures, impairments.
@Suite(.enabled(if: Can.guests, "needs root, QEMU, dnsmasq and nft"), .timeLimit(.minutes(120)))
struct LookTests {
    /// Two running machines behind a host that has somebody outside (192.0.2.9).
    private func host() throws -> PrivateHost {
        let host = try PrivateHost()
        try SharedImages.lend(to: host.home)
        try host.ip("netns add w")
        try host.ip("link add eth0 type veth peer name eth0 netns w")
        try host.ip("addr add 192.0.2.2/24 dev eth0")
        try host.ip("link set eth0 up")
        try host.ip("-n w addr add 192.0.2.9/24 dev eth0")
        try host.ip("-n w link set eth0 up")
        try host.ip("route add default via 192.0.2.9")
        try File.replace(host.folder + "/ursa.yaml", text: QuickstartTests.spec)
        try host.ursaOK("up", "-f", host.folder + "/ursa.yaml", "--wait", "--timeout", "120")
        return host
    }

    @Test("lists, maps, traces and tests of a running network agree with what runs")
    func questions() throws {
        let host = try host()
        let list = try JSON.parse(try host.ursaOK("net", "ls", "--json")).array?.first
        #expect(list?["state"]?.string == "up" && list?["members"]?.array?.count == 2)
        #expect(list?["members"]?.array?.allSatisfy { $0["lease"]?.string == "given" } == true)
        #expect(list?["ports"]?.array?.first?.string == "web: tcp 8080 → 80")

        let map = try JSON.parse(try host.ursaOK("net", "map", "--json"))
        #expect(map["gateways"]?.array?.first?["addresses"]?.array?.first?.string == "192.0.2.9")
        #expect(map["machines"]?.array?.allSatisfy { $0["running"] == .bool(true) } == true)
        try host.ursaOK("net", "map", "--svg", host.folder + "/map.svg")
        #expect(try File.readText(host.folder + "/map.svg").contains("10.77.0.20"))

        #expect(try host.ursaOK("net", "trace", "web -> db:80").contains("= it passes"))
        #expect(try host.ursaOK("net", "trace", "net", "web:80", "--live").contains("the port is published"))
        #expect(try host.ursa("net", "trace", "net", "db:80", "--live").end == .exited(1))

        let tested = try host.ursa("net", "test", "--json")
        let broken = try JSON.parse(tested.output).array?.filter { $0["kept"] == .bool(false) } ?? []
        #expect(tested.end.isSuccess && broken.isEmpty, "\(broken.map(\.text)) \(tested.errors)")
        #expect(try host.ursa("net", "doctor").end.isSuccess)
        #expect(try host.ursaOK("plan", "-f", host.folder + "/ursa.yaml").contains("nothing to change"))
    }

    @Test("a machine's frames are captured, lost on purpose, and whole again")
    func frames() throws {
        let host = try host()
        let file = host.folder + "/web.pcapng"
        let capture = try host.program(Products.ursa, ["net", "capture", "web", "-w", file, "-s", "6"]).start()
        pause(milliseconds: 1500)
        _ = try host.attempt("ping -4 -c 3 -i 0.2 web.lab.ursa.internal")
        #expect(try capture.wait().isSuccess)
        if Path.program("tcpdump") != nil {
            let told = try Program("tcpdump", ["-nr", file, "icmp"]).run().text
            #expect(told.split(separator: "\n").count >= 6, "\(told)")
        }
        try host.ursaOK("net", "impair", "web", "--loss", "100%")
        #expect(try !host.attempt("ping -c 2 -i 0.2 -W 1 web.lab.ursa.internal").end.isSuccess)
        #expect(try host.ursa("net", "ls").errors.contains("machine web is impaired on lab: loss 100 %"))
        try host.ursaOK("net", "impair", "web", "--clear")
        // The neighbour that didn't answer is asked again after a while only.
        let whole = try seconds(within: 20) {
            try host.attempt("ping -c 2 -i 0.2 -W 2 web.lab.ursa.internal").end.isSuccess
        }
        #expect(whole != nil)
    }
}
