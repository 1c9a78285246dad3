import TestSupport
import Testing
import UrsaBase

@testable import UrsaDisk

/// Puts entries into the log of a vhdx image, as a writer that died before it cleared its log leaves them.
struct VHDXLogWriter {
    var image: [UInt8]
    private let ring: Int
    private let sectors: Int
    private let id: [UInt8] = Array(1...16)
    private var next: Int
    private var number: UInt64
    private var tail: Int

    enum Change {
        case zero(offset: Int, length: Int)
        case sector(offset: Int, bytes: [UInt8])
    }

    /// - Parameter sector: where in the ring the first entry goes.
    init(_ image: [UInt8], sector: Int, number: UInt64 = 7) {
        self.image = image
        let header = Fields(Array(image[(64 << 10)..<(68 << 10)]))
        ring = Int(header.little64(72))
        sectors = Int(header.little32(68)) / 4096
        next = sector
        tail = sector
        self.number = number
        for place in [64 << 10, 128 << 10] {
            self.image.replaceSubrange(place + 48..<place + 64, with: id)
            seal(place, 4096)
        }
    }

    /// Makes the checksum of a structure right.
    mutating func seal(_ place: Int, _ count: Int) {
        let sum = CRC32C.of(Array(image[place..<place + count]))
        withUnsafeBytes(of: sum.littleEndian) { image.replaceSubrange(place + 4..<place + 8, with: $0) }
    }

    mutating func append(_ changes: [Change], damaged: Bool = false) {
        var entry = ByteBuilder()
        var data: [UInt8] = []
        let head = (64 + changes.count * 32 + 4095) / 4096
        let pieces = changes.filter { if case .sector = $0 { true } else { false } }.count
        entry.text("loge")
        entry.little(UInt32(0))
        entry.little(UInt32((head + pieces) * 4096))
        entry.little(UInt32(tail * 4096))
        entry.little(number)
        entry.little(UInt32(changes.count))
        entry.little(UInt32(0))
        entry.bytes += id
        entry.little(UInt64(image.count))
        entry.little(UInt64(image.count))
        for change in changes {
            switch change {
            case .zero(let offset, let length):
                entry.text("zero")
                entry.little(UInt32(0))
                entry.little(UInt64(length))
                entry.little(UInt64(offset))
            case .sector(let offset, let bytes):
                entry.text("desc")
                entry.bytes += bytes[4092..<4096]
                entry.bytes += bytes[0..<8]
                entry.little(UInt64(offset))
                var piece = ByteBuilder()
                piece.text("data")
                piece.little(UInt32(truncatingIfNeeded: number >> 32))
                piece.bytes += bytes[8..<4092]
                piece.little(UInt32(truncatingIfNeeded: number))
                data += piece.bytes
            }
            entry.little(number)
        }
        entry.pad(to: head * 4096)
        var whole = entry.bytes + data
        let sum = CRC32C.of(whole) &+ (damaged ? 1 : 0)
        withUnsafeBytes(of: sum.littleEndian) { whole.replaceSubrange(4..<8, with: $0) }
        for index in 0..<(whole.count / 4096) {
            let place = ring + (next + index) % sectors * 4096
            image.replaceSubrange(place..<place + 4096, with: whole[index * 4096..<(index + 1) * 4096])
        }
        next = (next + whole.count / 4096) % sectors
        number += 1
    }
}

