import Glibc
import Testing
import UrsaBase

@testable import UrsaImages

@Suite("Formats")
struct FormatTests {
    @Test("cpio and bsdtar read back what the cpio writer wrote", .enabled(if: has("cpio"), "needs cpio"))
    func cpio() throws {
        let folder = try TempFolder()
        var archive = CPIOArchive()
        try archive.addFolder("bin")
        try archive.addFile("bin/tool", mode: 0o755, [1, 2, 3])
        try archive.addLink("bin/sh", to: "tool")
        try archive.addFile("empty", [])
        let bytes = archive.finished()
        #expect(bytes.count % 512 == 0)
        let unpack = try Program("cpio", ["--extract", "--quiet", "--directory", folder.path]).run(input: bytes)
        #expect(unpack.end.isSuccess, "\(unpack.errors)")
        #expect(File.list(folder.path) == ["bin", "empty"])
        #expect(try File.read(folder("bin/tool")) == [1, 2, 3])
        #expect(try File.read(folder("bin/sh")) == [1, 2, 3])
        #expect(File.status(folder("bin/tool")).map { $0.st_mode & 0o777 } == 0o755)
        let listed = try Program("cpio", ["--list", "--verbose", "--quiet"]).run(input: bytes).text
        #expect(listed.contains("sh -> tool"))
        #expect(throws: UrsaError.self) { try archive.addFile("/etc/passwd", []) }
    }

    /// A bzImage of the least size, with the payload given.
    private func kernel(_ payload: [UInt8], offset: UInt32 = 0, length: UInt32? = nil, version: UInt16 = 0x020f)
        -> [UInt8]
    {
        var bytes = [UInt8](repeating: 0, count: 1024)
        bytes[0x1f1] = 1
        bytes.replaceSubrange(0x1fe..<0x200, with: [0x55, 0xaa])
        bytes.replaceSubrange(0x202..<0x206, with: Array("HdrS".utf8))
        bytes.put(version, at: 0x206)
        bytes.put(offset, at: 0x248)
        bytes.put(length ?? UInt32(payload.count), at: 0x24c)
        return bytes + payload
    }

    @Test("the payload of a kernel is found by its header")
    func payload() throws {
        let packed: [UInt8] = [0x02, 0x21, 0x4c, 0x18] + [UInt8](repeating: 7, count: 28)
        let image = try BootImage(kernel(packed))
        #expect(image.compression == .lz4)
        #expect(image.payload == 1024..<1024 + 28)
    }

