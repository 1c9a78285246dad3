import UrsaBase

@testable import UrsaDisk

extension Entry {
    static let qcow2: [Entry] = [
        Entry("Qcow2", limit: 4096, Qcow2Exercise.run),
        Entry("Qcow2Repair", limit: 4096, Qcow2Exercise.repair),
    ]
}

/// All that can be done with a qcow2 image, on one that may say anything.
enum Qcow2Exercise {
    private static func open(_ bytes: [UInt8], forRepair: Bool) throws(UrsaError) -> Qcow2Image {
        let file = ImageFile(bytes: bytes, name: "disk", limit: 1 << 20, ImageFile.Options(writable: true))
        let header = try Qcow2Header.read(file)
        var options = Qcow2Image.Options()
        options.l2CacheSize = 32 << 10
        options.refcountCacheSize = 32 << 10
        options.forRepair = forRepair
        // What other files hold is not this entry's matter: an empty data file stands for one.
        let dataFile =
            header.hasDataFile
            ? ImageFile(bytes: [], name: "data", limit: 1 << 20, ImageFile.Options(writable: true)) : nil
        return try Qcow2Image(file: file, header: header, dataFile: dataFile, options: options)
    }

    /// Places of a disk worth looking at.
    private static func places(_ size: UInt64) -> [UInt64] {
        [0, 512, 1024, 65536, size / 2, size - min(size, 1024), size - min(size, 512)].filter { $0 < size }
    }

    static func run(_ bytes: [UInt8]) throws(Violation) {
        guard let image = try accepted({ () throws(UrsaError) in try open(bytes, forRepair: false) }) else { return }
        defer { image.abandon() }
        let buffer = AlignedBuffer(count: 4096)
        for place in places(image.size) {
            let count = Int(min(1024, image.size - place))
            _ = try accepted { () throws(UrsaError) in try image.read(into: buffer.prefix(count), at: place) }
            if let extent = try accepted({ () throws(UrsaError) in try image.extent(at: place, limit: 1 << 20) }) {
                try need(extent.length >= 1, "an empty extent")
                try need(extent.length <= image.size - place, "an extent past the end of the disk")
            }
        }
        _ = try accepted { () throws(UrsaError) in try image.snapshots() }
        _ = try accepted { () throws(UrsaError) in try image.listBitmaps() }
        let sound = try accepted { () throws(UrsaError) in try image.check() }
        buffer.bytes.initializeMemory(as: UInt8.self, repeating: 0x5a)
        var written: [UInt64] = []
        for place in places(image.size) {
            let count = Int(min(700, image.size - place))
            let bytes = UnsafeRawBufferPointer(buffer.prefix(count))
            if try accepted({ () throws(UrsaError) in try image.write(bytes, at: place) }) != nil {
                written.append(place)
            }
        }
        if let last = written.last, sound?.isClean == true {
            // An image that was whole keeps what it is given.
            let count = Int(min(700, image.size - last))
            let other = AlignedBuffer(count: 4096)
            try must("read what was written") { () throws(UrsaError) in
                try image.read(into: other.prefix(count), at: last)
            }
            try need(
                other.prefix(count).elementsEqual(buffer.prefix(count)), "other bytes than were written at \(last)")
        }
        for place in places(image.size) {
            let count = min(5000, image.size - place)
            _ = try accepted { () throws(UrsaError) in
                try image.writeZeroes(at: place, count: count, unmap: place % 1024 == 0)
            }
            _ = try accepted { () throws(UrsaError) in try image.discard(at: place, count: count) }
        }
        let name = try accepted { () throws(UrsaError) in try image.createSnapshot(name: "new").id }
        _ = try accepted { () throws(UrsaError) in try image.write(UnsafeRawBufferPointer(buffer.prefix(512)), at: 0) }
        if let list = try accepted({ () throws(UrsaError) in try image.snapshots() }), let first = list.first {
            _ = try accepted { () throws(UrsaError) in try image.applySnapshot(first.id) }
        }
        if let name { _ = try accepted { () throws(UrsaError) in try image.deleteSnapshot(name) } }
        if image.size < 1 << 40 {
            _ = try accepted { () throws(UrsaError) in try image.resize(to: image.size + 4096, preallocation: .off) }
            _ = try accepted { () throws(UrsaError) in try image.resize(to: 1024, preallocation: .off) }
        }
        _ = try accepted { () throws(UrsaError) in try image.flush() }
        if sound?.isClean == true, let now = try accepted({ () throws(UrsaError) in try image.check() }) {
            try need(now.isSound, "a whole image was made corrupt: \(now)")
        }
        _ = try accepted { () throws(UrsaError) in try image.close() }
    }

    /// What a repair calls mended is whole for the next check.
    static func repair(_ bytes: [UInt8]) throws(Violation) {
        guard let image = try accepted({ () throws(UrsaError) in try open(bytes, forRepair: true) }) else { return }
        defer { image.abandon() }
        guard let found = try accepted({ () throws(UrsaError) in try image.check(repair: .all) }) else { return }
        guard found.corruptions == found.corruptionsFixed, found.leaks == found.leaksFixed, found.failures == 0 else {
            return
        }
        guard let again = try accepted({ () throws(UrsaError) in try image.check() }) else { return }
        try need(again.isClean, "mended (\(found)), but then: \(again)")
    }
}
