import Glibc
import Testing
import UrsaBase

/// What `ursa image` prints beside what `qemu-img` prints of the same image.
@Suite(.enabled(if: DiskWorkshop.hasQEMU, "needs qemu-img and qemu-io"))
struct SameWordsTests {
    /// Images of every kind that raw and qcow2 have.
    private static func fill(_ shop: DiskWorkshop) throws -> [String] {
        try shop.qemu("create", "-q", "-f", "raw", "base.raw", "10M")
        try shop.io("raw", "base.raw", "write -P 5 1M 1M")
        try shop.qemu("create", "-q", "-f", "qcow2", "-b", "base.raw", "-F", "raw", "top.qcow2", "12M")
        try shop.io(
            "qcow2", "top.qcow2", "write -P 1 0 100k", "write -z 3M 64k", "write -P 2 5M 64k", "write -z -u 6M 1M")
        try shop.qemu("snapshot", "-c", "one", "top.qcow2")
        try shop.qemu("snapshot", "-c", "a name that is longer than its column", "top.qcow2")
        try shop.io("qcow2", "top.qcow2", "write -P 9 7M 64k")
        try shop.qemu("create", "-q", "-f", "qcow2", "-o", "compat=0.10", "old.qcow2", "3M")
        try shop.qemu(
            "create", "-q", "-f", "qcow2", "-o",
            "extended_l2=on,cluster_size=128k,lazy_refcounts=on,refcount_bits=32,compression_type=zstd", "new.qcow2",
            "5M")
        try shop.io("qcow2", "new.qcow2", "write -P 1 4k 8k", "write -z 3M 64k", "write -P 3 1M 1M")
        try shop.qemu("create", "-q", "-f", "qcow2", "-o", "data_file=data.raw", "split.qcow2", "4M")
        try shop.io("qcow2", "split.qcow2", "write -P 1 4k 80k")
        try shop.qemu("create", "-q", "-f", "qcow2", "bitmaps.qcow2", "4M")
        try shop.qemu("bitmap", "--add", "bitmaps.qcow2", "first")
        try shop.qemu("bitmap", "--add", "-g", "1M", "--disable", "bitmaps.qcow2", "second")
        try shop.qemu("convert", "-c", "-O", "qcow2", "top.qcow2", "packed.qcow2")
        try shop.qemu("create", "-q", "-f", "qcow2", "-o", "preallocation=metadata", "tables.qcow2", "3M")
        try shop.qemu("create", "-q", "-f", "qcow2", "-o", "preallocation=full", "full.qcow2", "1M")
        return [
            "base.raw", "top.qcow2", "old.qcow2", "new.qcow2", "split.qcow2", "bitmaps.qcow2", "packed.qcow2",
            "tables.qcow2", "full.qcow2",
        ]
    }

    private static let texts: [[String]] = [
        ["info"], ["info", "--backing-chain"], ["map"], ["map", "--output=json"],
        ["map", "--output=json", "--start-offset=512k", "--max-length=2M"], ["snapshot", "-l"], ["check"],
        ["measure", "-O", "qcow2"], ["measure", "-O", "raw"], ["measure", "-O", "qcow2", "-o", "preallocation=full"],
        ["measure", "-O", "qcow2", "-o", "cluster_size=4k,refcount_bits=64"],
        ["measure", "-O", "qcow2", "-o", "extended_l2=on,refcount_bits=1"],
    ]
    private static let objects: [[String]] = [
        ["info", "--output=json"], ["info", "--output=json", "--backing-chain"], ["check", "--output", "json"],
        ["measure", "--output=json", "-O", "qcow2"],
    ]

    @Test("What is told of an image is what qemu-img tells, word by word and field by field")
    func sameWords() throws {
        let shop = try DiskWorkshop()
        for image in try SameWordsTests.fill(shop) {
            for words in SameWordsTests.texts where image != "bitmaps.qcow2" || words != ["check"] {
                let theirs = try shop.qemu(words + [image])
                let ours = try shop.runner.run(bytes: (["image"] + words + [image]).map { Array($0.utf8) })
                #expect(ours.output == theirs.text, "\(words.joined(separator: " ")) \(image)")
                #expect(ours.end == theirs.end, "\(words.joined(separator: " ")) \(image): \(ours.errors)")
            }
            for words in SameWordsTests.objects where image != "bitmaps.qcow2" || words.first != "check" {
                let theirs = try shop.qemu(words + [image])
                let ours = try shop.runner.run(bytes: (["image"] + words + [image]).map { Array($0.utf8) })
                #expect(ours.end == theirs.end, "\(words.joined(separator: " ")) \(image): \(ours.errors)")
                guard theirs.text.first == "{" || theirs.text.first == "[" else { continue }
                let (left, right) = (try JSON.parse(ours.output), try JSON.parse(theirs.text))
                #expect(sorted(left) == sorted(right), "\(words.joined(separator: " ")) \(image)")
            }
        }
    }

