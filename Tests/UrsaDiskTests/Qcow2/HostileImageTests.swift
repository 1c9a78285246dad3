import Glibc
import TestSupport
import Testing
import UrsaBase

@testable import UrsaDisk

/// Images that lie: an error in bounded time and memory, never a trap.
@Suite struct HostileImageTests {
    /// A small image with data, compressed data, zeros and a snapshot.
    private func image(_ clusterSize: UInt64) throws -> [UInt8] {
        let file = ImageFile(bytes: [], name: "disk", ImageFile.Options(writable: true))
        var options = Qcow2CreateOptions(size: 64 * clusterSize)
        options.clusterSize = clusterSize
        let image = try Qcow2Image.create(file, options)
        let bytes = [UInt8](repeating: 0x11, count: Int(clusterSize))
        for cluster in 0..<6 {
            try withBytes(bytes) { buffer throws(UrsaError) in
                try image.write(buffer, at: UInt64(cluster * 3) * clusterSize)
            }
        }
        let packed = AlignedBuffer(count: bytes.count)
        let compressor = try Qcow2Compressor(.zlib)
        try withBytes(bytes) { buffer throws(UrsaError) in
            guard let count = try Qcow2Image.compress(buffer, into: packed.bytes, with: compressor) else { return }
            try image.writeCompressed(UnsafeRawBufferPointer(packed.prefix(count)), at: 40 * clusterSize)
        }
        try image.createSnapshot(name: "one")
        try withBytes(bytes) { buffer throws(UrsaError) in try image.write(buffer, at: 20 * clusterSize) }
        try image.writeZeroes(at: 0, count: clusterSize, unmap: true)
        try image.close()
        return file.memoryContent
    }

    /// Does everything with an image. Errors are fine; the process must live.
    private func exercise(_ bytes: [UInt8]) {
        for writable in [false, true] {
            let file = ImageFile(bytes: bytes, name: "disk", limit: 8 << 20, ImageFile.Options(writable: writable))
            guard let header = try? Qcow2Header.read(file) else { return }
            var options = Qcow2Image.Options()
            options.l2CacheSize = 16 << 10
            options.refcountCacheSize = 16 << 10
            options.forRepair = !writable
            guard let image = try? Qcow2Image(file: file, header: header, options: options) else { continue }
            let buffer = AlignedBuffer(count: 1 << 16)
            for place in [0, image.size / 2, image.size &- 512] where image.size > 512 {
                let count = Int(min(1 << 16, image.size - min(image.size, place)))
                try? image.read(into: buffer.prefix(count), at: place)
                _ = try? image.extent(at: place, limit: .max)
                _ = try? image.check()
                guard writable else { continue }
                try? image.write(UnsafeRawBufferPointer(buffer.prefix(min(count, 3000))), at: place)
                try? image.writeZeroes(at: place, count: UInt64(count), unmap: true)
            }
            if writable {
                _ = try? image.createSnapshot(name: "two")
                try? image.applySnapshot("one")
                try? image.deleteSnapshot("one")
                try? image.resize(to: 4096, preallocation: .off)
                _ = try? image.check(repair: .all)
                try? image.flush()
            }
            image.abandon()
        }
    }

    private static let words: [UInt64] = [
        0, .max, 0x8000_0000_0000_0000, 0x4000_0000_0000_0000, 0x6000_0000_0000_0000, 512, 1024, 1536,
        0x8000_0000_0000_0200, 8192, 0x80_0000_0000_0000, 0x8000_0000_0000_0001,
    ]

    @Test func `every field of the header may hold anything`() throws {
        for clusterSize in [512, 65536] as [UInt64] {
            let whole = try image(clusterSize)
            for offset in stride(from: 0, to: 112, by: 4) {
                let values: [UInt32] = [0, 1, 3, 64, 512, 65536, 0x8000_0000, .max]
                for value in clusterSize == 512 ? values : [1, 65536, .max] {
                    var bytes = whole
                    bytes.storeBigEndian(value, at: offset)
                    exercise(bytes)
                }
            }
        }
    }

    @Test func `every word of every table may hold anything`() throws {
        let whole = try image(512)
        var random = Seeded(UInt64(Seeded.environment("URSA_SEED", 1)))
        for offset in stride(from: 512, to: min(whole.count, 9000), by: 8) {
            var bytes = whole
            let value = random.pick(HostileImageTests.words + [random.next(), random.next() & 0xfffe00])
            bytes.storeBigEndian(value, at: offset)
            exercise(bytes)
        }
    }

    @Test func `an image may end anywhere`() throws {
        let whole = try image(512)
        for length in stride(from: 0, to: whole.count, by: 211) { exercise(Array(whole[..<length])) }
    }

