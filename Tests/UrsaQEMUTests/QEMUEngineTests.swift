import Glibc
import Testing
import UrsaBase
import UrsaKeeper
import UrsaModel
import UrsaQEMU
import UrsaQMP

@Suite(.enabled(if: Path.program(QEMUProbe.programName) != nil, "qemu-system-x86_64 is not installed"))
struct QEMUEngineTests {
    @Test("QEMU accepts a machine with an overlay, a seed, two cards and published ports")
    func everythingAtOnce() throws {
        let bench = try Bench()
        let base = try bench.image("base.qcow2", ["create", "-q", "-f", "qcow2"], size: "64M")
        let disk = try bench.image(
            "disk.qcow2", ["create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2"], size: "128M")
        let seed = bench.folder + "/seed.img"
        try File.replace(seed, [UInt8](repeating: 0, count: 1 << 20))
        var spec = MachineSpec(name: "every", image: "none", cpus: 2, memory: .mebibytes(128))
        let port = bench.freePort()
        spec.publish = [
            PublishSpec(hostAddress: .v4(IPv4Address(0x7f00_0001)), hostPort: port, guestPort: 80),
            PublishSpec(hostPort: port, guestPort: 53, transport: .udp),
        ]
        let launch = try QEMUEngine.make(
            spec, identity: "id-every", uuid: "6b1c6dba-8a0c-4b3c-9d5b-0c8f3c0e4a11", qemu: QEMUProbe.find(),
            accelerator: .tcg,
            images: .init(
                disk: .init(path: disk, format: .qcow2), backing: [.init(path: base, format: .qcow2)], seed: seed),
            nics: [.user(mac: MACAddress(0x5254_0000_0001)), .user(mac: MACAddress(0x5254_0000_0002))])
        let status = try bench.start(launch)
        #expect(status.state == .running)
        let client = try KeeperClient(folder: bench.folder)
        let blocks = try client.qmp("query-block").array ?? []
        #expect(blocks.compactMap { $0["inserted"]?["node-name"]?.string } == ["disk0", "disk1"])
        #expect(blocks.compactMap { $0["inserted"]?["ro"]?.bool } == [false, true])
        // The layers below are those handed over, not what the overlay's header names.
        #expect(blocks.first?["inserted"]?["image"]?["backing-image"]?["filename"]?.string == "/dev/fdset/14")
        let qmp = try QMPClient(bench.folder + "/qmp.sock")
        #expect(try qmp.execute("query-name")["name"]?.string == "every")
        #expect(try qmp.execute("query-uuid")["UUID"]?.string == "6b1c6dba-8a0c-4b3c-9d5b-0c8f3c0e4a11")
        #expect(try client.kill().reason == "killed on request")
    }

    @Test("a machine with a strange name runs under exactly that name", arguments: ["a,b=c", "-x", "a\"b\\c", "ü ,,"])
    func strangeName(name: String) throws {
        let bench = try Bench()
        let launch = try QEMUEngine.make(
            MachineSpec(name: name, image: "none", memory: .mebibytes(64)), identity: "id",
            uuid: "6b1c6dba-8a0c-4b3c-9d5b-0c8f3c0e4a11", qemu: QEMUProbe.find(), accelerator: .tcg, images: .init())
        #expect(try bench.start(launch).state == .running)
        #expect(try KeeperClient(folder: bench.folder).qmp("query-name")["name"]?.string == name)
    }

    @Test(
        "as another user the engine gets its files all the same, has no rights and no new ones",
        .enabled(if: geteuid() == 0, "only root can give the engine another user"))
    func otherUser() throws {
        let bench = try Bench()
        let disk = try bench.image("disk.qcow2", ["create", "-q", "-f", "qcow2"], size: "64M")
        #expect(chmod(disk, 0o600) == 0 && chmod(bench.folder, 0o700) == 0)
        let launch = try QEMUEngine.make(
            MachineSpec(name: "user", image: "none", memory: .mebibytes(64)), identity: "id",
            uuid: "6b1c6dba-8a0c-4b3c-9d5b-0c8f3c0e4a11", qemu: QEMUProbe.find(), accelerator: .tcg,
            images: .init(disk: .init(path: disk, format: .qcow2)),
            user: Program.User(uid: 65534, gid: 65534))
        let status = try bench.start(launch)
        let lines = (File.peek("/proc/\(status.engine?.pid ?? 0)/status") ?? "").split(separator: "\n").map(String.init)
        #expect(lines.contains { $0.hasPrefix("Uid:\t65534\t65534\t65534\t65534") })
        #expect(lines.contains("CapEff:\t0000000000000000"))
        #expect(lines.contains("NoNewPrivs:\t1"))
        #expect(lines.contains("Seccomp:\t2"))
        let blocks = try KeeperClient(folder: bench.folder).qmp("query-block").array ?? []
        #expect(blocks.first?["inserted"]?["ro"] == false)
    }

    @Test("the descriptors of taps are the inherited ones, in the order of the cards, with vhost where asked")
    func taps() throws {
        let qemu = QEMUInstallation(
            path: "/usr/bin/qemu", version: "7.2.0", machineType: "pc-q35-7.2", machineTypes: ["pc-q35-7.2"])
        var spec = MachineSpec(name: "taps", image: "none")
        spec.restart = .onFailure(limit: 3)
        spec.publish = [PublishSpec(hostPort: 1, guestPort: 2)]
        let launch = try QEMUEngine.make(
            spec, identity: "id", uuid: "u", qemu: qemu, accelerator: .kvm,
            images: .init(kernel: "/k", initrd: "/i", kernelArguments: "quiet"),
            nics: [.tap(mac: MACAddress(2), mtu: nil), .user(mac: MACAddress(4)), .tap(mac: MACAddress(6), mtu: 9000)],
            usesVhost: true)
        #expect(launch.files.map(\.path) == ["/k", "/i", "/dev/vhost-net", "/dev/vhost-net"])
        #expect(launch.inherited == [15, 17])
        #expect(launch.restart == .onFailure(limit: 3))
        #expect(launch.arguments.contains { $0.contains(#""fd":"15","vhost":true,"vhostfd":"16""#) })
        #expect(throws: UrsaError.self) {
            try QEMUEngine.make(
                spec, identity: "id", uuid: "u", qemu: qemu, machineType: "pc-q35-9.0", accelerator: .kvm,
                images: .init())
        }
    }
}
