import Glibc
import Testing
import UrsaBase

@testable import UrsaImages

extension Tag {
    /// Takes minutes; runs where URSA_SLOW=1 is set.
    @Tag static var slow: Self
}

@Suite("The image debian:12", .serialized)
struct DebianTests {
    static let canBuild =
        getenv("URSA_SLOW") != nil && geteuid() == 0
        && has(
            "mmdebstrap", "mke2fs", "sfdisk", "qemu-img", "unshare", "qemu-system-x86_64", "ssh", "ssh-keygen", "e2fsck"
        )

    @Test(
        "builds, boots, lets ssh in with the seed's key, grows its root, ends by the power button", .tags(.slow),
        .enabled(if: canBuild, "takes minutes: set URSA_SLOW=1, as root, with mmdebstrap, qemu and ssh"),
        .timeLimit(.minutes(120)))
    func buildsAndBoots() throws {
        let folder = try TempFolder()
        let store = ImageStore(folder: try SharedStore.folder())
        let began = Deadline.now
        let image = try store.ensure("debian:12") { progress in print("  \(progress.activity)") }
        print("debian:12: \(image.size.rounded) in \(Int(Deadline.now.seconds(since: began))) s")
        let base = try #require(image.disk)

        // The image itself: no damage, and nothing that machines must not share.
        try Program("qemu-img", ["check", "-q", base.path]).require("check the image")
        let raw = folder("check.raw")
        try Program("qemu-img", ["convert", "-O", "raw", base.path, raw]).require("unpack", seconds: 300)
        try Program("e2fsck", ["-f", "-n", raw + "?offset=1048576"]).require("check the file system", seconds: 300)
        try Program("sfdisk", ["--verify", raw]).require("check the partition table")
        try File.remove(raw)

        let key = folder("key")
        try Program("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", key]).require("make a key")
        let seed = folder("seed.iso")
        try FirstBoot(
            hostName: "web", instanceIdentifier: "web-1", sshKeys: [try File.readText(key + ".pub")], user: "root"
        ).writeSeed(path: seed)
        let disk = folder("disk.qcow2")
        try Overlay.create(path: disk, base: image, size: .gibibytes(6))

        let port = freePort()
        let guest = try Guest(image, folder: folder.path, disk: disk, seed: seed, forward: [port: 22], memory: 512)
        let isUp = guest.wait(for: try #require(image.readyMarker), seconds: 240)
        print("debian:12: up after \(Deadline.now.seconds(since: guest.started)) s")
        try #require(isUp, "\(guest.output.suffix(4000))")
        let answer = try ssh(
            port, key: key,
            "hostname; cat /etc/machine-id; df --output=size -B1M / | tail -1; systemctl is-system-running --wait; systemctl --failed --plain --no-legend; ls /etc/ssh/*_key; networkctl --no-pager --no-legend"
        )
        print(answer)
        let lines = answer.split(separator: "\n").map(String.init)
        #expect(lines.first == "web")
        #expect(lines.count > 3 && lines[1].count == 32)
        #expect(Int(lines[2].trimmed).map { $0 > 5500 } == true, "the root file system did not grow: \(answer)")
        #expect(lines[3] == "running", "\(answer)")
        try guest.command("system_powerdown")
        #expect(try guest.end(seconds: 90) == .exited(0))
        try Program("qemu-img", ["check", "-q", disk]).require("check the machine's disk")
    }

    private func ssh(_ port: UInt16, key: String, _ command: String) throws(UrsaError) -> String {
        try Program(
            "ssh",
            [
                "-i", key, "-p", "\(port)", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
                "-o", "LogLevel=ERROR", "-o", "BatchMode=yes", "-o", "ConnectTimeout=60", "root@127.0.0.1", command,
            ]
        ).require("log in", seconds: 180)
    }
}
