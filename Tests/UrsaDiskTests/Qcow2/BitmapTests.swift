import Testing
import UrsaBase

@testable import UrsaDisk

/// Persistent bitmaps that QEMU made and reads.
@Suite(.enabled(if: QemuTools.areThere, "needs qemu-img and qemu-io")) struct BitmapTests {
    private func image(_ folder: ScratchFolder) throws -> String {
        let path = folder("disk")
        try QemuTools.img(["create", "-q", "-f", "qcow2", path, "64M"])
        try QemuTools.img(["bitmap", "--add", "-g", "65536", path, "follows"])
        try QemuTools.img(["bitmap", "--add", "--disable", "-g", "65536", path, "rests"])
        try QemuTools.io(path, ["write -q 1M 64k"])
        return path
    }

    /// The pieces of the disk that QEMU reads in a bitmap: it shows them as the map of an NBD export's or, here, of a
    /// merge into an image's bitmap.
    private func dirty(_ path: String, _ name: String) throws -> Set<Int> {
        let image = try #require(try DiskImage.open(path, format: .qcow2) as? Qcow2Image)
        let item = try #require(try image.listBitmaps().first { $0.name == name })
        let file = try ImageFile(path)
        var result: Set<Int> = []
        for (index, entry) in try Qcow2Image.readTable(
            file, at: item.tableOffset, entries: Int(item.tableSize), "table"
        ).enumerated() where entry & Qcow2Entry.offsetMask != 0 {
            for (byte, value) in try file.bytes(at: entry & Qcow2Entry.offsetMask, count: 128).enumerated() {
                for bit in 0..<8 where value >> UInt8(bit) & 1 != 0 { result.insert((index * 65536 + byte) * 8 + bit) }
            }
        }
        return result
    }

    @Test func `a bitmap that follows the disk has our writes too, and QEMU goes on with it`() throws {
        let folder = try ScratchFolder()
        let path = try image(folder)
        #expect(try dirty(path, "follows") == [16])
        do {
            let writer = try DiskImage.openForWriting(path, format: .qcow2)
            try withBytes([UInt8](repeating: 5, count: 100)) { bytes throws(UrsaError) in
                try writer.write(bytes, at: 3 << 20)
            }
            try writer.writeZeroes(at: 5 << 20, count: 131072, unmap: true)
            try writer.close()
        }
        try QemuTools.check(path)
        #expect(try dirty(path, "follows") == [16, 48, 80, 81])
        #expect(try dirty(path, "rests") == [])
        try QemuTools.io(path, ["write -q 7M 64k"])
        #expect(try dirty(path, "follows") == [16, 48, 80, 81, 112])
        let text = try QemuTools.img(["info", path])
        #expect(text.contains("follows") && !text.contains("in-use"))
    }

    @Test func `a writer that crashes leaves the bitmap marked as unreliable and the image whole`() throws {
        let folder = try ScratchFolder()
        let path = try image(folder)
        do {
            let writer = try #require(try DiskImage.openForWriting(path, format: .qcow2) as? Qcow2Image)
            try withBytes([UInt8](repeating: 5, count: 100)) { bytes throws(UrsaError) in
                try writer.write(bytes, at: 3 << 20)
            }
            try writer.flush()
            writer.abandon()
        }
        let text = try QemuTools.img(["info", path])
        #expect(text.contains("in-use"))
        try QemuTools.check(path)
    }

    @Test func `a reader leaves the bitmaps alone, and a disk with bitmaps keeps its size`() throws {
        let folder = try ScratchFolder()
        let path = try image(folder)
        let before = try File.read(path)
        let reader = try #require(try DiskImage.open(path, format: .qcow2) as? Qcow2Image)
        #expect(try reader.listBitmaps().map(\.name) == ["follows", "rests"])
        #expect(try reader.check().isClean)
        #expect(try File.read(path) == before)
        ImageLock.release(reader.file)
        let writer = try DiskImage.openForWriting(path, format: .qcow2)
        #expect(throws: UrsaError.self) { try writer.resize(to: 128 << 20, preallocation: .off) }
        try writer.close()
        try QemuTools.check(path)
    }
}
