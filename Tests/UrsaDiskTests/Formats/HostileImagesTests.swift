import TestSupport
import Testing
import UrsaBase

@testable import UrsaDisk

/// One small honest image of each format, to be damaged.
struct Specimen: Sendable {
    var format: DiskFormat
    var image: [UInt8]
    /// What it reads as.
    var disk: [UInt8]
    /// Where in the file the structures are: the rest is data.
    var structures: [Range<Int>]

    static let all: Result<[Specimen], any Error> = Result {
        var random = Seeded(2026)
        let disk = random.disk(200 * 512)
        var all: [Specimen] = []
        func add(_ format: DiskFormat, _ image: [UInt8], _ structures: Range<Int>...) throws {
            let reader = try ForeignImage.open(ImageFile(bytes: image, name: "specimen"), format: format)
            all.append(Specimen(format: format, image: image, disk: try reader.content(), structures: structures))
        }
        for form in [0, 1] {
            let image = try Generate.dmg(disk, pieces: [.zero, .stored, .zlib, .adc], random: &random, fork: form == 1)
            let trailer = Fields(Array(image.suffix(512)))
            let table = Int(trailer.big64(form == 1 ? 0x28 : 0xd8))
            try add(.dmg, image, table..<image.count)
        }
        try add(.cloop, try Generate.cloop(disk, block: 8192), 0..<300)
        let bochs = Generate.bochs(disk, extent: 8192, version: 0x20000, random: &random)
        try add(.bochs, bochs, 0..<620)
        guard QemuImg.isThere else { return all }
        let folder = try ScratchFolder()
        try write(disk, to: folder("raw"))
        func converted(_ format: DiskFormat, _ options: String...) throws -> [UInt8] {
            try QemuImg.run(["convert", "-O", format.rawValue] + options + [folder("raw"), folder("a")])
            return try File.read(folder("a"), limit: 64 << 20)
        }
        try add(.qcow, try converted(.qcow), 0..<48, 4096..<4200)
        try add(.vmdk, try converted(.vmdk), 0..<1200, 10752..<12000)
        let stream = try converted(.vmdk, "-o", "subformat=streamOptimized")
        try add(.vmdk, stream, 0..<1200, 10752..<12000, stream.count - 1600..<stream.count)
        try add(.vdi, try converted(.vdi), 0..<520)
        try add(.vpc, try converted(.vpc), 0..<2048)
        try add(.parallels, try converted(.parallels, "-o", "cluster_size=64k"), 0..<128)
        let vhdx = try converted(.vhdx, "-o", "block_size=1M")
        let regions = try VHDXRegions(ImageFile(bytes: vhdx, name: "specimen"))
        let metadata = Int(regions.metadata.offset)
        let table = Int(regions.table.offset)
        try add(
            .vhdx, vhdx, 65536..<65640, 196_608..<196_700, metadata..<metadata + 200,
            metadata + 65536..<metadata + 65600, table..<table + 32)
        return all
    }
}

