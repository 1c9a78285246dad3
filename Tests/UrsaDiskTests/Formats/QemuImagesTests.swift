import TestSupport
import Testing
import UrsaBase

@testable import UrsaDisk

/// One way in which qemu-img writes a format.
struct Written: Sendable, CustomTestStringConvertible {
    var format: DiskFormat
    var options: [String] = []
    /// Whether QEMU's own map of such an image says what is there; for the others it says only "data".
    var hasMap = true

    var testDescription: String { ([format.rawValue] + options).joined(separator: " ") }

    static let all = [
        Written(format: .qcow), Written(format: .vmdk),
        Written(format: .vmdk, options: ["-o", "subformat=streamOptimized"]),
        Written(format: .vmdk, options: ["-o", "zeroed_grain=on"]),
        Written(format: .vmdk, options: ["-o", "compat6=on"]),
        Written(format: .vmdk, options: ["-o", "subformat=monolithicFlat"], hasMap: false),
        Written(format: .vmdk, options: ["-o", "subformat=twoGbMaxExtentSparse"], hasMap: false),
        Written(format: .vmdk, options: ["-o", "subformat=twoGbMaxExtentFlat"], hasMap: false),
        Written(format: .vdi), Written(format: .vdi, options: ["-o", "static=on"], hasMap: false),
        Written(format: .vpc), Written(format: .vpc, options: ["-o", "force_size=on"]),
        Written(format: .vpc, options: ["-o", "subformat=fixed"], hasMap: false),
        Written(format: .vpc, options: ["-o", "subformat=fixed,force_size=on"], hasMap: false),
        Written(format: .vhdx, hasMap: false),
        Written(format: .vhdx, options: ["-o", "block_size=1M"], hasMap: false),
        Written(format: .vhdx, options: ["-o", "subformat=fixed,block_size=2M"], hasMap: false),
        Written(format: .parallels), Written(format: .parallels, options: ["-o", "cluster_size=64k"]),
    ]
}

