import Glibc
import TestSupport
import UrsaBase

@testable import UrsaDisk

/// What an image of a random sequence is like.
struct SequenceImage: CustomStringConvertible {
    var options: Qcow2CreateOptions
    /// Content of the raw backing image, which may be shorter or longer than the disk.
    var backing: [UInt8]?

    init(_ options: Qcow2CreateOptions) { self.options = options }

    init(_ random: inout Seeded) {
        let clusterBits = random.pick([9, 9, 10, 12, 12, 14, 16, 16, 16, 17])
        let cluster = 1 << clusterBits
        let clusters = random.below(clusterBits > 14 ? 24 : 300) + 1
        options = Qcow2CreateOptions(size: UInt64(cluster * clusters + 512 * random.below(cluster / 512)))
        options.clusterSize = UInt64(cluster)
        options.version = random.chance(1, in: 5) ? 2 : 3
        if options.version == 3 {
            options.refcountBits = random.pick([1, 2, 4, 8, 16, 16, 16, 32, 64])
            options.lazyRefcounts = random.chance(1, in: 4)
            options.extendedL2 = clusterBits >= 14 && random.chance(1, in: 2)
            options.compression = random.chance(1, in: 2) ? .zstd : .zlib
        }
        if random.chance(2, in: 5) {
            backing = random.bytes(512 * (1 + random.below(Int(options.size) / 256)))
            options.backingFile = "base"
            options.backingFormat = "raw"
        } else if random.chance(1, in: 5) {
            options.preallocation = random.pick([.metadata, .falloc, .full])
        }
        if backing == nil, options.version == 3, random.chance(1, in: 6) {
            options.dataFile = "data"
            options.dataFileRaw = random.chance(1, in: 2)
        }
    }

    var hasSnapshots: Bool { options.dataFile == nil && options.refcountBits > 2 }
    var isCompressible: Bool { options.dataFile == nil }

    /// Makes the image in a folder, by QEMU's program.
    func makeByQemu(_ folder: ScratchFolder, _ path: String) throws(UrsaError) {
        var parts = [
            "cluster_size=\(options.clusterSize)", "compat=\(options.version == 2 ? "0.10" : "1.1")",
            "refcount_bits=\(options.refcountBits)", "lazy_refcounts=\(options.lazyRefcounts ? "on" : "off")",
            "extended_l2=\(options.extendedL2 ? "on" : "off")", "preallocation=\(options.preallocation.rawValue)",
        ]
        if options.version == 3 { parts.append("compression_type=\(options.compression.name)") }
        if let name = options.dataFile {
            parts += ["data_file=\(folder(name))", "data_file_raw=\(options.dataFileRaw ? "on" : "off")"]
        }
        var arguments = ["create", "-q", "-f", "qcow2", "-o", parts.joined(separator: ",")]
        if let backing {
            try File.replace(folder("base"), backing, durable: false)
            arguments += ["-b", folder("base"), "-F", "raw"]
        }
        try QemuTools.img(arguments + [path, "\(options.size)"])
    }

    /// Makes the image in a folder.
    func make(_ folder: ScratchFolder, _ path: String) throws(UrsaError) {
        if let backing { try File.replace(folder("base"), backing, durable: false) }
        let dataFile = try options.dataFile.map { name throws(UrsaError) in try ImageFile.create(folder(name)) }
        // QEMU takes a relative name from its working directory, not from the image's folder.
        var options = options
        options.dataFile = options.dataFile.map { folder($0) }
        let image = try Qcow2Image.create(try ImageFile.create(path), options, dataFile: dataFile)
        try image.close()
    }

    var initialContent: [UInt8] {
        let size = Int((options.size + 511) & ~511)
        let from = (backing ?? []).prefix(size)
        return Array(from) + [UInt8](repeating: 0, count: size - from.count)
    }

    var description: String {
        "\(options) backing \(backing?.count ?? -1)"
    }
}

/// One step of a sequence.
enum SequenceStep {
    case write(Int, [UInt8])
    case zero(Int, Int, unmap: Bool)
    case discard(Int, Int)
    case compressed(Int, [UInt8])
    case flush
    case snapshot(String)
    case apply(String)
    case delete(String)
    case resize(Int)
}

/// What the disk must hold: bytes in memory, changed by the same steps.
struct SequenceModel {
    var content: [UInt8]
    var snapshots: [(name: String, content: [UInt8])] = []
    let clusterSize: Int
    let discards: Bool
    /// Clusters that may have a place in the file: QEMU does not compress over them.
    var touched: Set<Int> = []
    let isPreallocated: Bool

