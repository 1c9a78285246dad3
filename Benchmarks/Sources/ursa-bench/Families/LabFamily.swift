import UrsaBase

/// Our own monitor against QEMU, both on real KVM, in one boot of the lab (`scripts/lab`): start of the stock kernel, and
/// the memory of the monitor itself.
///
/// The emulated kernel is most of each time, and every exit is dear there: the ratios count, not the milliseconds.
enum LabFamily: Family {
    static let name = "lab"

    static func measure(_ bench: Bench) throws(UrsaError) -> [Figure] {
        let programs = Path.parent(bench.ursa.path)
        let root = Path.parent(Path.parent(programs))
        let (vmlinux, vmlinuz) = try kernel(bench)
        bench.note("lab: \(bench.runs) rounds of six starts")
        var lab = Program(
            root + "/scripts/lab",
            [
                "-e", "-s", "2", "-t", "1500", "run", root + "/Benchmarks/Lab/boots", "\(bench.runs)", vmlinux, vmlinuz,
                programs + "/ursa-vmm",
            ])
        lab.environment = Environment.all + ["LAB_URSA=\(bench.ursa.path)", "LAB_HOME=\(bench.ursa.home)"]
        let output = try lab.require("measure in the lab", seconds: 1600)
        var times: [String: Series] = [:]
        var memory: [String: Series] = [:]
        for line in output.split(separator: "\n") {
            let words = line.split(separator: " ")
            guard words.count == 4, words[0] == "sample", let time = Double(words[2]), let size = Double(words[3])
            else {
                continue
            }
            times[String(words[1]), default: Series()].add(time)
            memory[String(words[1]), default: Series()].add(size)
        }
        func figure(
            _ name: String, _ meaning: String, _ values: [String: Series], _ ours: String, _ peer: String,
            _ unit: String,
            _ goal: Goal
        ) throws(UrsaError) -> Figure {
            guard let ours = values[ours], let peer = values[peer], ours.values.count == bench.runs else {
                throw UrsaError(.io, "the lab did not measure \(name)")
            }
            return Figure(name: "lab.\(name)", meaning: meaning, ours: ours, peer: peer, unit: unit, goal: goal)
        }
        let start = "start to the guest's first line, "
        return [
            try figure(
                "boot.elf", start + "ELF kernel; QEMU microvm,rtc=on", times, "ours-elf", "microvm-elf", "ms",
                .ratio(0.8)),
            try figure(
                "boot.bzimage", start + "bzImage; QEMU microvm,rtc=on", times, "ours-bzimage", "microvm-bzimage", "ms",
                .ratio(0.8)),
            try figure(
                "boot.lean", start + "ELF kernel, virtio-mmio; QEMU microvm,rtc=on", times, "ours-lean", "microvm-elf",
                "ms", .ratio(0.8)),
            try figure("boot.q35", start + "ELF kernel; QEMU q35", times, "ours-elf", "q35-elf", "ms", .ratio(0.8)),
            try figure(
                "memory", "resident memory besides the guest's; QEMU microvm's", memory, "ours-elf", "microvm-elf",
                "MiB",
                .value(5)),
            try figure(
                "memory.share", "the same, as a share of QEMU's", memory, "ours-elf", "microvm-elf", "MiB",
                .ratio(0.125)),
        ]
    }

    /// The stock kernel's two forms, from the image store.
    private static func kernel(_ bench: Bench) throws(UrsaError) -> (elf: String, bzImage: String) {
        let images = bench.ursa.home + "/images"
        for package in File.list(images + "/packages") where package.hasPrefix("linux-image-") {
            let folder = "\(images)/packages/\(package)/boot"
            guard let bzImage = File.list(folder).first(where: { $0.hasPrefix("vmlinuz-") }) else { continue }
            for image in File.list(images + "/images") where File.exists("\(images)/images/\(image)/vmlinux") {
                return ("\(images)/images/\(image)/vmlinux", "\(folder)/\(bzImage)")
            }
        }
        throw UrsaError(.notFound, "the image tiny is not in the store", place: images)
    }
}