@Suite(.enabled(if: QemuImg.isThere, "needs qemu-img")) struct QemuImagesTests {
    @Test(arguments: Written.all)
    func `an image that qemu-img wrote reads as qemu-img reads it`(_ written: Written) throws {
        let folder = try ScratchFolder()
        let raw = folder("disk.raw")
        let image = folder("disk.img")
        let back = folder("back.raw")
        let format = written.format.rawValue
        for seed in 0..<randomImages {
            var random = Seeded(seed &* 1000 &+ 17)
            let disk = random.disk(Int.random(in: 1...(3 << 11), using: &random) * 512)
            try write(disk, to: raw)
            try QemuImg.run(["convert", "-f", "raw", "-O", format] + written.options + [raw, image])
            let reader = try openForeign(image, written.format)
            let ours = try reader.content(seed: seed)
            try QemuImg.run("convert", "-f", format, "-O", "raw", image, back)
            let theirs = try File.read(back, limit: 64 << 20)
            #expect(difference(ours, theirs) == nil, "seed \(seed)")
            #expect(ours.begins(with: disk), "seed \(seed)")
            if written.hasMap { #expect(try reader.sectors() == QemuImg.map(image, written.format), "seed \(seed)") }
            for extent in try reader.extents(limit: 70_000) where extent.kind != .data {
                #expect(extent.kind == .zero || extent.kind == .unallocated)
            }
            try File.remove(image)
        }
    }

    @Test(arguments: Written.all)
    func `the first bytes tell the format`(_ written: Written) throws {
        let folder = try ScratchFolder()
        try QemuImg.run(["create", "-f", written.format.rawValue] + written.options + [folder("a"), "1M"])
        let header = Array(try File.read(folder("a"), limit: 64 << 20).prefix(512))
        // The content of a fixed vpc disk is the guest's: it can't be told.
        let isTold = !written.options.contains { $0.hasPrefix("subformat=fixed") && written.format == .vpc }
        #expect(ForeignImage.format(of: header) == (isTold ? written.format : nil))
    }

    @Test(arguments: Written.all.filter { $0.hasMap || $0.format == .vhdx })
    func `large disks that are almost empty are read without reading the holes`(_ written: Written) throws {
        if written.options.contains(where: { $0.contains("fixed") || $0.contains("cluster_size") }) { return }
        let folder = try ScratchFolder()
        let size: UInt64 = written.format == .vhdx ? 8 << 40 : 1900 << 30
        try QemuImg.run(["create", "-f", written.format.rawValue] + written.options + [folder("a"), "\(size)"])
        let reader = try openForeign(folder("a"), written.format)
        #expect(reader.size >= size)
        let extents = try reader.extents()
        #expect(extents.allSatisfy { $0.kind != .data })
        #expect(try reader.bytes(at: size - 4096, count: 4096).allSatisfy { $0 == 0 })
    }

    @Test func `a file beside a vmdk text that is not opened is asked for by name`() throws {
        let folder = try ScratchFolder()
        try QemuImg.run("create", "-f", "vmdk", "-o", "subformat=monolithicFlat", folder("a.vmdk"), "1M")
        let file = try ImageFile(folder("a.vmdk"))
        #expect(try ForeignImage.names(in: file, format: .vmdk) == ["a-flat.vmdk"])
        let error = #expect(throws: UrsaError.self) { try ForeignImage.open(file, format: .vmdk) }
        #expect(error?.description.contains("a-flat.vmdk") == true)
    }

    @Test func `images over others are refused by name, and qcow is read with what it was made over`() throws {
        let folder = try ScratchFolder()
        var random = Seeded(5)
        let disk = random.disk(700_416)
        try write(disk, to: folder("base.raw"))
        try QemuImg.run("create", "-f", "qcow", "-b", "base.raw", "-F", "raw", folder("a"), "1M")
        try Program("qemu-io", ["-f", "qcow", "-c", "write -P 7 12k 9k", folder("a")]).require("write into the overlay")
        let file = try ImageFile(folder("a"))
        #expect(try ForeignImage.names(in: file, format: .qcow) == ["base.raw"])
        #expect(throws: UrsaError.self) { try ForeignImage.open(file, format: .qcow) }
        let base = try FlatReader(ImageFile(folder("base.raw")), format: .raw, at: 0, size: UInt64(disk.count))
        let reader = try ForeignImage.open(file, format: .qcow, backing: base)
        try QemuImg.run("convert", "-f", "qcow", "-O", "raw", folder("a"), folder("b"))
        #expect(difference(try reader.content(), try File.read(folder("b"))) == nil)
        #expect(try reader.extent(at: 0, limit: 4096).kind == .unallocated)
        let alone = try ForeignImage.open(file, format: .qcow, alone: true)
        #expect(try alone.bytes(at: 0, count: 4096).allSatisfy { $0 == 0 })

        try QemuImg.run("create", "-f", "vmdk", folder("p.vmdk"), "1M")
        try QemuImg.run("create", "-f", "vmdk", "-b", "p.vmdk", "-F", "vmdk", folder("d.vmdk"))
        let error = #expect(throws: UrsaError.self) { try openForeign(folder("d.vmdk"), .vmdk) }
        #expect(error?.code == .unsupported && error?.message.contains("delta") == true)
    }

    @Test func `compressed clusters of qcow read as qemu-img reads them`() throws {
        let folder = try ScratchFolder()
        for seed in 0..<randomImages {
            var random = Seeded(seed &+ 77)
            try QemuImg.run("create", "-f", "qcow", folder("a"), "530k")
            var commands: [String] = []
            for cluster in 0..<40 where random.next() % 3 != 0 {
                try write(random.disk(4096), to: folder("\(cluster)"))
                let packed = random.next() % 4 == 0 ? "" : "-c "
                commands += ["-c", "write \(packed)-s \(folder("\(cluster)")) \(cluster * 4)k 4k"]
            }
            try Program("qemu-io", ["-f", "qcow"] + commands + [folder("a")]).require("write clusters")
            try QemuImg.run("convert", "-f", "qcow", "-O", "raw", folder("a"), folder("b"))
            let reader = try openForeign(folder("a"), .qcow)
            #expect(difference(try reader.content(seed: seed), try File.read(folder("b"))) == nil, "seed \(seed)")
            #expect(try reader.extents().contains { $0.isCompressed }, "seed \(seed)")
        }
    }

    @Test func `an encrypted qcow image is refused by name`() throws {
        let folder = try ScratchFolder()
        try QemuImg.run("create", "-f", "qcow", folder("a"), "1M")
        var bytes = try File.read(folder("a"))
        bytes[39] = 1
        let error = #expect(throws: UrsaError.self) {
            try ForeignImage.open(ImageFile(bytes: bytes, name: "a"), format: .qcow)
        }
        #expect(error?.code == .unsupported && error?.message.contains("encrypted") == true)
    }

    @Test func `the older parallels images count in sectors`() throws {
        let folder = try ScratchFolder()
        var random = Seeded(9)
        let disk = random.disk(3_000_320)
        try write(disk, to: folder("raw"))
        try QemuImg.run("convert", "-O", "parallels", "-o", "cluster_size=64k", folder("raw"), folder("a"))
        var bytes = try File.read(folder("a"))
        bytes.replaceSubrange(0..<16, with: "WithoutFreeSpace".utf8)
        let fields = Fields(bytes)
        for entry in 0..<Int(fields.little32(32)) {
            let value = fields.little32(64 + entry * 4) * fields.little32(28)
            withUnsafeBytes(of: value.littleEndian) { bytes.replaceSubrange(64 + entry * 4..<68 + entry * 4, with: $0) }
        }
        try write(bytes, to: folder("b"))
        let reader = try openForeign(folder("b"), .parallels)
        #expect(difference(try reader.content(), disk) == nil)
        try QemuImg.run("convert", "-f", "parallels", "-O", "raw", folder("b"), folder("back"))
        #expect(difference(try reader.content(), try File.read(folder("back"))) == nil)
    }
}