    /// The order of members says nothing.
    private func sorted(_ value: JSON) -> JSON {
        switch value {
        case .array(let values): .array(values.map(sorted))
        case .object(let members):
            .object(members.map { JSON.Member($0.name, sorted($0.value)) }.sorted { $0.name < $1.name })
        default: value
        }
    }

    @Test(
        "A new image is announced, and made, as qemu-img does it",
        arguments: [
            ["-f", "qcow2", "a.img", "1G"], ["a.img", "1.5k"],
            ["-f", "raw", "-o", "preallocation=full", "a.img", "1000"],
            ["-f", "qcow2", "-o", "compat=v2", "a.img", "1M"], ["-f", "qcow2", "-o", "size=3M", "a.img"],
            ["-fqcow2", "-ocluster_size=4k", "-o", "refcount_bits=1", "a.img", "10M"],
            ["-f", "qcow2", "-o", "cluster_size=512,lazy_refcounts=on", "a.img", "10M"],
            ["-f", "qcow2", "-o", "preallocation=metadata,compat=1.1", "a.img", "10M"],
            ["-f", "qcow2", "-o", "preallocation=falloc,cluster_size=2M", "a.img", "10M"],
            ["-f", "qcow2", "-o", "extended_l2=on,compression_type=zstd", "a.img", "1T"],
            ["-f", "qcow2", "-b", "base.raw", "-F", "raw", "a.img"],
            ["-f", "qcow2", "-F", "raw", "-b", "nowhere.raw", "-u", "a.img", "5M"],
            ["-f", "qcow2", "-o", "backing_file=base.raw,backing_fmt=raw", "a.img", "64M"],
            ["-f", "qcow2", "-o", "data_file=d.raw,data_file_raw=on", "a.img", "5M"],
            ["-q", "-f", "qcow2", "a.img", "0x100000"],
        ])
    func announces(_ words: [String]) throws {
        let (one, other) = (try DiskWorkshop(), try DiskWorkshop())
        for shop in [one, other] { try shop.raw("base.raw", size: 3 << 20, seed: 1) }
        let theirs = try one.qemu(["create"] + words)
        let ours = try other.runner.run(bytes: (["image", "create"] + words).map { Array($0.utf8) })
        #expect(ours.output == theirs.text)
        #expect(ours.end == theirs.end && ours.end == .exited(0), "\(ours.errors)")
        if words.contains("qcow2") || words.contains("-fqcow2") {
            if !words.contains("-u") { try other.expectSound("a.img") }
            // Where tables lie, and so what they take, is for each to decide.
            func facts(_ shop: DiskWorkshop) throws -> [Substring] {
                try shop.qemu("info", "a.img").split(separator: "\n").filter { !$0.hasPrefix("disk size") }
            }
            #expect(try facts(one) == facts(other))
        } else {
            #expect(File.status(one.path("a.img"))?.st_size == File.status(other.path("a.img"))?.st_size)
        }
        #expect(other.unfinished == [])
    }

    @Test("Sizes on the command line are qemu-img's")
    func sizes() throws {
        let shop = try DiskWorkshop()
        for (text, size) in [
            ("1k", 1024), ("1K", 1024), ("1.5M", 1_572_864), ("0x200", 512), ("2048b", 2048), ("1G", 1 << 30),
        ] {
            try shop.make("create", "-q", "s.raw", text)
            #expect(File.status(shop.path("s.raw")).map { Int($0.st_size) } == size, "\(text)")
        }
        for text in ["", "k", "-1", "1KB", "1e3", "1.5", "9E", "0x", "1.2.3M", "１M", "NaN"] {
            #expect(try shop.ursa("create", "-q", "no.raw", "--", text).end == .exited(1), "\(text)")
        }
    }
}