    @Test func `a cluster that would inflate to more than a cluster is an error`() throws {
        let whole = try image(65536)
        let file = ImageFile(bytes: whole, name: "disk", ImageFile.Options(writable: true))
        let image = try Qcow2Image(file: file, header: try Qcow2Header.read(file))
        let bomb = [UInt8](repeating: 0, count: 1 << 20)
        let packed = AlignedBuffer(count: 1 << 20)
        let deflater = try Deflater(level: 6)
        let count = bomb.withUnsafeBytes { deflater.deflate($0, into: packed.bytes, form: .raw) }
        try image.writeCompressed(UnsafeRawBufferPointer(packed.prefix(try #require(count))), at: 30 * 65536)
        let buffer = AlignedBuffer(count: 65536)
        #expect(throws: UrsaError.self) { try image.read(into: buffer.bytes, at: 30 * 65536) }
        try image.close()
    }

    @Test func `unknown features are refused by the names that the image gives them`() throws {
        var bytes = try image(65536)
        bytes.storeBigEndian(UInt64(1) << 40, at: 72)
        let file = ImageFile(bytes: bytes, name: "disk")
        let text = String(describing: #expect(throws: UrsaError.self) { try Qcow2Header.read(file) })
        #expect(text.contains("bit 40"))
        // The table's first entry is made to speak of that bit.
        let place = 112 + 8
        bytes[place + 1] = 40
        bytes.replaceSubrange(place + 2..<place + 8, with: Array("warp\0\0".utf8))
        let named = String(
            describing: #expect(throws: UrsaError.self) { try Qcow2Header.read(ImageFile(bytes: bytes, name: "disk")) })
        #expect(named.contains("'warp'"))
    }

    @Test func `encryption is refused by name, the corrupt mark for writing`() throws {
        for (method, name) in [(UInt32(1), "AES"), (2, "LUKS")] {
            var bytes = try image(65536)
            bytes.storeBigEndian(method, at: 32)
            let text = String(
                describing: #expect(throws: UrsaError.self) { try Qcow2Header.read(ImageFile(bytes: bytes, name: "d")) }
            )
            #expect(text.contains(name))
        }
        var bytes = try image(65536)
        bytes.storeBigEndian(Qcow2Features.corrupt, at: 72)
        let reader = ImageFile(bytes: bytes, name: "disk")
        _ = try Qcow2Image(file: reader, header: try Qcow2Header.read(reader))
        let writer = ImageFile(bytes: bytes, name: "disk", ImageFile.Options(writable: true))
        #expect(throws: UrsaError.self) { try Qcow2Image(file: writer, header: try Qcow2Header.read(writer)) }
    }

    @Test func `a dirty image is mended when it is opened for writing`() throws {
        var bytes = try image(512)
        bytes.storeBigEndian(Qcow2Features.dirty, at: 72)
        // All counts of the first block are lost, as with lazy refcounts.
        let header = try Qcow2Header.read(ImageFile(bytes: bytes, name: "disk"))
        let block = Int(try #require(bytes.bigEndian(Int(header.refcountTableOffset), as: UInt64.self)))
        for index in 0..<512 { bytes[block + index] = 0 }
        let file = ImageFile(bytes: bytes, name: "disk", ImageFile.Options(writable: true))
        let image = try Qcow2Image(file: file, header: try Qcow2Header.read(file))
        #expect(image.currentHeader.incompatible & Qcow2Features.dirty == 0)
        #expect(try image.check().isClean)
        try image.close()
    }

    @Test func `counts of any size are mended at once`() throws {
        let made = ImageFile(bytes: [], name: "disk", ImageFile.Options(writable: true))
        var options = Qcow2CreateOptions(size: 65536)
        options.refcountBits = 64
        try Qcow2Image.create(made, options).close()
        var bytes = made.memoryContent
        let header = try Qcow2Header.read(made)
        let block = Int(try #require(bytes.bigEndian(Int(header.refcountTableOffset), as: UInt64.self)))
        for index in [0, 2, 9] { bytes.storeBigEndian(UInt64.max - 5, at: block + index * 8) }
        let file = ImageFile(bytes: bytes, name: "disk", ImageFile.Options(writable: true))
        var repair = Qcow2Image.Options()
        repair.forRepair = true
        let image = try Qcow2Image(file: file, header: header, options: repair)
        let found = try image.check(repair: .all)
        #expect(found.leaks == 3 && found.leaksFixed == 3)
        #expect(try image.check().isClean)
        try image.close()
    }

    @Test func `eight sparse tebibytes take little memory and little time`() throws {
        let folder = try ScratchFolder()
        let image = try Qcow2Image.create(try ImageFile.create(folder("disk")), Qcow2CreateOptions(size: 8 << 40))
        let bytes = [UInt8](repeating: 1, count: 4096)
        for step in 0..<200 as Range<UInt64> {
            try withBytes(bytes) { buffer throws(UrsaError) in try image.write(buffer, at: step * (8 << 40) / 200) }
        }
        var offset: UInt64 = 0
        var runs = 0
        while offset < image.size {
            offset += try image.extent(at: offset, limit: image.size - offset).length
            runs += 1
        }
        #expect(runs < 1000)
        #expect(try image.check().isClean)
        try image.close()
        #expect(try ImageFile(folder("disk")).allocatedSize < 64 << 20)
    }
}
