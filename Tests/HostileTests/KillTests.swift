import Glibc
import TestSupport
import Testing
import UrsaBase

/// kill -9 of the command line at every system call that changes something: strace(1) sends the signal when a thread of
/// `ursa` makes its N-th call of a kind, for every kind and every N until the command gets through.
///
/// After each kill the listing must work, the command repeated must work, and `down` must leave nothing.
@Suite(
    .enabled(if: Can.guests, "needs root, QEMU, dnsmasq and nft"),
    .enabled(if: Path.program("strace") != nil, "needs strace"),
    .timeLimit(.minutes(120)))
struct KillTests {
    /// The calls by which `ursa` changes files, the store, the network, namespaces and processes.
    static let calls = [
        "write", "pwrite64", "sendto", "rename", "renameat2", "mkdir", "unlink", "fdatasync", "ftruncate", "ioctl",
        "unshare", "mount", "umount2", "bind", "connect", "vfork", "clone3", "pidfd_send_signal",
    ]
    /// In a campaign every N is tried; otherwise the many writes are sampled.
    static let isCampaign = getenv("URSA_CAMPAIGN") != nil

    private func host() throws -> PrivateHost {
        let host = try PrivateHost(
            spec: """
                networks: { lab: { nat: {} } }
                machines: { web: { image: tiny, memory: 128M, networks: [lab], publish: ["8080:80"] } }
                """)
        return host
    }

    /// Runs `ursa` and kills it at the N-th call; false when it got through.
    private func killed(_ host: PrivateHost, at call: String, _ number: Int, _ arguments: [String]) throws -> Bool {
        let strace = [
            "-f", "-b", "execve", "-qq", "-o", "/dev/null", "-e", "trace=\(call)", "-e",
            "inject=\(call):signal=KILL:when=\(number)", Products.ursa,
        ]
        let result = try host.program("strace", strace + arguments).run(seconds: 60)
        return result.end == .signalled(SIGKILL) || result.end == .exited(128 + SIGKILL)
    }

    private func sweep(_ host: PrivateHost, _ arguments: [String], prepare: () throws -> Void) throws -> Int {
        let file = host.folder + "/ursa.yaml"
        var kills = 0
        for call in KillTests.calls {
            var number = 1
            while number < 200 {
                try prepare()
                guard try killed(host, at: call, number, arguments) else { break }
                kills += 1
                let place = "killed at \(call) number \(number)"
                let listing = try host.ursa("ps", "-a")
                #expect(listing.end.isSuccess, "\(place): \(listing.errors)")
                if number % 2 == 0 {
                    // The same command again must get through ...
                    let again = try host.program(Products.ursa, arguments).run(seconds: 60)
                    #expect(again.end.isSuccess, "\(place): \(again.errors)")
                }
                // ... and taking it all away must leave nothing.
                let down = try host.ursa("down", "-f", file, "--kill", "--rm")
                #expect(down.end.isSuccess, "\(place): \(down.errors)")
                let left = try host.leftovers()
                #expect(left.isEmpty, "\(place): \(left)")
                number += KillTests.isCampaign || number < 8 ? 1 : 5
            }
            _ = try host.ursa("down", "-f", file, "--kill", "--rm")
        }
        let folders = File.list(host.home + "/machines")
        #expect(folders.isEmpty, "machine folders left: \(folders)")
        return kills
    }

    @Test func upKilledAtAnyChangeIsMendedByTheNextCommand() throws {
        let host = try host()
        let kills = try sweep(host, ["up", "-f", host.folder + "/ursa.yaml"]) {}
        #expect(kills > 40, "the sweep reached \(kills) points")
    }

    @Test func downKilledAtAnyChangeIsFinishedByTheNext() throws {
        let host = try host()
        let file = host.folder + "/ursa.yaml"
        let kills = try sweep(host, ["down", "-f", file, "--kill"]) { _ = try host.ursaOK("up", "-f", file) }
        #expect(kills > 15, "the sweep reached \(kills) points")
    }
}
