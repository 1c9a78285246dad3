import Glibc
import UrsaBase

/// Puts GRUB for BIOS machines on a disk image without mounting or attaching anything.
///
/// What grub-install does to a GPT disk with a BIOS boot partition (GRUB's include/grub/i386/pc/boot.h and
/// util/setup.c): the first sector gets boot.img, told where the core image begins; the core image lies in the BIOS
/// boot partition, its first sector (diskboot.img) told where the rest of it is.
enum BootLoader {
    /// First sector of the BIOS boot partition, right behind the GPT.
    static let coreSector: UInt64 = 34
    /// Sectors of the BIOS boot partition: up to the first MiB.
    static let coreSectors: UInt64 = 2048 - coreSector

    /// Modules of the core image: enough to read a kernel from ext4 and to show a menu.
    static let modules = [
        "biosdisk", "part_gpt", "ext2", "normal", "configfile", "linux", "serial", "terminal", "echo", "test", "reboot",
        "halt",
        "ls", "cat", "search", "search_label",
    ]

    /// Fits the two images to each other.
    ///
    /// - Parameter boot: boot.img, 512 bytes.
    /// - Parameter core: what grub-mkimage made for i386-pc.
    /// - Returns: both, ready to be written: the first at byte 0 (only its first 440 bytes: the partition table follows),
    ///   the second at sector `coreSector`.
    static func fitted(boot: [UInt8], core: [UInt8]) throws(UrsaError) -> (boot: [UInt8], core: [UInt8]) {
        guard boot.count == 512, boot.has([0x55, 0xaa], at: 510) else {
            throw UrsaError(.unsupported, "GRUB's boot.img has an unknown form")
        }
        let sectors = UInt64(core.count + 511) / 512
        guard core.count > 1024, sectors <= coreSectors else {
            throw UrsaError(.unsupported, "GRUB's core image has an impossible size: \(core.count) bytes")
        }
        // The block list that ends diskboot.img: start (8 bytes), sectors (2), segment (2); grub-mkimage has filled the
        // last two for a core image in one piece.
        guard let listed = core.littleEndian(UInt16.self, at: 508), UInt64(listed) == sectors - 1 else {
            throw UrsaError(.unsupported, "GRUB's core image has an unknown form")
        }
        var boot = Array(boot[0..<440])
        // GRUB_BOOT_MACHINE_KERNEL_SECTOR; and two NOPs at GRUB_BOOT_MACHINE_DRIVE_CHECK, as on every hard disk.
        boot.put(coreSector, at: 0x5c)
        boot.put(UInt16(0x9090), at: 0x66)
        var core = core
        core.put(coreSector + 1, at: 500)
        return (boot, core)
    }

    /// Writes the boot loader onto the raw disk at `disk`, which has its partitions already.
    static func install(on disk: String, workshop: ImageStore.Workshop) throws(UrsaError) {
        let packages = DebianPackages(store: workshop.store, progress: workshop.progress)
        let modulesTree = try packages.tree("grub-pc-bin")
        let tools = try packages.tree("grub-common")
        // grub-mkimage is linked with this library, which a host without GRUB may lack.
        let library = try packages.tree("libdevmapper1.02.1")
        let folder = modulesTree.path + "/usr/lib/grub/i386-pc"
        let corePath = Path.parent(disk) + "/core.img"
        var program = Program(
            tools.path + "/usr/bin/grub-mkimage",
            ["--directory", folder, "--format", "i386-pc", "--output", corePath, "--prefix", "(,gpt2)/boot/grub"]
                + modules)
        program.environment =
            DebianPackages.environment + ["LD_LIBRARY_PATH=\(library.path)/lib/x86_64-linux-gnu"]
        try program.require("make GRUB's core image")
        defer { unlink(corePath) }
        let (boot, core) = try fitted(
            boot: try File.read(folder + "/boot.img", limit: 4096), core: try File.read(corePath, limit: 2 << 20))
        let fd = try File.open(disk, O_WRONLY)
        for (bytes, offset) in [(boot, 0), (core, Int(coreSector) * 512)] {
            let written = try retrying("write the boot loader to \(disk)") {
                pwrite(fd.raw, bytes, bytes.count, off_t(offset))
            }
            guard written == bytes.count else {
                throw UrsaError(.io, "the boot loader was not written whole", place: disk)
            }
        }
    }
}
