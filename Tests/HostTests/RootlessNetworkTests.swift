import Glibc
import TestSupport
import Testing
import UrsaBase

/// The suites of UrsaNet once more, by an ordinary user in a user namespace: models, published ports, addresses and names
/// are the same code there, so they keep the same promises.
@Suite(.enabled(if: Can.networks, "needs root to become somebody else, dnsmasq and nft"), .timeLimit(.minutes(120)))
struct RootlessNetworkTests {
    /// DHCP clients that check checksums need ports that take the tun node's way; without it frames go by packet sockets,
    /// and ports have no offloads that a checksum could be left to.
    @Test(arguments: [
        (tunIsOpen: true, suites: "ModelTests|RoutebackTests|LeaseTests|TrafficTests"),
        (tunIsOpen: false, suites: "ModelTests|RoutebackTests|TrafficTests"),
    ])
    func `an ordinary user's networks keep the promises of every model`(tunIsOpen: Bool, suites: String) throws {
        let host = try PrivateHost()
        var name = [CChar](repeating: 0, count: 4096)
        let length = readlink("/proc/self/exe", &name, name.count)
        let program = String(decoding: name.prefix(max(0, length)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        try host.run("mount", ["-t", "tmpfs", "-o", "mode=1777", "tmpfs", "/run"])
        // The build may stand where only root goes.
        let products = "/run/products"
        try host.run("mkdir", [products])
        try host.run("mount", ["--bind", Path.parent(program), products])
        let node = "/run/tun"
        try host.run("mknod", ["-m", tunIsOpen ? "666" : "600", node, "c", "10", "200"])
        try host.run("mount", ["--bind", node, "/dev/net/tun"])
        let output = try host.program(
            "setpriv",
            [
                "--reuid", "12345", "--regid", "12345", "--clear-groups", "env", "-i", "-C", "/run", "HOME=/run",
                "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "unshare", "--user", "--map-root-user", "--net", "--mount",
                "--pid", "--fork", "--mount-proc", "--kill-child", products + "/" + Path.name(program),
                "--testing-library", "swift-testing", "--filter", "UrsaNetTests\\.(\(suites))",
            ]
        ).run(seconds: 900)
        let lines = (output.text + output.errors).split(separator: "\n")
        let end = lines.last { $0.contains("Test run with") } ?? "no test ran"
        let failures = lines.filter { $0.hasPrefix("✘") || $0.contains(" skipped") }
        #expect(
            output.end.isSuccess && end.contains(" passed") && failures.isEmpty,
            "\(end)\n\(failures.joined(separator: "\n"))\n\(output.errors.suffix(500))")
        #expect((end.split(separator: " ").compactMap { Int($0) }.first ?? 0) >= 13, "\(end)")
    }
}