    @Test("a kernel header that lies is refused, never followed")
    func hostileKernels() {
        let packed: [UInt8] = [0x02, 0x21, 0x4c, 0x18] + [UInt8](repeating: 7, count: 28)
        let good = kernel(packed)
        var hostile: [[UInt8]] = [
            [], [0x7f], kernel(packed, offset: .max), kernel(packed, length: .max), kernel(packed, offset: 31),
            kernel(packed, length: 0), kernel(packed, version: 0x0207), kernel([UInt8](repeating: 0, count: 32)),
        ]
        var manySectors = good
        manySectors[0x1f1] = 255
        hostile.append(manySectors)
        hostile += (0..<good.count - 1).filter { $0 % 37 == 0 || $0 < 600 }.map { Array(good[0..<$0]) }
        for bytes in hostile { #expect(throws: UrsaError.self) { try BootImage(bytes) } }
    }

    @Test("module dependencies are read from ELF, and broken ELF has none")
    func modules() {
        var elf = [UInt8](repeating: 0, count: 512)
        elf.replaceSubrange(0..<6, with: [0x7f, 0x45, 0x4c, 0x46, 2, 1])
        let info = Array("license=GPL\0depends=virtio-ring,virtio\0".utf8)
        elf.replaceSubrange(64..<64 + info.count, with: info)
        elf.replaceSubrange(200..<210, with: Array("\0.modinfo\0".utf8))
        elf.put(UInt64(256), at: 40)
        elf.put(UInt16(64), at: 58)
        elf.put(UInt16(2), at: 60)
        elf.put(UInt16(1), at: 62)
        elf.put(UInt32(1), at: 256)
        elf.put(UInt64(64), at: 256 + 24)
        elf.put(UInt64(info.count), at: 256 + 32)
        elf.put(UInt64(200), at: 320 + 24)
        elf.put(UInt64(10), at: 320 + 32)
        #expect(KernelModules.dependencies(elf) == ["virtio_ring", "virtio"])
        for offset in [40, 58, 60, 62, 256, 256 + 24, 256 + 32, 320 + 24, 320 + 32] {
            var broken = elf
            broken.put(UInt64.max, at: offset)
            _ = KernelModules.dependencies(broken)
        }
        for length in 0..<elf.count { _ = KernelModules.dependencies(Array(elf[0..<length])) }
    }

    @Test("qcow2 images that reach out of their file are refused", .enabled(if: has("qemu-img"), "needs qemu-img"))
    func hostileDisks() throws {
        let folder = try TempFolder()
        func make(_ arguments: [String]) throws {
            try Program("qemu-img", ["create", "-q"] + arguments).require("make")
        }
        try make(["-f", "qcow2", folder("plain.qcow2"), "10M"])
        try make(["-f", "qcow2", "-o", "compat=0.10", folder("old.qcow2"), "10M"])
        try make(["-f", "qcow2", "-F", "qcow2", "-b", folder("plain.qcow2"), folder("over.qcow2")])
        try make([
            "-f", "qcow2", "-o", "data_file=\(folder("data.raw")),data_file_raw=on", folder("outside.qcow2"), "10M",
        ])
        try make(["-f", "raw", folder("disk.img"), "10M"])
        try make(["-f", "raw", folder("disk.bin"), "10M"])
        try make(["-f", "vmdk", folder("disk.vmdk"), "10M"])
        try make(["-f", "qcow2", folder("really.raw"), "10M"])
        #expect(try DiskProbe.probe(folder("plain.qcow2")).virtualSize == .mebibytes(10))
        #expect(try DiskProbe.probe(folder("old.qcow2")).format == .qcow2)
        #expect(try DiskProbe.probe(folder("disk.img")).format == .raw)
        for name in ["over.qcow2", "outside.qcow2", "disk.bin", "disk.vmdk", "really.raw", "none.qcow2"] {
            #expect(throws: UrsaError.self, "\(name)") { try DiskProbe.probe(folder(name)) }
        }
        #expect(throws: UrsaError.self) { try DiskProbe.probe(folder.path) }
        let header = Array(try File.read(folder("plain.qcow2")).prefix(512))
        for length in 0..<104 { _ = try? DiskProbe.qcow2Size(Array(header[0..<length])) }
    }

    @Test("apt's answers are read, and sources of another release lead to the wanted one")
    func apt() {
        let control =
            "Package: a\nVersion: 1:2.0-1\nDepends: linux-image-6.1 (= 1), b | c, d\nSize: 5\n long\n\nPackage: z\nVersion: 9\n"
        let candidate = DebianPackages.Candidate(control: control)
        #expect(candidate?.version == "1:2.0-1")
        #expect(candidate?.depends == ["linux-image-6.1", "d"])
        #expect(DebianPackages.Candidate(control: "Version: ../../etc\n") == nil)
        let options = DebianPackages.Candidate(control: "Version: 1\nDepends: -o, linux-image-6.1, --x (= 1), .a\n")
        #expect(options?.depends == ["linux-image-6.1"])
        let own = AptSources.parse(
            "m:/d/|bookworm|main\nm:/d/|bookworm-updates|main\nm:/s/|bookworm-security|main\nm:/d/|bookworm|contrib\n")
        #expect(
            AptSources.lines(for: "bookworm", from: own) == [
                "deb m:/d/ bookworm main", "deb m:/d/ bookworm-updates main", "deb m:/s/ bookworm-security main",
            ])
        let newer = AptSources.parse("m:/d/|trixie|main\nm:/s/|trixie-security|main\nx:/y [a]|z|main\n")
        #expect(
            AptSources.lines(for: "bookworm", from: newer) == [
                "deb m:/d/ bookworm main", "deb m:/s/ bookworm-security main",
            ])
        #expect(AptSources.lines(for: "bookworm", from: AptSources.parse("m:/u/|noble|main\n")).isEmpty)
    }

    @Test("GRUB's two images are fitted to each other, and others are refused")
    func bootLoader() throws {
        var boot = [UInt8](repeating: 1, count: 512)
        boot.replaceSubrange(510..<512, with: [0x55, 0xaa])
        var core = [UInt8](repeating: 2, count: 3000)
        core.put(UInt16(5), at: 508)
        let fitted = try BootLoader.fitted(boot: boot, core: core)
        #expect(fitted.boot.count == 440)
        #expect(fitted.boot.littleEndian(UInt64.self, at: 0x5c) == 34)
        #expect(fitted.core.littleEndian(UInt64.self, at: 500) == 35)
        #expect(throws: UrsaError.self) { try BootLoader.fitted(boot: boot, core: Array(core[0..<2000])) }
        #expect(throws: UrsaError.self) { try BootLoader.fitted(boot: Array(boot[0..<511]), core: core) }
    }
}
