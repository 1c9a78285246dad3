import Glibc
import UrsaBase
import UrsaDisk

/// Builds a Debian disk image out of signed packages: mmdebstrap fills a folder, mke2fs makes a file system of it,
/// sfdisk and `BootLoader` make that a disk that starts. No loop device, no mount on the host.
struct DebianBuilder {
    /// Debian's name for the release: `bookworm`.
    let release: String
    /// Size of the disk that machines see, unless they ask for more.
    static let diskSize = ByteCount.gibibytes(4)
    /// First byte of the root partition.
    private static let rootOffset: UInt64 = 1 << 20

    private let workshop: ImageStore.Workshop

    init(_ workshop: ImageStore.Workshop, release: String) {
        self.workshop = workshop
        self.release = release
    }

    /// Makes the image's files; their paths are in the workshop's folder.
    func build() throws(UrsaError) -> Image {
        try requirePrograms()
        guard geteuid() == 0 else {
            throw UrsaError(
                .permission, "building a Debian image needs root, for the owners of its files",
                remedy: "build it once with sudo, or fetch a ready image with `ursa image pull`")
        }
        try workshop.store.requireSpace(.gibibytes(3))
        let scratch = Path.parent(workshop.folder) + "/scratch"
        let root = scratch + "/root"
        try File.makeDirectory(scratch)
        let sources = try AptSources.lines(for: release)
        try bootstrap(root, sources: sources, scratch: scratch)
        let packages = try File.readText(root + "/var/lib/dpkg/status", limit: 64 << 20)
        let count = packages.split(separator: "\n").count { $0.hasPrefix("Package: ") }
        try clean(root)
        let kernel = try takeKernel(root)

        let raw = scratch + "/disk.raw"
        try makeDisk(raw, root: root)
        try BootLoader.install(on: raw, workshop: workshop)
        workshop.progress(Progress("writing the disk image"))
        let disk = workshop.folder + "/disk.qcow2"
        // The raw disk was made here a moment ago, and its format is stated.
        let source = RawImage(file: try ImageFile(raw))
        try Qcow2Image.create(try ImageFile.create(disk), Qcow2CreateOptions(size: source.size)).close()
        try Conversion.fill(disk, format: .qcow2, from: source)
        return Image(
            name: "debian", boot: .disk, diskKernel: kernel,
            disk: DiskFile(path: disk, format: .qcow2, virtualSize: DebianBuilder.diskSize),
            readyPort: 22, user: "root", readyMarker: DebianGuest.readyMarker, seed: .noCloud,
            origin: "built from \(count) packages of Debian \(release)")
    }

    private func requirePrograms() throws(UrsaError) {
        let needed = [
            ("mmdebstrap", "mmdebstrap"), ("mke2fs", "e2fsprogs"), ("sfdisk", "fdisk"),
            ("unshare", "util-linux"),
        ]
        let missing = needed.filter { Path.program($0.0) == nil }
        guard missing.isEmpty else {
            throw UrsaError(
                .unsupported, "this host lacks \(missing.map(\.0).joined(separator: ", ")) to build a Debian image",
                remedy: "apt install \(missing.map(\.1).joined(separator: " "))")
        }
    }

    private func bootstrap(_ root: String, sources: [String], scratch: String) throws(UrsaError) {
        let list = scratch + "/sources.list"
        try File.replace(list, text: sources.joined(separator: "\n") + "\n", mode: 0o644)
        let added = scratch + "/added"
        for (path, mode, text) in DebianGuest.files {
            try File.makeDirectory(Path.parent(added + "/" + path))
            try File.replace(added + "/" + path, text: text, mode: mode)
        }
        for (path, target) in DebianGuest.links {
            try File.makeDirectory(Path.parent(added + "/" + path))
            try UrsaBase.check(symlink(target, added + "/" + path) == 0 ? 0 : -errno, "make the link \(path)")
        }
        // mmdebstrap reads the words of this hook with a shell's quoting rules, without a shell.
        guard !added.contains("'"), !added.contains("\\") else {
            throw UrsaError(.unsupported, "the path of the image store has a quote in it", place: workshop.store.path)
        }
        let arguments = [
            "--mode=root", "--variant=minbase", "--format=directory",
            "--include=" + DebianGuest.packages.joined(separator: ","),
            "--essential-hook=sync-in '\(added)' /", release, root, list,
        ]
        // In a process namespace of their own, all its helpers end with it, also when Ursa is killed.
        let program = Program(
            "unshare", ["--fork", "--pid", "--mount-proc", "--kill-child=KILL", "mmdebstrap"] + arguments,
            environment: DebianPackages.environment + ["SOURCE_DATE_EPOCH=\(Int(wallClock()) / 86400 * 86400)"])
        let progress = workshop.progress
        try Follower.run(
            program, "install Debian's packages", seconds: 3600,
            line: { line in if line.hasPrefix("I: ") { progress(Progress("debian: " + line.dropFirst(3))) } })
    }

