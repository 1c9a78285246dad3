import Glibc
import Testing
import UrsaBase
import UrsaFirewall

@testable import UrsaNet

@Suite("testing promises", .enabled(if: PrivateHost.isPossible, "needs root for network namespaces"))
struct PromiseTests {
    private func run(_ host: PrivateHost, _ wish: HostWish) throws -> [Promise] {
        try PromiseTest(home: host.home, wish: wish, view: host.networks.view()).run()
    }

    private func broken(_ promises: [Promise]) -> [Promise] { promises.filter { !$0.isKept } }

    private func isClean(_ host: PrivateHost) throws -> Bool {
        let here = try host.ip("link") + host.sh("nft list tables")
        let inside = try host.ip("link", in: "ursa-lab") + host.sh("nft list tables", in: "ursa-lab")
        return ["utrace", "uprobe", "ursa_trace"].allSatisfy { !here.contains($0) && !inside.contains($0) }
    }

    @Test("a whole network keeps all its promises, and nothing is left of the test")
    func whole() throws {
        try PrivateHost.run { host in
            try host.addNeighbour()
            var lab = try labWish()
            lab.ports = [port(8080, of: lab, 0)]
            try host.networks.converge([lab])
            try host.addLabGuests()
            let server = try host.serve("web", port: 80)
            defer { withExtendedLifetime(server) {} }
            let promises = try run(host, HostWish(networks: [lab]))
            #expect(broken(promises).isEmpty, "\(broken(promises))")
            for topic in ["addresses", "names", "neighbours", "outside", "passage", "ports"] {
                #expect(promises.contains { $0.topic == topic }, "nothing about \(topic)")
            }
            #expect(
                promises.contains { $0.what == "lab: web is offered its address by DHCP" && $0.seen == "10.77.0.10" })
            #expect(promises.contains { $0.what == "lab: PTR of db by IPv6" && $0.seen == "db.lab.ursa.internal" })
            #expect(try isClean(host))
        }
    }

    @Test("what is broken is found: a dead name server, a port where nobody listens, a foreign rule")
    func damaged() throws {
        try PrivateHost.run { host in
            try host.addNeighbour()
            var lab = try labWish()
            lab.ports = [port(8080, of: lab, 0)]
            try host.networks.converge([lab])
            try host.addLabGuests()
            DnsmasqProcess(folder: host.home.folder(network: "lab")).identity?.signal(SIGKILL)
            try host.sh("nft add table ip filter")
            try host.sh("nft add chain ip filter FORWARD { type filter hook forward priority 0 ; policy drop ; }")
            let promises = broken(try run(host, HostWish(networks: [lab])))
            #expect(promises.contains { $0.topic == "names" && $0.seen == "silence" })
            #expect(promises.contains { $0.topic == "addresses" && $0.seen == "no offer" })
            #expect(promises.contains { $0.topic == "passage" && $0.why.contains("chain FORWARD of table ip filter") })
            #expect(promises.contains { $0.topic == "ports" })
            #expect(try isClean(host))
        }
    }

    @Test("zones are tried by every protocol, rules by their ports")
    func zones() throws {
        try PrivateHost.run { host in
            try host.addNeighbour()
            let lab = try labWish(machines: ["web"])
            let firewall = Firewall(
                zones: [Zone(name: "kvm", members: [.network("lab")])],
                policies: [
                    Policy(from: "host", to: "any", action: .accept), Policy(from: "kvm", to: "host", action: .reject),
                    Policy(from: "kvm", to: "any", action: .accept), Policy(from: "any", to: "any", action: .drop),
                ],
                rules: [Rule(from: "kvm", to: "host", transport: .tcp, ports: [22...22], action: .accept)])
            let wish = HostWish(networks: [lab], firewall: firewall)
            try host.networks.converge(wish)
            try host.addGuest("web", on: "lab", mac: "52:54:00:00:00:01")
            _ = try host.dhcp("web")
            let promises = try run(host, wish)
            #expect(broken(promises).isEmpty, "\(broken(promises))")
            #expect(promises.contains { $0.what == "web → host, tcp 22" && $0.seen == "passes" })
            #expect(promises.contains { $0.what == "web → host, tcp 9" && $0.seen == "rejected" })
            #expect(promises.contains { $0.what == "outside → web, udp 9" && $0.seen == "dropped" })
            #expect(try isClean(host))
        }
    }
}

@Suite("questions of the probes")
struct ProbeTests {
    @Test("checksums are those of RFC 1071, and a packet is found again in a frame")
    func packets() throws {
        #expect(ProbePacket.checksum([0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]) == 0x220d)
        let packet = ProbePacket(
            kind: .tcp, source: try required(IPAddress("10.0.0.1")), destination: try required(IPAddress("10.0.0.2")),
            sourcePort: 41_234, port: 80)
        let frame = packet.frame(to: MACAddress(2), from: MACAddress(1))
        #expect(packet.isIn(frame))
        #expect(ProbePacket.checksum(Array(frame[14..<34])) == 0)
        #expect(
            FrameText.line(CapturedFrame(time: 0, isOutgoing: false, length: frame.count, bytes: frame))
                == "TCP 10.0.0.1:41234 > 10.0.0.2:80 SYN")
        var other = packet
        other.sourcePort = 41_235
        #expect(!other.isIn(frame) && !packet.isIn([]) && !packet.isIn(Array(frame.prefix(30))))
    }

    @Test("reverse names are written as DNS wants them")
    func reverse() throws {
        #expect(NameQuestion.reverse(try required(IPAddress("10.77.0.11"))).name == "11.0.77.10.in-addr.arpa")
        #expect(
            NameQuestion.reverse(try required(IPAddress("fd77::1"))).name
                == "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.7.7.d.f.ip6.arpa")
    }

    @Test("answers that lie about their lengths give nothing")
    func answers() throws {
        let question = NameQuestion(kind: .ptr, name: "11.0.77.10.in-addr.arpa")
        var answer = try required(question.message(id: 7))
        answer[2] = 0x81
        answer[7] = 1
        // A name that points at itself, type PTR, class IN, time to live, length, a pointer to itself.
        answer += [0xc0, 0x0c, 0, 12, 0, 1, 0, 0, 0, 0, 0, 2, 0xc0, UInt8(answer.count + 12)]
        #expect(question.answers(answer, id: 7) == [])
        for count in 0..<answer.count { _ = question.answers(Array(answer.prefix(count)), id: 7) }
        #expect(question.answers(answer, id: 8) == nil)
    }
}