    init(_ image: SequenceImage) {
        content = image.initialContent
        clusterSize = Int(image.options.clusterSize)
        isPreallocated = image.options.preallocation != .off
        discards = image.options.version >= 3 || image.backing == nil
    }

    mutating func apply(_ step: SequenceStep) {
        switch step {
        case .write(let offset, let bytes), .compressed(let offset, let bytes): touch(offset, bytes.count)
        case .zero(let offset, let count, _), .discard(let offset, let count): touch(offset, count)
        default: break
        }
        switch step {
        case .write(let offset, let bytes): content.replaceSubrange(offset..<offset + bytes.count, with: bytes)
        case .zero(let offset, let count, _): fill(offset, offset + count)
        case .discard(let offset, let count):
            let end = offset + count
            let first = (offset + clusterSize - 1) / clusterSize * clusterSize
            let last = end == content.count ? end : end / clusterSize * clusterSize
            if discards, first < last { fill(first, last) }
        case .compressed(let offset, let bytes):
            let count = min(bytes.count, content.count - offset)
            content.replaceSubrange(offset..<offset + count, with: bytes.prefix(count))
        case .flush: break
        case .snapshot(let name): snapshots.append((name, content))
        case .apply(let name): if let found = snapshots.first(where: { $0.name == name }) { content = found.content }
        case .delete(let name): snapshots.removeAll { $0.name == name }
        case .resize(let size):
            if size < content.count {
                content.removeLast(content.count - size)
            } else if size > content.count {
                // A longer backing image must not show through: zeros are written over it, into places of their own.
                touch(content.count, size - content.count)
                content += [UInt8](repeating: 0, count: size - content.count)
            }
        }
    }

    private mutating func touch(_ offset: Int, _ count: Int) {
        for cluster in (offset / clusterSize)...((offset + count - 1) / clusterSize) { touched.insert(cluster) }
    }

    private mutating func fill(_ from: Int, _ to: Int) {
        content.replaceSubrange(from..<to, with: [UInt8](repeating: 0, count: to - from))
    }

    /// A next step that makes sense now. `coarse` ones are those that qemu-io can say.
    func step(_ random: inout Seeded, _ image: SequenceImage, coarse: Bool) -> SequenceStep {
        let size = content.count
        func range(_ random: inout Seeded) -> (Int, Int) {
            let unit = coarse ? 512 : random.pick([1, 512, 512, 4096, clusterSize, clusterSize])
            let most = random.pick([unit, 4096, clusterSize, 3 * clusterSize, size])
            let offset = min(random.below(size / unit + 1) * unit, max(0, size - unit))
            let count = min(size - offset, max(1, random.below(most) / unit) * unit)
            return (offset, coarse ? max(512, count & ~511) : max(1, count))
        }
        guard size >= 512 else { return .resize(4096) }
        let (offset, count) = range(&random)
        switch random.below(24) {
        case 0..<10:
            return .write(
                offset, coarse ? [UInt8](repeating: UInt8(1 + random.below(255)), count: count) : random.bytes(count))
        case 10..<13: return .zero(offset, count, unmap: random.chance(1, in: 2))
        case 13..<15: return .discard(offset, count)
        case 15..<18:
            guard image.isCompressible else { return .flush }
            let cluster = random.below((size + clusterSize - 1) / clusterSize)
            if coarse, isPreallocated || touched.contains(cluster) { return .flush }
            var bytes = [UInt8](repeating: UInt8(1 + random.below(255)), count: clusterSize)
            if !coarse {
                for _ in 0..<(clusterSize / 16) { bytes[random.below(clusterSize)] = UInt8(random.below(256)) }
            }
            // Zeros behind the disk's end, as it is for everybody who writes there.
            for index in bytes.indices.dropFirst(size - cluster * clusterSize) { bytes[index] = 0 }
            return .compressed(cluster * clusterSize, bytes)
        case 18: return .flush
        case 19..<21 where image.hasSnapshots && snapshots.count < 4: return .snapshot("s\(random.below(100_000))")
        case 21 where !snapshots.isEmpty: return .apply(random.pick(snapshots).name)
        case 22 where !snapshots.isEmpty: return .delete(random.pick(snapshots).name)
        case 23 where snapshots.isEmpty:
            let clusters = random.below(clusterSize > 16384 ? 30 : 400)
            return .resize(max(512, clusters * clusterSize + 512 * random.below(3)))
        default: return .flush
        }
    }
}
