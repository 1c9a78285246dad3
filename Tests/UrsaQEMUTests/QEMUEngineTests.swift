import Glibc
import Testing
import UrsaBase
import UrsaKeeper
import UrsaModel
import UrsaQEMU
import UrsaQMP

@Suite(.enabled(if: Path.program(QEMUProbe.programName) != nil, "qemu-system-x86_64 is not installed"))
struct QEMUEngineTests {
    @Test("QEMU accepts a machine with an overlay, a seed, kernel arguments and two cards, and opens no file by name")
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
}
