import Glibc
import UrsaBase

/// Disk images: converting, the small verbs and random access, against qemu-img on the same files.
enum ImageFamily: Family {
    static let name = "image"

    /// 2 GiB of which every other 64 KiB are noise and the rest a hole.
    private static let size = 2 << 30

    static func measure(_ bench: Bench) throws(UrsaError) -> [Figure] {
        let folder = bench.scratch + "/images"
        try File.makeDirectory(folder)
        try makeSource(folder + "/source.raw")
        bench.note("image: qemu-img makes the images that are read")
        try qemu(
            "convert", "-W", "-m", "16", "-f", "raw", "-O", "qcow2", folder + "/source.raw", folder + "/source.qcow2")
        try qemu("create", "-q", "-f", "qcow2", folder + "/empty.qcow2", "2G")
        return try conversions(bench, folder) + small(bench, folder) + requests(bench, folder)
    }

    private static func makeSource(_ path: String) throws(UrsaError) {
        let fd = try File.open(path, O_RDWR | O_CREAT | O_TRUNC)
        try retrying("size \(path)") { ftruncate(fd.raw, off_t(size)) }
        var state: UInt64 = 1
        var bytes = [UInt64](repeating: 0, count: 8192)
        for offset in stride(from: 0, to: size, by: 131072) {
            for index in bytes.indices {
                state ^= state << 13
                state ^= state >> 7
                state ^= state << 17
                bytes[index] = state
            }
            let count = try retrying("write \(path)") {
                bytes.withUnsafeBytes { pwrite(fd.raw, $0.baseAddress, $0.count, off_t(offset)) }
            }
            guard count == 65536 else { throw UrsaError(.io, "the source image could not be written") }
        }
    }

    private static func qemu(_ words: String...) throws(UrsaError) { try qemu(words) }
    private static func qemu(_ words: [String]) throws(UrsaError) {
        try Program("qemu-img", words).require("run qemu-img \(words.first ?? "")", seconds: 300)
    }
    private static func ursa(_ bench: Bench, _ words: [String]) throws(UrsaError) {
        try Program(bench.ursa.path, ["image"] + words).require("run ursa image \(words.first ?? "")", seconds: 300)
    }

    // MARK: conversions

    private static func conversions(_ bench: Bench, _ folder: String) throws(UrsaError) -> [Figure] {
        var figures: [Figure] = []
        let (raw, qcow2, target) = (folder + "/source.raw", folder + "/source.qcow2", folder + "/target")
        for (name, words, extra, goal) in [
            ("raw-to-qcow2", ["convert", "-f", "raw", "-O", "qcow2", raw, target], ["-W", "-m", "16"], 1 / 1.4),
            ("qcow2-to-raw", ["convert", "-f", "qcow2", "-O", "raw", qcow2, target], ["-W", "-m", "16"], 1 / 1.4),
            ("compress-zlib", ["convert", "-c", "-f", "raw", "-O", "qcow2", raw, target], [], 1 / 4.0),
            (
                "compress-zstd",
                ["convert", "-c", "-f", "raw", "-O", "qcow2", "-o", "compression_type=zstd", raw, target], [], 1 / 1.5
            ),
        ] as [(String, [String], [String], Double)] {
            bench.note("image: \(name)")
            let times = try bench.alternate { () throws(UrsaError) in
                try File.remove(target)
                return try milliseconds { () throws(UrsaError) in try ursa(bench, words) }
            } peer: { () throws(UrsaError) in
                try File.remove(target)
                return try milliseconds { () throws(UrsaError) in try qemu([words[0]] + extra + words.dropFirst()) }
            }
            let line = (extra + words.dropFirst().dropLast(2)).joined(separator: " ")
            figures.append(
                Figure(
                    name: "image.\(name)", meaning: "`convert` of 2 GiB, half data; `qemu-img convert \(line)`",
                    ours: times.ours, peer: times.peer, unit: "ms", goal: .ratio(goal)))
        }
        try File.remove(target)
        return figures
    }

    // MARK: small verbs

    private static func small(_ bench: Bench, _ folder: String) throws(UrsaError) -> [Figure] {
        let (image, made) = (folder + "/source.qcow2", folder + "/made.qcow2")
        var figures: [Figure] = []
        for (name, words, after) in [
            ("create", ["create", "-q", "-f", "qcow2", made, "2G"], []), ("info", ["info", image], []),
            ("check", ["check", image], []),
            ("snapshot", ["snapshot", "-c", "one", image], ["snapshot", "-d", "one", image]),
        ] as [(String, [String], [String])] {
            let times = try bench.alternate { () throws(UrsaError) in
                try File.remove(made)
                let time = try milliseconds { () throws(UrsaError) in try ursa(bench, words) }
                if !after.isEmpty { try qemu(after) }
                return time
            } peer: { () throws(UrsaError) in
                try File.remove(made)
                let time = try milliseconds { () throws(UrsaError) in try qemu(words) }
                if !after.isEmpty { try qemu(after) }
                return time
            }
            figures.append(
                Figure(
                    name: "image.\(name)", meaning: "`ursa image \(name)` of a 2 GiB image; `qemu-img \(name)`",
                    ours: times.ours, peer: times.peer, unit: "ms", goal: .ratio(1)))
        }
        try File.remove(made)
        return figures
    }

    // MARK: requests

    /// Random places come from a step that is prime in units of 4 KiB: each place once, far from the one before.
    private static func requests(_ bench: Bench, _ folder: String) throws(UrsaError) -> [Figure] {
        let (raw, qcow2) = (folder + "/full.raw", folder + "/full.qcow2")
        try qemu("create", "-q", "-f", "raw", "-o", "preallocation=full", folder + "/made.raw", "512M")
        try qemu("convert", "-S", "0", "-f", "raw", "-O", "qcow2", folder + "/made.raw", folder + "/made.qcow2")
        // Both written in the same way: how a file came into the page cache, in large pieces or small ones, else decides
        // about the speed of writing more than its format does.
        try Program("cp", ["--reflink=never", folder + "/made.raw", raw]).require("copy an image", seconds: 60)
        try Program("cp", ["--reflink=never", folder + "/made.qcow2", qcow2]).require("copy an image", seconds: 60)
        try Program("sync", ["-f", qcow2]).require("write the images out", seconds: 60)
        func time(_ format: String, _ path: String, _ extra: [String]) throws(UrsaError) -> Double {
            let words = ["bench", "--json", "-c", "200000", "-d", "16", "-S", "\(4096 * 7919)", "-f", format] + extra
            let text = try Program(bench.ursa.path, ["image"] + words + [path]).require(
                "run ursa image bench", seconds: 300)
            guard case .number(let seconds)? = try JSON.parse(text)["seconds"] else {
                throw UrsaError(.bug, "ursa image bench told no time")
            }
            return seconds * 1000
        }
        var figures: [Figure] = []
        for (name, extra) in [("random-read", []), ("random-write", ["-w"])] as [(String, [String])] {
            let times = try bench.alternate { () throws(UrsaError) in
                try time("qcow2", qcow2, extra)
            } peer: { () throws(UrsaError) in
                try time("raw", raw, extra)
            }
            figures.append(
                Figure(
                    name: "image.\(name)", meaning: "200 000 requests of 4 KiB at random places: qcow2; raw",
                    ours: times.ours, peer: times.peer, unit: "ms", goal: .ratio(1.1)))
        }
        return figures
    }
}