@Suite(.enabled(if: QemuImg.isThere, "needs qemu-img")) struct VHDXLogTests {
    private func image(_ folder: ScratchFolder) throws -> (image: [UInt8], disk: [UInt8], data: Int) {
        var random = Seeded(12)
        let disk = random.disk(1 << 20).map { $0 | 1 }
        try write(disk, to: folder("raw"))
        try QemuImg.run("convert", "-O", "vhdx", "-o", "block_size=1M", folder("raw"), folder("a"))
        let data = try #require(try openForeign(folder("a"), .vhdx).extent(at: 0, limit: 512).fileOffset)
        return (try File.read(folder("a"), limit: 64 << 20), disk, Int(data))
    }

    /// What the image reads as, by us from the log and by QEMU after it has replayed it.
    private func contents(_ image: [UInt8], _ folder: ScratchFolder) throws -> (ours: [UInt8], theirs: [UInt8]) {
        try write(image, to: folder("b"))
        let reader = try #require(try openForeign(folder("b"), .vhdx) as? VHDXReader)
        #expect(reader.wasReplayed)
        let ours = try reader.content()
        #expect(try File.read(folder("b"), limit: 64 << 20) == image, "reading changed the file")
        try QemuImg.run("check", "-r", "all", "-f", "vhdx", folder("b"))
        try QemuImg.run("convert", "-f", "vhdx", "-O", "raw", folder("b"), folder("c"))
        return (ours, try File.read(folder("c")))
    }

    @Test(arguments: [0, 3, 254, 255])
    func `a log that was not written back is replayed in memory`(sector: Int) throws {
        let folder = try ScratchFolder()
        let (image, disk, data) = try image(folder)
        var log = VHDXLogWriter(image, sector: sector)
        let one = (0..<4096).map { UInt8(truncatingIfNeeded: $0 / 7) }
        log.append([.sector(offset: data + 8192, bytes: one), .zero(offset: data + 40960, length: 12288)])
        log.append([.sector(offset: data + 45056, bytes: one.reversed())])
        let (ours, theirs) = try contents(log.image, folder)
        // QEMU 7.2 takes the part after the ring's end for the whole run, against what the tail says.
        if sector < 254 { #expect(difference(ours, theirs) == nil) }
        var wanted = disk
        wanted.replaceSubrange(8192..<12288, with: one)
        wanted.replaceSubrange(40960..<53248, with: [UInt8](repeating: 0, count: 12288))
        wanted.replaceSubrange(45056..<49152, with: one.reversed())
        #expect(difference(ours, wanted) == nil)
    }

    @Test func `the checksum is Castagnoli's`() {
        // RFC 3720, B.4, and the check value that catalogues of checksums give.
        func sum(_ bytes: [UInt8]) -> UInt32 {
            var sum = CRC32C()
            bytes.withUnsafeBytes { sum.update($0) }
            return sum.value
        }
        #expect(sum(Array("123456789".utf8)) == 0xe306_9283)
        #expect(sum([UInt8](repeating: 0, count: 32)) == 0x8a91_36aa)
        #expect(sum([UInt8](repeating: 0xff, count: 32)) == 0x62a8_ab43)
        #expect(sum(Array(0..<32)) == 0x46dd_794e)
    }

    @Test func `an entry that was not wholly written ends the log before it`() throws {
        let folder = try ScratchFolder()
        let (image, disk, data) = try image(folder)
        var log = VHDXLogWriter(image, sector: 9)
        log.append([.zero(offset: data, length: 4096)])
        log.append([.zero(offset: data + 4096, length: 4096)], damaged: true)
        let (ours, theirs) = try contents(log.image, folder)
        #expect(difference(ours, theirs) == nil)
        #expect(ours[0..<4096].allSatisfy { $0 == 0 } && ours[4096...].elementsEqual(disk[4096...]))
    }

    @Test func `a log can change the tables that describe the disk`() throws {
        let folder = try ScratchFolder()
        let (image, _, data) = try image(folder)
        let regions = try VHDXRegions(ImageFile(bytes: image, name: "a"))
        var log = VHDXLogWriter(image, sector: 0)
        // The table of blocks becomes empty.
        log.append([.sector(offset: Int(regions.table.offset), bytes: [UInt8](repeating: 0, count: 4096))])
        #expect(data > 0)
        let (ours, theirs) = try contents(log.image, folder)
        #expect(difference(ours, theirs) == nil)
        #expect(ours.allSatisfy { $0 == 0 })
    }

    @Test func `a log that speaks of a longer file, or is made to be slow, is an error`() throws {
        let folder = try ScratchFolder()
        let (image, _, data) = try image(folder)
        var log = VHDXLogWriter(image, sector: 0)
        log.append([.zero(offset: data, length: 4096)])
        let short = Array(log.image.dropLast(1 << 20))
        #expect(throws: UrsaError.self) { try VHDXReader(file: ImageFile(bytes: short, name: "a")) }

        // Each sector of the ring claims to be an entry as long as the ring.
        var maze = log.image
        let ring = Int(Fields(Array(image[(64 << 10)..<(68 << 10)])).little64(72))
        for sector in 0..<256 {
            let place = ring + sector * 4096
            maze.replaceSubrange(place..<place + 4096, with: log.image[ring..<ring + 4096])
            withUnsafeBytes(of: UInt32(1 << 20).littleEndian) { maze.replaceSubrange(place + 8..<place + 12, with: $0) }
        }
        #expect(throws: UrsaError.self) { try VHDXReader(file: ImageFile(bytes: maze, name: "a")) }
    }

    @Test func `a damaged header or table of regions is made up for by its copy`() throws {
        let folder = try ScratchFolder()
        let (image, disk, _) = try image(folder)
        var one = image
        one[(192 << 10) + 20] ^= 1
        one[(64 << 10) + 9] ^= 1
        // QEMU writes only the first table; the copy is what [MS-VHDX] wants.
        one.replaceSubrange((256 << 10)..<(320 << 10), with: image[(192 << 10)..<(256 << 10)])
        let reader = try VHDXReader(file: ImageFile(bytes: one, name: "a"))
        #expect(difference(try reader.content(), disk) == nil)
        one[(256 << 10) + 20] ^= 1
        #expect(throws: UrsaError.self) { try VHDXReader(file: ImageFile(bytes: one, name: "a")) }
    }
}