    /// Takes out what must not be the same on every machine, and what only the build needed.
    private func clean(_ root: String) throws(UrsaError) {
        for name in File.list(root + "/etc/ssh") where name.hasPrefix("ssh_host_") {
            try File.remove(root + "/etc/ssh/" + name)
        }
        for name in ["etc/machine-id", "etc/hostname", "var/lib/dbus/machine-id", "var/lib/systemd/random-seed"] {
            try File.remove(root + "/" + name)
        }
        // Empty, not missing: systemd makes an identity at the first boot and keeps it.
        try File.replace(root + "/etc/machine-id", [], mode: 0o444)
        try File.replace(root + "/etc/hostname", text: "debian\n", mode: 0o644)
        try File.replace(
            root + "/etc/hosts", text: "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n", mode: 0o644)
    }

    /// The kernel and its initramfs beside the disk, for engines that have no firmware. They follow the links that GRUB's
    /// menu follows; the image's kernel is started then also when the machine has installed a newer one.
    private func takeKernel(_ root: String) throws(UrsaError) -> KernelBoot {
        for (link, name) in [("vmlinuz", "vmlinuz"), ("initrd.img", "initrd")] {
            var buffer = [CChar](repeating: 0, count: 4096)
            let count = readlink(root + "/" + link, &buffer, buffer.count - 1)
            let target = String(decoding: buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
            guard target.hasPrefix("boot/"), !target.contains("..") else {
                throw UrsaError(
                    .unsupported, "the Debian system has no link /\(link) to a kernel in /boot", place: root)
            }
            let bytes = try File.read(root + "/" + target, limit: 256 << 20)
            try File.replace(workshop.folder + "/" + name, bytes, mode: 0o644)
        }
        return KernelBoot(
            kernel: workshop.folder + "/vmlinuz", initrd: workshop.folder + "/initrd",
            arguments: DebianGuest.kernelArguments)
    }

    private func makeDisk(_ raw: String, root: String) throws(UrsaError) {
        workshop.progress(Progress("making the file system"))
        let size = DebianBuilder.diskSize.bytes
        // The copy of the partition table takes the last 33 sectors; whole MiB are left free for it.
        let rootSize = size - DebianBuilder.rootOffset - (1 << 20)
        do {
            let fd = try File.open(raw, O_WRONLY | O_CREAT | O_EXCL, mode: 0o600)
            try retrying("make \(raw)") { ftruncate(fd.raw, off_t(size)) }
        }
        try Program(
            "mke2fs",
            [
                "-q", "-F", "-t", "ext4", "-L", DebianGuest.rootLabel, "-m", "1", "-d", root,
                "-E", "offset=\(DebianBuilder.rootOffset),nodiscard", raw, "\(rootSize / 1024)k",
            ]
        ).require("make the file system", seconds: 1200)

        // Types: BIOS boot; the root of an x86-64 system, by which systemd-repart finds what to grow.
        let table = """
            label: gpt
            first-lba: 34
            start=\(BootLoader.coreSector), size=\(BootLoader.coreSectors), type=21686148-6449-6E6F-744E-656564454649, name=boot
            start=\(DebianBuilder.rootOffset / 512), size=\(rootSize / 512), type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, name=root

            """
        try Program(
            "sfdisk",
            ["--quiet", "--no-reread", "--no-tell-kernel", "--wipe", "never", "--wipe-partitions", "never", raw]
        )
        .require("write the partition table", input: Array(table.utf8))
    }
}
