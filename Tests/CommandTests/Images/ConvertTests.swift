import Glibc
import Testing
import UrsaBase

@Suite(.enabled(if: DiskWorkshop.hasQEMU, "needs qemu-img and qemu-io"))
struct ConvertTests {
    @Test(
        "What is converted to qcow2 reads as before, in every form of the format",
        arguments: [
            [], ["-c"], ["-c", "-o", "compression_type=zstd"], ["-o", "cluster_size=512"],
            ["-c", "-o", "cluster_size=4k,refcount_bits=1"], ["-c", "-o", "cluster_size=2M,compression_type=zstd"],
            ["-o", "extended_l2=on"], ["-c", "-o", "extended_l2=on,refcount_bits=64"], ["-o", "compat=0.10"],
            ["-o", "refcount_bits=2,cluster_size=1k"], ["-o", "lazy_refcounts=on"], ["-S", "0"], ["-S", "64k"],
            ["-o", "preallocation=metadata"], ["-o", "preallocation=falloc"], ["-o", "data_file=d.raw"],
            ["-o", "data_file=d.raw,data_file_raw=on"], ["-W", "-m16"], ["-m", "1"], ["-r", "1G"], ["-t", "none"],
            ["-o", "size=20M"], ["-Wpq"],
        ])
    func toQcow2(_ options: [String]) throws {
        let shop = try DiskWorkshop()
        try shop.raw("a.raw", size: 7_654_912, seed: UInt64(options.joined().utf8.count))
        let words = ["image", "convert", "-f", "raw", "-O", "qcow2"] + options + ["a.raw", "b.qcow2"]
        let result = try shop.runner.run(bytes: words.map { Array($0.utf8) })
        #expect(result.end == .exited(0), "\(result.errors)")
        try shop.expectSound("b.qcow2")
        try shop.expectSame("a.raw", "raw", "b.qcow2", "qcow2")
        #expect(try shop.ursa("compare", "-f", "raw", "-F", "qcow2", "a.raw", "b.qcow2").end == .exited(0))
        try shop.make("convert", "-f", "qcow2", "-O", "raw", "b.qcow2", "c.raw")
        try shop.expectSame("a.raw", "raw", "c.raw", "raw")
        #expect(shop.unfinished == [])
    }

    @Test(
        "Images of other formats are read as qemu-img reads them",
        arguments: ["qcow", "vmdk", "vdi", "vpc", "vhdx", "parallels", "qed"])
    func fromOthers(_ format: String) throws {
        let shop = try DiskWorkshop()
        try shop.raw("a.raw", size: 5 << 20, seed: 7)
        try shop.qemu("convert", "-f", "raw", "-O", format, "a.raw", "b.img")
        try shop.make("convert", "-f", format, "-O", "qcow2", "b.img", "c.qcow2")
        try shop.make("convert", "-O", "raw", "b.img", "d.raw")
        try shop.expectSame("b.img", format, "c.qcow2", "qcow2")
        try shop.expectSame("b.img", format, "d.raw", "raw")
        try shop.expectSound("c.qcow2")
    }

    @Test(
        "Formats that are not ours are written by qemu-img",
        arguments: ["vmdk", "vdi", "vpc", "vhdx", "qed", "parallels"])
    func toOthers(_ format: String) throws {
        let shop = try DiskWorkshop()
        try shop.raw("a.raw", size: 5 << 20, seed: 8)
        try shop.make("convert", "-f", "raw", "-O", format, "a.raw", "b.img")
        try shop.expectSame("a.raw", "raw", "b.img", format)
        #expect(shop.unfinished == [])
        #expect(try shop.make("info", "b.img").contains("file format: \(format)"))
    }

    @Test("A chain becomes one image, or stays a difference with -B")
    func chains() throws {
        let shop = try DiskWorkshop()
        try shop.raw("base.raw", size: 4 << 20, seed: 3)
        try shop.make("create", "-q", "-f", "qcow2", "-b", "base.raw", "-F", "raw", "top.qcow2", "6M")
        try shop.io("qcow2", "top.qcow2", "write -P 1 100k 300k", "write -z 1M 128k", "write -P 2 5M 64k")
        try shop.make("convert", "-O", "qcow2", "top.qcow2", "flat.qcow2")
        try shop.expectSame("top.qcow2", "qcow2", "flat.qcow2", "qcow2")
        #expect(!(try shop.qemu("info", "flat.qcow2").contains("backing file")))
        for options in [[], ["-c"], ["-o", "compat=v2"]] {
            let words =
                ["convert", "-O", "qcow2", "-B", "base.raw", "-F", "raw"] + options + ["top.qcow2", "thin.qcow2"]
            let result = try shop.runner.run(bytes: (["image"] + words).map { Array($0.utf8) })
            #expect(result.end == .exited(0), "\(result.errors)")
            try shop.expectSame("top.qcow2", "qcow2", "thin.qcow2", "qcow2")
            try shop.expectSound("thin.qcow2")
            #expect(try shop.qemu("info", "thin.qcow2").contains("backing file: base.raw"))
        }
        // Only the differences are in it.
        #expect((File.status(shop.path("thin.qcow2")).map { Int($0.st_size) } ?? .max) < 2 << 20)
    }

