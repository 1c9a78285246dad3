import Glibc
import TestSupport
import Testing
import UrsaBase

/// The KVM lab of `scripts/lab`: a Linux with a real /dev/kvm on whatever machine this is.
enum Lab {
    static let root = Path.parent(Path.parent(Path.parent(#filePath)))
    static let scenes = root + "/Tests/LabTests/Scenes/"

    /// What keeps the scenes from running; nil when nothing does.
    static let obstacle: String? = {
        if !Can.root { return "the lab needs root" }
        for program in ["qemu-system-x86_64", "busybox", "depmod", "cpio", "setpriv"] where Path.program(program) == nil
        {
            return "the lab needs \(program): scripts/install-packages lab"
        }
        if Products.monitor == nil { return "there is no ursa-vmm: scripts/build ursa-vmm" }
        return nil
    }()

    /// Whether the image debian:12 may be built here.
    static let canBuildDebian = getenv("URSA_SLOW") != nil && Can.root && Path.program("mmdebstrap") != nil

    /// What the rules of a network need of the kernel. It loads them by itself, but one after the other, each with a
    /// program of its own, and looks at all rules again after each.
    static let networkModules = "tun bridge veth nf_tables nft_chain_nat nft_masq nft_ct nft_nat nft_fib_inet"

    /// Two at a time: a lab uses a processor for itself.
    private static let places = Places(2)

    /// Runs a scene in a lab of one processor, see `scripts/lab`, and returns what it said.
    ///
    /// - Throws: with all that it said when it failed. It tells by itself which step hangs, so the limit of the whole is only for the
    ///   case that it can't any more.
    @discardableResult
    static func scene(
        _ name: String, _ arguments: [String], memory: Int = 1536, modules: String = ""
    ) throws -> String {
        let seconds = 2700
        let images = try SharedImages.path()
        var environment = [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root",
            "LAB_URSA=\(Products.ursa)", "URSA=\(Products.ursa)", "LAB_HOME=\(Path.parent(images))",
            "URSA_HOME=/run/ursa-home", "LAB_IMAGES=\(images)",
        ]
        if let monitor = Products.monitor { environment.append("URSA_VMM=\(monitor)") }
        if let keeper = Products.keeper { environment.append("URSA_KEEPER=\(keeper)") }
        var words = ["-m", "\(memory)", "-t", "\(seconds)", "-w", root + "/Tests/LabTests"]
        if !modules.isEmpty { words += ["-x", modules] }
        let program = Program(
            root + "/scripts/lab", words + ["run", scenes + name] + arguments, environment: environment)
        let began = Deadline.now
        let result = try places.withOne { try program.run(seconds: Double(seconds) + 60) }
        guard result.end.isSuccess else {
            throw UrsaError(.io, "the scene \(name) \(result.end)\n\(result.text)\n\(result.errors)")
        }
        print(
            "lab: \(name): \(result.text.split(separator: "\n").last ?? "") (\(Int(Deadline.now.seconds(since: began))) s)"
        )
        return result.text
    }

    /// The stock kernel unpacked, as a bzImage, and the tiny image's first root file system.
    static func kernel() throws -> (elf: String, bzImage: String, initrd: String) {
        let images = try SharedImages.path()
        let described = try Program(
            Products.ursa, ["image", "ls", "--json"],
            environment: ["URSA_HOME=\(Path.parent(images))", "PATH=/usr/bin:/bin", "HOME=/root"]
        ).require("list images")
        guard let tiny = try JSON.parse(described).array?.first(where: { $0["name"]?.string == "tiny" }),
            let elf = tiny["boot"]?["kernel"]?.string, let initrd = tiny["boot"]?["initrd"]?.string
        else { throw UrsaError(.notFound, "there is no image tiny in \(images)") }
        for package in File.list(images + "/packages") where package.hasPrefix("linux-image-") {
            let folder = "\(images)/packages/\(package)/boot"
            if let name = File.list(folder).first(where: { $0.hasPrefix("vmlinuz-") }) {
                return (elf, "\(folder)/\(name)", initrd)
            }
        }
        throw UrsaError(.notFound, "there is no kernel package in \(images)")
    }
}

/// So many at a time.
private final class Places: Sendable {
    private let free: Locked<Int>
    init(_ count: Int) { free = Locked(count) }

    func withOne<R>(_ body: () throws -> R) throws -> R {
        while !free.withLock({ count in
            guard count > 0 else { return false }
            count -= 1
            return true
        }) { pause(milliseconds: 50) }
        defer { free.withLock { $0 += 1 } }
        return try body()
    }
}