/// Damaged images end in errors that name the file, never in a trap, in bounded time and memory.
@Suite(.timeLimit(.minutes(120))) struct HostileImagesTests {
    /// Opens and reads parts of an image; true when nothing was refused.
    @discardableResult
    private func exercise(_ bytes: [UInt8], _ format: DiskFormat) throws -> Bool {
        try exercise(ImageFile(bytes: bytes, name: "hostile.img"), format)
    }

    private func exercise(_ file: ImageFile, _ format: DiskFormat) throws -> Bool {
        do throws(UrsaError) {
            let reader = try ForeignImage.open(file, format: format)
            var wasRead = true
            for offset in [0, reader.size / 3, reader.size / 2, reader.size - min(reader.size, 5000)] {
                let count = Int(min(reader.size - offset, 5000))
                do throws(UrsaError) { _ = try reader.bytes(at: offset, count: count) } catch {
                    check(error)
                    wasRead = false
                }
            }
            var offset: UInt64 = 0
            for _ in 0..<50 where offset < reader.size {
                let extent = try reader.extent(at: offset, limit: reader.size - offset)
                if extent.length == 0 || extent.length > reader.size - offset {
                    Issue.record("an extent of \(extent.length) bytes at \(offset) of \(reader.size)")
                }
                offset += max(1, extent.length)
            }
            return wasRead
        } catch {
            check(error)
            return false
        }
    }

    private func check(_ error: UrsaError) {
        #expect(error.description.contains("hostile.img"))
        #expect(error.code != .bug && error.description.utf8.count < 2048)
    }

    @Test func `a file that is cut short reads as before or is an error`() throws {
        var random = Seeded(4)
        for specimen in try Specimen.all.get() {
            var lengths = specimen.structures.flatMap { Array(stride(from: $0.lowerBound, to: $0.upperBound, by: 31)) }
            lengths += (0..<40).map { _ in Int.random(in: 0..<specimen.image.count, using: &random) }
            if specimen.format == .vhdx { lengths = lengths.enumerated().filter { $0.offset % 8 == 0 }.map(\.element) }
            for length in lengths {
                let file = ImageFile(bytes: Array(specimen.image.prefix(length)), name: "hostile.img")
                guard try exercise(file, specimen.format) else { continue }
                guard let content = try? ForeignImage.open(file, format: specimen.format).content() else { continue }
                #expect(difference(content, specimen.disk) == nil, "\(specimen.format) cut to \(length)")
            }
        }
    }

    @Test func `no value of a field in a structure leads to more than an error`() throws {
        for specimen in try Specimen.all.get() {
            for range in specimen.structures {
                let step = specimen.format == .vhdx ? 8 : range.count > 3000 ? 4 : 2
                for place in stride(
                    from: range.lowerBound, to: min(range.upperBound, specimen.image.count) - 8, by: step)
                {
                    for pattern in [
                        [0xff], [0xff, 0xff, 0xff, 0xff], [0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], [0],
                    ]
                        as [[UInt8]]
                    {
                        var bytes = specimen.image
                        bytes.replaceSubrange(place..<place + pattern.count, with: pattern)
                        if specimen.format == .vhdx { seal(&bytes, place) }
                        try exercise(bytes, specimen.format)
                    }
                }
            }
        }
    }

    /// Structures of vhdx carry checksums: without right ones nothing behind them would be tried.
    private func seal(_ bytes: inout [UInt8], _ place: Int) {
        for (start, count) in [(64 << 10, 4096), (192 << 10, 64 << 10)] where place >= start && place < start + count {
            let sum = CRC32C.of(Array(bytes[start..<start + count]))
            withUnsafeBytes(of: sum.littleEndian) { bytes.replaceSubrange(start + 4..<start + 8, with: $0) }
            if start == 64 << 10 {
                bytes.replaceSubrange(
                    start + (64 << 10)..<start + (64 << 10) + count, with: bytes[start..<start + count])
            }
        }
    }

    @Test func `noise in place of the data is an error or the noise`() throws {
        var random = Seeded(8)
        for specimen in try Specimen.all.get() where specimen.format != .vhdx {
            for _ in 0..<30 {
                var bytes = specimen.image
                for _ in 0..<8 {
                    let place = Int.random(in: 0..<bytes.count, using: &random)
                    bytes[place] = UInt8(truncatingIfNeeded: random.next())
                }
                try exercise(bytes, specimen.format)
            }
        }
    }

    @Test func `a file of another sort is refused`() throws {
        var random = Seeded(6)
        let noise = (0..<8192).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        for format in DiskFormat.allCases where format != .raw && format != .qcow2 {
            for bytes in [[], [0], Array(noise.prefix(511)), noise, [UInt8](repeating: 0, count: 4096)] {
                #expect(try !exercise(bytes, format), "\(format)")
            }
        }
    }

    @Test func `pieces that would grow past what they stand for are errors`() throws {
        let bomb = try deflated([UInt8](repeating: 0, count: 8 << 20))
        var image = try Generate.cloop([UInt8](repeating: 5, count: 65536), block: 65536)
        let start = image.count
        image += bomb
        for (index, place) in [start, start + bomb.count].enumerated() {
            withUnsafeBytes(of: UInt64(place).bigEndian) {
                image.replaceSubrange(136 + index * 8..<144 + index * 8, with: $0)
            }
        }
        let reader = try ForeignImage.open(ImageFile(bytes: image, name: "hostile.img"), format: .cloop)
        let error = #expect(throws: UrsaError.self) { try reader.bytes(at: 0, count: 100) }
        #expect(error?.message.contains("more than the 65536 bytes") == true)
    }

    @Test func `a dmg of a thousand million pieces, or of huge ones, is refused`() throws {
        var random = Seeded(2)
        let image = try Generate.dmg([UInt8](repeating: 5, count: 5120), pieces: [.zlib], random: &random, fork: true)
        let kind = try #require(image.indices.first { image[$0...].starts(with: [0x80, 0, 0, 5]) })
        for (offset, value) in [(16, UInt64(1) << 40), (16, .max), (32, 1 << 30), (24, .max), (8, .max), (8, 1 << 60)] {
            var changed = image
            withUnsafeBytes(of: value.bigEndian) {
                changed.replaceSubrange(kind + offset..<kind + offset + 8, with: $0)
            }
            #expect(try !exercise(changed, .dmg), "\(offset) \(value)")
        }
    }

    @Test func `a vmdk text names only what it names, in words that are understood`() throws {
        func parts(_ text: String) throws(UrsaError) -> VMDKDescriptor {
            try VMDKDescriptor(Array(text.utf8), of: ImageFile(bytes: [0], name: "hostile.img"))
        }
        let text = """
            # Disk DescriptorFile
            version=1
            CID=12345678
            parentCID=ffffffff
            createType="twoGbMaxExtentSparse"
            RW 4192256 SPARSE "a disk-s001.vmdk"
            RW 2048 FLAT "b.vmdk" 7
            RW 10 ZERO
            """
        let descriptor = try parts(text + "\0garbage")
        #expect(descriptor.type == "twoGbMaxExtentSparse" && !descriptor.hasParent)
        #expect(
            descriptor.parts == [
                VMDKDescriptor.Part(kind: .sparse, sectors: 4_192_256, file: "a disk-s001.vmdk"),
                VMDKDescriptor.Part(kind: .flat(sector: 7), sectors: 2048, file: "b.vmdk"),
                VMDKDescriptor.Part(kind: .zero, sectors: 10, file: ""),
            ])
        #expect(try parts("parentCID=00000001").hasParent)
        for line in [
            "RW 0 ZERO", "RW -1 ZERO", "RW 99999999999999999999 ZERO", "RW 5 SPARSE", "RW 5 SPARSE \"",
            "RW 5 SPARSE \"\"",
            "RW 5 FLAT \"a\" x", "RW 5 SESPARSE \"a\"", "RW 5 VMFSRDM \"a\"", "NOACCESS 5 ZERO",
        ] {
            #expect(throws: UrsaError.self, "\(line)") { try parts(line) }
        }
        // Pieces of zeros and of a file are read where they are.
        let flat = ImageFile(bytes: [UInt8](repeating: 3, count: 4096), name: "b.vmdk")
        let whole = Array(
            "version=1\ncreateType=\"custom\"\nRW 2 FLAT \"b.vmdk\" 1\nRW 3 ZERO\nRW 1 FLAT \"b.vmdk\"\n".utf8)
        let file = ImageFile(bytes: whole, name: "a.vmdk")
        let reader = try VMDKReader(file: file, companions: [flat, flat])
        let disk =
            [UInt8](repeating: 3, count: 1024) + [UInt8](repeating: 0, count: 1536) + [UInt8](repeating: 3, count: 512)
        #expect(difference(try reader.content(), disk) == nil)
        #expect(try reader.extents().map(\.kind) == [.data, .zero, .data])
        // A text that names itself is no extent, so there is no loop.
        let own = ImageFile(
            bytes: Array("version=1\ncreateType=\"custom\"\nRW 2 SPARSE \"a.vmdk\"\n".utf8), name: "a.vmdk")
        #expect(throws: UrsaError.self) { try VMDKReader(file: own, companions: [own]) }
    }
}
