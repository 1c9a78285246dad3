import TestSupport
import Testing
import UrsaBase

/// Stock kernels on real KVM, by our own monitor and by QEMU; each test is a scene that runs inside the lab.
@Suite(.enabled(if: Lab.obstacle == nil, "\(Lab.obstacle ?? "")"), .timeLimit(.minutes(120)))
struct LabTests {
    @Test func `a command's output and exit status come back from the lab`() throws {
        let environment = [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LAB_URSA=\(Products.ursa)",
            "LAB_HOME=\(Path.parent(try SharedImages.path()))", "WORD=two words",
        ]
        let program = Program(
            Lab.root + "/scripts/lab",
            [
                "run", "sh", "-c", #"echo "$WORD $1 $2"; echo oh >&2; test -w /dev/kvm && exit 7"#, "sh", "$HOME",
                "a  b",
            ],
            environment: environment)
        let result = try program.run(seconds: 600)
        #expect(result.end == .exited(7))
        #expect(result.text == "two words $HOME a  b\n")
        #expect(result.errors.hasSuffix("oh\n"))
    }

    @Test(arguments: ["ELF", "bzImage"])
    func `the stock kernel boots with two processors and powers off`(_ form: String) throws {
        let kernel = try Lab.kernel()
        try Lab.scene("boot", [form == "ELF" ? kernel.elf : kernel.bzImage, kernel.initrd])
    }

    @Test func `disks keep what was written over a reboot, and are clean`() throws {
        let kernel = try Lab.kernel()
        try Lab.scene("disk", [kernel.elf, kernel.initrd])
    }

    /// Packets go by our engine itself; in the next test, as with QEMU here, by the kernel's half of virtio-net.
    @Test(arguments: [("native", false), ("qemu", true)])
    func `the quickstart's machines find each other on KVM`(_ engine: String, _ vhost: Bool) throws {
        try Lab.scene(
            "quickstart", [Lab.root + "/examples/quickstart/ursa.yaml", engine],
            modules: Lab.networkModules + (vhost ? " vhost_net" : ""))
    }

    @Test func `a vanished tap, kill -9 and a full disk are told, and nothing is lost that was flushed`() throws {
        try Lab.scene("harm", [], modules: Lab.networkModules + " vhost_net")
    }

    /// The lab holds in its memory the guest's own, what the guest writes to its disk, and what is read of the image.
    @Test(.enabled(if: Lab.canBuildDebian, "takes minutes: set URSA_SLOW=1, as root and with mmdebstrap"))
    func `debian 12 comes up, is rebooted, and its disk is clean`() throws {
        try Lab.scene(
            "debian", [try SharedImages.path(with: "debian:12")], memory: 3072,
            modules: Lab.networkModules + " vhost_net")
    }
}