    @Test("Several images are joined, a snapshot is read, and an existing image is written into")
    func others() throws {
        let shop = try DiskWorkshop()
        try shop.raw("a.raw", size: 1_000_448, seed: 1)
        try shop.raw("b.raw", size: 3 << 20, seed: 2)
        try shop.make("convert", "-f", "raw", "-O", "qcow2", "a.raw", "b.raw", "joined.qcow2")
        try shop.qemu("convert", "-f", "raw", "-O", "raw", "a.raw", "b.raw", "joined.raw")
        try shop.expectSame("joined.raw", "raw", "joined.qcow2", "qcow2")

        try shop.make("convert", "-f", "raw", "-O", "qcow2", "b.raw", "s.qcow2")
        try shop.qemu("snapshot", "-c", "before", "s.qcow2")
        try shop.io("qcow2", "s.qcow2", "write -P 77 0 2M")
        for name in ["before", "1", "snapshot.name=before", "snapshot.id=1,snapshot.name=before"] {
            try shop.make("convert", "-l", name, "-O", "raw", "s.qcow2", "old.raw")
            try shop.expectSame("old.raw", "raw", "b.raw", "raw")
        }
        #expect(try shop.ursa("convert", "-l", "never", "-O", "raw", "s.qcow2", "x.raw").end == .exited(1))
        #expect(!File.exists(shop.path("x.raw")))

        // What was there before is gone, longer or not; with -n the rest stays.
        try shop.make("convert", "-n", "-O", "qcow2", "-f", "raw", "a.raw", "s.qcow2")
        try shop.qemu("convert", "-n", "-O", "raw", "-f", "raw", "a.raw", "b.raw")
        try shop.qemu("convert", "-O", "raw", "s.qcow2", "s.raw")
        let (ours, theirs) = (try File.read(shop.path("s.raw")), try File.read(shop.path("b.raw")))
        #expect(ours.prefix(1_000_448) == theirs.prefix(1_000_448))
        #expect(ours.dropFirst(1_000_448).prefix(1 << 20).allSatisfy { $0 == 77 })
        try shop.expectSound("s.qcow2")
        #expect(try shop.ursa("convert", "-n", "-O", "raw", "-f", "raw", "a.raw", "none.raw").end == .exited(1))
    }

    @Test("Sizes that are no whole sectors are rounded up, and empty disks work")
    func oddSizes() throws {
        for size in [0, 1, 511, 513, 65535, 65537, 1_234_567] {
            let shop = try DiskWorkshop()
            try shop.raw("a.raw", size: size, seed: UInt64(size))
            for format in ["raw", "qcow2"] {
                try shop.make("convert", "-f", "raw", "-O", format, "a.raw", "ours")
                try shop.qemu("convert", "-f", "raw", "-O", format, "a.raw", "theirs")
                try shop.expectSame("ours", format, "theirs", format)
                #expect(try shop.qemu("info", "-f", format, "ours").contains("(\((size + 511) / 512 * 512) bytes)"))
            }
        }
    }

    @Test("Eight sparse terabytes cost neither time nor memory")
    func huge() throws {
        let shop = try DiskWorkshop()
        try shop.make("create", "-q", "-f", "qcow2", "-o", "cluster_size=2M", "big.qcow2", "8T")
        try shop.io("qcow2", "big.qcow2", "write -P 1 5T 1M", "write -P 2 8388607M 1M")
        try shop.make("convert", "-O", "qcow2", "big.qcow2", "copy.qcow2")
        try shop.expectSound("copy.qcow2")
        #expect(try shop.ursa("compare", "big.qcow2", "copy.qcow2").end == .exited(0))
        try shop.make("convert", "-O", "raw", "big.qcow2", "copy.raw")
        try shop.expectSame("big.qcow2", "qcow2", "copy.raw", "raw")
        #expect((File.status(shop.path("copy.raw")).map { Int($0.st_blocks) } ?? .max) < 16384)
    }

    @Test("Progress goes to standard output as qemu-img's does")
    func progress() throws {
        let shop = try DiskWorkshop()
        try shop.raw("a.raw", size: 8 << 20, seed: 5)
        let text = try shop.make("convert", "-p", "-f", "raw", "-O", "qcow2", "a.raw", "b.qcow2")
        #expect(text.hasPrefix("    (0.00/100%)\r"))
        #expect(text.hasSuffix("    (100.00/100%)\r\n"))
        let quiet = try shop.make("convert", "-pq", "-f", "raw", "-O", "qcow2", "a.raw", "b.qcow2")
        #expect(quiet == "")
    }

    @Test("A part is copied as by qemu-img dd")
    func duplicates() throws {
        let shop = try DiskWorkshop()
        try shop.raw("a.raw", size: 3 << 20, seed: 9)
        for words in [
            ["bs=1M", "count=2"], ["bs=64k", "skip=3"], ["bs=1k", "skip=100", "count=500"], ["bs=1000", "count=3"],
            ["count=7"], ["bs=1M", "skip=9"], ["bs=4k", "count=0"],
        ] {
            for format in ["raw", "qcow2"] {
                let theirs = try shop.qemu(["dd", "-f", "raw", "-O", format] + words + ["if=a.raw", "of=theirs"])
                let line = ["image", "dd", "-f", "raw", "-O", format] + words + ["if=a.raw", "of=ours"]
                let ours = try shop.runner.run(bytes: line.map { Array($0.utf8) })
                #expect(ours.end == theirs.end, "\(words): \(ours.errors)")
                try shop.expectSame("ours", format, "theirs", format)
                #expect(
                    try shop.qemu("info", "-f", format, "ours").split(separator: "\n")[2]
                        == shop.qemu("info", "-f", format, "theirs").split(separator: "\n")[2], "\(words) \(format)")
            }
        }
    }
}
