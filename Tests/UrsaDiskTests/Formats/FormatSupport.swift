import Glibc
import TestSupport
import Testing
import UrsaBase

@testable import UrsaDisk

enum QemuImg {
    static let isThere = Path.program("qemu-img") != nil

    @discardableResult static func run(_ arguments: String...) throws -> String {
        try run(arguments)
    }

    @discardableResult static func run(_ arguments: [String]) throws -> String {
        try Program("qemu-img", arguments).require("qemu-img \(arguments.joined(separator: " "))", seconds: 120)
    }

    /// For each sector of an image whether QEMU says that it is data, and where in the file.
    static func map(_ path: String, _ format: DiskFormat) throws -> [SectorPlace] {
        let text = try run("map", "--output=json", "-f", format.rawValue, path)
        var sectors: [SectorPlace] = []
        for run in try JSON.parse(text).array ?? [] {
            let length = Int(run["length"]?.integer ?? 0)
            let isData = run["data"]?.bool ?? false
            let isZero = run["zero"]?.bool ?? false
            let offset = run["offset"]?.integer.map { UInt64($0) }
            for index in 0..<(length / 512) {
                sectors.append(
                    SectorPlace(
                        isData: isData && !isZero, offset: isData ? offset.map { $0 + UInt64(index) * 512 } : nil))
            }
        }
        return sectors
    }
}

struct SectorPlace: Equatable {
    var isData: Bool
    var offset: UInt64?
}

extension Seeded {
    /// Runs of noise, of zeros, and of bytes that compress, in lengths from a sector to a quarter of the disk.
    mutating func disk(_ size: Int) -> [UInt8] {
        var words = [UInt64](repeating: 0, count: (size + 7) / 8)
        var start = 0
        while start < words.count {
            let most = max(64, words.count >> Int(next() % 8 + 2))
            let end = min(words.count, start + (Int(next() % UInt64(most)) + 63) / 64 * 64)
            switch next() % 4 {
            case 0, 1: break
            case 2: for index in start..<end { words[index] = next() }
            default:
                let one = next()
                for index in start..<end { words[index] = one &+ UInt64(index / 24) }
            }
            start = max(end, start + 1)
        }
        return Array(words.withUnsafeBytes { $0[0..<size] })
    }
}

extension DiskReader {
    /// Some bytes of the disk.
    func bytes(at offset: UInt64, count: Int) throws(UrsaError) -> [UInt8] {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
        defer { memory.deallocate() }
        memory.initializeMemory(as: UInt8.self, repeating: 0xa5)
        try read(into: memory, at: offset)
        return Array(memory)
    }

    /// The whole disk, read in pieces of changing length by several threads at once.
    func content(seed: UInt64 = 1) throws -> [UInt8] {
        var random = Seeded(seed)
        var pieces: [(offset: UInt64, count: Int)] = []
        var offset: UInt64 = 0
        while offset < size {
            let most = 1 << Int.random(in: 4...21, using: &random)
            let count = Int(min(size - offset, UInt64.random(in: 1...UInt64(most), using: &random)))
            pieces.append((offset, count))
            offset += UInt64(count)
        }
        let numbers = Array(pieces.indices).shuffled(using: &random)
        let all = pieces
        let parts = try OSThread.concurrently(numbers, atMost: 3) { (number) throws(UrsaError) in
            try self.bytes(at: all[number].offset, count: all[number].count)
        }
        var content = [UInt8](repeating: 0, count: Int(size))
        for (number, part) in zip(numbers, parts) {
            content.replaceSubrange(Int(pieces[number].offset)..<Int(pieces[number].offset) + part.count, with: part)
        }
        return content
    }

    /// All extents, checked to follow each other.
    func extents(limit: UInt64 = .max) throws -> [Extent] {
        var extents: [Extent] = []
        var offset: UInt64 = 0
        while offset < size {
            let extent = try extent(at: offset, limit: min(limit, size - offset))
            try #require(extent.length >= 1 && extent.length <= min(limit, size - offset))
            extents.append(extent)
            offset += extent.length
        }
        return extents
    }

    /// For each sector whether it is data, and where.
    func sectors() throws -> [SectorPlace] {
        try extents().flatMap { extent in
            (0..<(extent.length / 512)).map { index in
                extent.kind == .data
                    ? SectorPlace(isData: true, offset: extent.fileOffset.map { $0 + index * 512 })
                    : SectorPlace(isData: false, offset: nil)
            }
        }
    }
}

/// Opens an image by its path with the files beside it that it names.
func openForeign(_ path: String, _ format: DiskFormat) throws -> any DiskReader {
    let file = try ImageFile(path)
    let names = try ForeignImage.names(in: file, format: format)
    let companions = try names.map { try ImageFile(Path.parent(path) + "/" + $0) }
    return try ForeignImage.open(file, format: format, companions: companions)
}

/// Writes a file of these bytes, zeros being left out.
func write(_ bytes: [UInt8], to path: String) throws { try File.replace(path, bytes, mode: 0o644, durable: false) }

/// How many random images a test makes: more where there is time.
let randomImages: UInt64 =
    getenv("URSA_SEQUENCES").flatMap { UInt64(String(cString: $0)) } ?? (getenv("URSA_SLOW") != nil ? 50 : 6)

/// The first difference of two disks, in words.
func difference(_ ours: [UInt8], _ theirs: [UInt8]) -> String? {
    if ours == theirs { return nil }
    let index = zip(ours, theirs).enumerated().first { $0.element.0 != $0.element.1 }?.offset
    return "\(ours.count) and \(theirs.count) bytes, different from \(index.map { "\($0)" } ?? "the end") on"
}
