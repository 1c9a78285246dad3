import TestSupport
import Testing
import UrsaBase

@testable import UrsaDisk

/// Formats that no program here writes: images made by the tests, and read by us and by qemu-img.
@Suite(.enabled(if: QemuImg.isThere, "needs qemu-img")) struct GeneratedImagesTests {
    private func compare(_ image: [UInt8], _ format: DiskFormat, _ disk: [UInt8], _ seed: UInt64) throws {
        let folder = try ScratchFolder()
        try write(image, to: folder("image"))
        let reader = try openForeign(folder("image"), format)
        let ours = try reader.content(seed: seed)
        #expect(ours.begins(with: disk) && ours.dropFirst(disk.count).allSatisfy { $0 == 0 }, "seed \(seed)")
        try QemuImg.run("convert", "-f", format.rawValue, "-O", "raw", folder("image"), folder("raw"))
        #expect(difference(ours, try File.read(folder("raw"), limit: 64 << 20)) == nil, "seed \(seed)")
        // What is said to be zeros is zeros.
        var offset = 0
        for extent in try reader.extents() {
            let isZero = ours[offset..<offset + Int(extent.length)].allSatisfy { $0 == 0 }
            #expect(extent.kind == .data || isZero, "seed \(seed), offset \(offset)")
            if let place = extent.fileOffset {
                let stored = image[Int(place)..<Int(place) + Int(extent.length)]
                #expect(stored.elementsEqual(ours[offset..<offset + Int(extent.length)]), "seed \(seed)")
            }
            offset += Int(extent.length)
        }
    }

    @Test(arguments: [false, true])
    func `dmg images read as they were made and as qemu-img reads them`(fork: Bool) throws {
        for seed in 0..<randomImages {
            var random = Seeded(seed &+ 31)
            let disk = random.disk(Int.random(in: 1...3000, using: &random) * 512)
            let image = try Generate.dmg(disk, pieces: [.zero, .ignored, .stored, .zlib], random: &random, fork: fork)
            try compare(image, .dmg, disk, seed)
        }
    }

    @Test(.enabled(if: Path.program("bzip2") != nil && Path.program("xz") != nil, "needs bzip2 and xz"))
    func `dmg pieces of bzip2, xz and ADC read as they were made`() throws {
        for seed in 0..<randomImages {
            var random = Seeded(seed &+ 91)
            let disk = random.disk(Int.random(in: 1...3000, using: &random) * 512)
            let image = try Generate.dmg(disk, pieces: Generate.Piece.allCases, random: &random)
            let reader = try ForeignImage.open(ImageFile(bytes: image, name: "a.dmg"), format: .dmg)
            #expect(difference(try reader.content(seed: seed), disk) == nil, "seed \(seed)")
        }
    }

    @Test func `a dmg is told by its trailer, and what is not undone is refused by its name when it is read`() throws {
        var random = Seeded(3)
        let disk = [UInt8](repeating: 9, count: 512 * 20)
        var image = try Generate.dmg(disk, pieces: [.zlib], random: &random, fork: true)
        #expect(DMGReader.recognises(trailer: Array(image.suffix(512))))
        #expect(ForeignImage.format(of: Array(image.prefix(512))) == nil)
        let kind = try #require(image.indices.first { image[$0...].starts(with: [0x80, 0, 0, 5]) })
        image[kind + 3] = 7
        let reader = try ForeignImage.open(ImageFile(bytes: image, name: "a.dmg"), format: .dmg)
        let error = #expect(throws: UrsaError.self) { try reader.content() }
        #expect(error?.code == .unsupported && error?.message.contains("LZFSE") == true)
    }

    @Test func `cloop images read as they were made and as qemu-img reads them`() throws {
        for seed in 0..<randomImages {
            var random = Seeded(seed &+ 11)
            let disk = random.disk(Int.random(in: 1...4000, using: &random) * 512)
            let image = try Generate.cloop(disk, block: 512 * Int.random(in: 1...300, using: &random))
            #expect(ForeignImage.format(of: Array(image.prefix(512))) == .cloop)
            try compare(image, .cloop, disk, seed)
        }
    }

    @Test func `growing images of Bochs read as they were made and as qemu-img reads them`() throws {
        for seed in 0..<randomImages {
            var random = Seeded(seed &+ 19)
            let disk = random.disk(Int.random(in: 1...6000, using: &random) * 512)
            let image = Generate.bochs(
                disk, extent: 512 << Int.random(in: 0...10, using: &random),
                version: random.next() % 2 == 0 ? 0x10000 : 0x20000, random: &random)
            #expect(ForeignImage.format(of: Array(image.prefix(512))) == .bochs)
            try compare(image, .bochs, disk, seed)
        }
    }

    @Test func `other kinds of Bochs' redolog are refused by name`() throws {
        var random = Seeded(1)
        var image = Generate.bochs([UInt8](repeating: 1, count: 4096), extent: 4096, version: 0x20000, random: &random)
        image.replaceSubrange(48..<56, with: "Volatile".utf8)
        let error = #expect(throws: UrsaError.self) {
            try ForeignImage.open(ImageFile(bytes: image, name: "a"), format: .bochs)
        }
        #expect(error?.message.contains("Volatile") == true)
    }
}
