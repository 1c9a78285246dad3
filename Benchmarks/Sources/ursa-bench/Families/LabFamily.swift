import UrsaBase

/// Our own monitor against QEMU, both on real KVM, in one boot of the lab (`scripts/lab`): start of the stock kernel, the
/// memory of the monitor itself, and the guest's disk and network.
///
/// The emulated kernel is most of each time, and every exit is dear there: the ratios count, not the milliseconds.
enum LabFamily: Family {
    static let name = "lab"

    static func measure(_ bench: Bench) throws(UrsaError) -> [Figure] {
        let kernel = try LabKernel(bench)
        return try measureBoots(bench, kernel) + LabRates.measure(bench, kernel)
    }

    /// Runs a script of Benchmarks/Lab inside of the lab; its lines that begin with `word`, in words after that.
    static func run(
        _ bench: Bench, _ script: String, _ arguments: [String], options: [String], word: String
    ) throws(UrsaError) -> [[String]] {
        let root = Path.parent(Path.parent(Path.parent(bench.ursa.path)))
        var lab = Program(
            root + "/scripts/lab",
            ["-e", "-s", "2", "-t", "5000"] + options + ["run", "\(root)/Benchmarks/Lab/\(script)"] + arguments)
        lab.environment = Environment.all + ["LAB_URSA=\(bench.ursa.path)", "LAB_HOME=\(bench.ursa.home)"]
        let output = try lab.require("measure in the lab", seconds: 5100)
        return output.split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ").map(String.init)
            return words.first == word ? Array(words.dropFirst()) : nil
        }
    }

    private static func measureBoots(_ bench: Bench, _ kernel: LabKernel) throws(UrsaError) -> [Figure] {
        bench.note("lab: \(bench.runs) rounds of six starts")
        let lines = try run(
            bench, "boots",
            ["\(bench.runs)", kernel.elf, kernel.bzImage, Path.parent(bench.ursa.path) + "/ursa-vmm", kernel.words],
            options: [], word: "sample")
        var times: [String: Series] = [:]
        var memory: [String: Series] = [:]
        for words in lines {
            guard words.count == 3, let time = Double(words[1]), let size = Double(words[2]) else { continue }
            times[words[0], default: Series()].add(time)
            memory[words[0], default: Series()].add(size)
        }
        func figure(
            _ name: String, _ meaning: String, _ values: [String: Series], _ ours: String, _ peer: String,
            _ unit: String, _ goal: Goal
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
                "MiB", .value(5)),
            try figure(
                "memory.share", "the same, as a share of QEMU's", memory, "ours-elf", "microvm-elf", "MiB",
                .ratio(0.125)),
        ]
    }
}

/// The stock kernel's two forms, and the words with which the image tiny starts it.
struct LabKernel {
    let elf: String
    let bzImage: String
    let words: String

    init(_ bench: Bench) throws(UrsaError) {
        let images = try JSON.parse(try bench.ursa("image", "ls", "--json"))
        guard let boot = images.array?.first(where: { $0["name"]?.string == "tiny" })?["boot"],
            let elf = boot["kernel"]?.string, let words = boot["arguments"]?.string
        else { throw UrsaError(.notFound, "the image tiny is not in the store", place: bench.ursa.home) }
        let packages = bench.ursa.home + "/images/packages"
        for package in File.list(packages) where package.hasPrefix("linux-image-") {
            let folder = "\(packages)/\(package)/boot"
            guard let name = File.list(folder).first(where: { $0.hasPrefix("vmlinuz-") }) else { continue }
            (self.elf, bzImage, self.words) = (elf, "\(folder)/\(name)", words)
            return
        }
        throw UrsaError(.notFound, "there is no kernel package in the store", place: packages)
    }
}
