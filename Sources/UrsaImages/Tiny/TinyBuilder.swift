import Glibc
import UrsaBase

/// Builds the image `tiny`: Debian's kernel for clouds and busybox, all in memory, up in little more than the kernel's
/// own time. It has the network, a web page that says who answers, a shell on the console and a power button.
struct TinyBuilder {
    private let workshop: ImageStore.Workshop

    init(_ workshop: ImageStore.Workshop) { self.workshop = workshop }

    /// Makes the image's files; their paths are in the workshop's folder.
    func build() throws(UrsaError) -> Image {
        let packages = DebianPackages(store: workshop.store, progress: workshop.progress)
        // The package of this name is empty and depends on the kernel proper.
        let umbrella = "linux-image-cloud-amd64"
        guard let name = try packages.candidate(umbrella).depends.first(where: { $0.hasPrefix("linux-image-") }) else {
            throw UrsaError(
                .unsupported, "the package \(umbrella) names no kernel",
                remedy: "fetch a ready image with `ursa image pull`")
        }
        let kernel = try packages.tree(name)
        let busybox = try packages.tree("busybox-static")

        workshop.progress(Progress("unpacking the kernel"))
        guard let vmlinuz = File.list(kernel.path + "/boot").first(where: { $0.hasPrefix("vmlinuz-") }) else {
            throw UrsaError(.unsupported, "the package \(name) has no kernel in /boot", place: kernel.path)
        }
        let vmlinux = workshop.folder + "/vmlinux"
        try BootImage.unpack(kernel.path + "/boot/" + vmlinuz, to: vmlinux)

        workshop.progress(Progress("packing the first root file system"))
        let modules = KernelModules(folder: kernel.path + "/lib/modules")
        let archive = try TinyBuilder.archive(
            busybox: try File.read(busybox.path + "/bin/busybox", limit: 16 << 20), modules: modules)
        let initrd = workshop.folder + "/initrd"
        try File.replace(initrd, archive, mode: 0o644)
        return Image(
            name: "tiny",
            boot: .kernel(KernelBoot(kernel: vmlinux, initrd: initrd, arguments: TinyGuest.kernelArguments)),
            readyPort: 80, readyMarker: TinyGuest.readyMarker, seed: .none, minimumMemory: .mebibytes(96),
            origin: "built from \(name) \(kernel.version) and busybox \(busybox.version)")
    }

    /// The first root file system. It is not compressed: unpacking would cost the guest more than reading does.
    static func archive(busybox: [UInt8], modules: KernelModules) throws(UrsaError) -> [UInt8] {
        var archive = CPIOArchive()
        for folder in TinyGuest.folders { try archive.addFolder(folder) }
        try archive.addFile("bin/busybox", mode: 0o755, busybox)
        for (path, target) in TinyGuest.links { try archive.addLink(path, to: target) }
        for (path, mode, text) in TinyGuest.files { try archive.addFile(path, mode: mode, Array(text.utf8)) }

        var packed: Set<String> = []
        for driver in TinyGuest.drivers {
            let closure = try modules.closure(driver)
            for module in closure where packed.insert(module.name).inserted {
                try archive.addFile("lib/modules/\(module.name).ko", module.content)
            }
            let names = closure.map(\.name).joined(separator: " ")
            try archive.addFile("etc/drivers/\(driver)", Array((names + "\n").utf8))
        }
        return archive.finished()
    }
}
