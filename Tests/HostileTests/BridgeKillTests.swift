import Glibc
import TestSupport
import Testing
import UrsaBase

/// kill -9 while the host's own interface becomes a port of a bridge, or gets its addresses back: the next command ends
/// with the addresses and routes at one place or the other, whole.
@Suite(
    .enabled(if: Can.networks, "needs root, dnsmasq and nft"),
    .enabled(if: Path.program("strace") != nil, "needs strace"),
    .timeLimit(.minutes(120)))
struct BridgeKillTests {
    private static let calls = ["sendto", "rename", "write", "unlink", "mkdir", "fdatasync", "ftruncate"]

    private func host() throws -> PrivateHost {
        let host = try PrivateHost()
        for words in [
            "link add eth0 type veth peer name wire", "link set wire up", "addr add 192.0.2.2/24 dev eth0",
            "addr add 192.0.2.3/24 dev eth0", "addr add 2001:db8::2/64 dev eth0 nodad", "link set eth0 up",
            "route add default via 192.0.2.9", "route add 203.0.113.0/24 via 192.0.2.9 metric 50",
            "route add default via 2001:db8::9",
        ] {
            try host.run("ip", words.split(separator: " ").map(String.init))
        }
        try File.replace(
            host.folder + "/ursa.yaml",
            text: """
                networks:
                  home: { bridged: { interface: eth0 }, start: always }
                """)
        // The kernel's link-local address takes a second to become certain.
        let deadline = Deadline.after(seconds: 10)
        while try host.run("ip", ["-6", "addr", "show", "dev", "eth0"]).contains("tentative"), !deadline.isPast {
            pause(milliseconds: 50)
        }
        return host
    }

    /// Addresses and routes of a link, without its name.
    private func state(_ host: PrivateHost, _ link: String) throws -> [String] {
        var lines = try host.run("ip", ["-br", "addr", "show", "dev", link]).split(separator: " ").dropFirst(2)
            .filter { $0.contains("/") }.map { $0.trimmed }
        for family in ["-4", "-6"] {
            lines += try host.run("ip", [family, "route", "show", "dev", link]).split(separator: "\n")
                .map { $0.trimmed.replacing(" linkdown", with: "") }
        }
        return lines.sorted()
    }

    private func killed(_ host: PrivateHost, at call: String, _ number: Int, _ arguments: [String]) throws -> Bool {
        let strace = [
            "-f", "-b", "execve", "-qq", "-o", "/dev/null", "-e", "trace=\(call)", "-e",
            "inject=\(call):signal=KILL:when=\(number)", Products.ursa,
        ]
        let result = try host.program("strace", strace + arguments).run(seconds: 60)
        return result.end == .signalled(SIGKILL) || result.end == .exited(128 + SIGKILL)
    }

    private func sweep(_ command: String) throws -> Int {
        let host = try host()
        let file = host.folder + "/ursa.yaml"
        let old = try state(host, "eth0")
        #expect(old.count >= 8, "\(old)")
        var kills = 0
        for call in Self.calls {
            var number = 1
            while number < 160 {
                if command == "down" { try host.ursaOK("up", "-f", file) }
                guard try killed(host, at: call, number, [command, "-f", file]) else { break }
                kills += 1
                let place = "\(command) killed at \(call) number \(number)"
                let settled = try host.ursa("settle")
                #expect(settled.end.isSuccess, "\(place): \(settled.errors)")
                let port = try state(host, "eth0")
                if port != old {
                    // The bridge has whatever name this home gives it.
                    let lines = try host.run("ip", ["-o", "link", "show", "type", "bridge"])
                    let name = lines.split(separator: ":").dropFirst().first.map { $0.trimmed } ?? "none"
                    #expect(try state(host, name) == old, "\(place)")
                    #expect(port.isEmpty, "\(place): \(port)")
                }
                let down = try host.ursa("down", "-f", file, "--rm")
                #expect(down.end.isSuccess, "\(place): \(down.errors)")
                #expect(try state(host, "eth0") == old, "\(place)")
                number += KillTests.isCampaign || number < 4 ? 1 : 7
            }
            _ = try host.ursa("down", "-f", file, "--rm")
        }
        let links = try host.run("ip", ["-o", "link"])
        #expect(!links.contains("ursa"))
        return kills
    }

    @Test func upKilledAtAnyChangeLeavesTheInterfaceWhole() throws {
        #expect(try sweep("up") > 10)
    }

    @Test func downKilledAtAnyChangeLeavesTheInterfaceWhole() throws {
        #expect(try sweep("down") > 8)
    }
}
