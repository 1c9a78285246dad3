import Glibc
import UrsaBase

@testable import UrsaDisk

extension Entry {
    /// The disk images of other programs: whatever a file says, it is read or refused, and reads the same every time.
    static let diskFormats: [Entry] = [
        Entry("Qcow", limit: 4096) { (bytes) throws(Violation) in
            try open(.qcow, LongFile(bytes)) {
                Array("QFI\u{fb}".unicodeScalars.map { UInt8($0.value) } + [0, 0, 0, 1])
            }
        },
        Entry("VMDK", limit: 4096) { (bytes) throws(Violation) in
            try open(.vmdk, LongFile(bytes)) { Array("KDMV".utf8) }
            try open(.vmdk, LongFile(bytes)) { Array("COWD".utf8) }
        },
        Entry("VMDKText", limit: 2048) { (bytes) throws(Violation) in
            let file = LongFile(Array("version=1\n".utf8) + bytes, grows: false)
            let names = try accepted { () throws(UrsaError) in try ForeignImage.names(in: file, format: .vmdk) }
            guard let names else { return }
            try need(names.allSatisfy { !$0.isEmpty && !$0.contains("\"") }, "\(names) are no names")
            let other = LongFile([UInt8](repeating: 7, count: 4096) + [20])
            let companions = names.map { _ in other as any ByteSource }
            let reader = try accepted { () throws(UrsaError) in
                try ForeignImage.open(file, format: .vmdk, companions: companions)
            }
            if let reader { try exercise(reader, nil) }
            let own = try accepted { () throws(UrsaError) in
                try ForeignImage.open(file, format: .vmdk, companions: names.map { _ in file })
            }
            if let own { try exercise(own, nil) }
        },
        Entry("VDI", limit: 2048) { (bytes) throws(Violation) in
            try open(.vdi, LongFile(bytes), at: 0x40) { [0x7f, 0x10, 0xda, 0xbe] }
        },
        Entry("VPC", limit: 4096) { (bytes) throws(Violation) in
            // The checksum is made right, so that the search is about what it guards.
            var file = bytes
            if file.count >= 512 {
                file.replaceSubrange(0..<8, with: "conectix".utf8)
                file.replaceSubrange(64..<68, with: [0, 0, 0, 0])
                let sum = ~file[0..<512].reduce(UInt32(0)) { $0 &+ UInt32($1) }
                withUnsafeBytes(of: sum.bigEndian) { file.replaceSubrange(64..<68, with: $0) }
            }
            try open(.vpc, LongFile(file))
            // A fixed disk has it at its end.
            try open(.vpc, LongFile(Array(file.dropFirst(512) + file.prefix(512)), grows: false))
        },
        Entry("VHDX", limit: 2048) { (bytes) throws(Violation) in
            let file = VHDXFile(bytes)
            let reader = try accepted { () throws(UrsaError) in try VHDXReader(file: file) }
            if let reader { try exercise(reader, reader.wasReplayed ? nil : file) }
        },
        Entry("Parallels", limit: 1024) { (bytes) throws(Violation) in
            try open(.parallels, LongFile(bytes)) { Array("WithoutFreeSpace".utf8) + [2, 0, 0, 0] }
            try open(.parallels, LongFile(bytes)) { Array("WithouFreSpacExt".utf8) + [2, 0, 0, 0] }
        },
        Entry("DMG", limit: 4096) { (bytes) throws(Violation) in
            try open(.dmg, LongFile(bytes, grows: false))
            // The tables alone, as a resource fork and as a property list; the data is the file from its first byte.
            for isFork in [true, false] {
                var trailer = [UInt8](repeating: 0, count: 512)
                trailer.replaceSubrange(0..<4, with: "koly".utf8)
                let field = isFork ? 0x30 : 0xe0
                withUnsafeBytes(of: UInt64(bytes.count).bigEndian) {
                    trailer.replaceSubrange(field..<field + 8, with: $0)
                }
                trailer[0x1f2] = 1
                try open(.dmg, LongFile(bytes + trailer, grows: false))
            }
        },
        Entry("Cloop", limit: 2048) { (bytes) throws(Violation) in try open(.cloop, LongFile(bytes)) },
        Entry("Bochs", limit: 2048) { (bytes) throws(Violation) in
            try open(.bochs, LongFile(bytes)) {
                Array("Bochs Virtual HD Image\0\0\0\0\0\0\0\0\0\0Redolog\0\0\0\0\0\0\0\0\0Growing\0".utf8)
            }
        },
        Entry("ADC", limit: 512) { (bytes) throws(Violation) in
            var output = [UInt8](repeating: 0xa5, count: 4096)
            let limit = bytes.first.map { Int($0) * 16 } ?? 0
            let count = try accepted { () throws(UrsaError) in
                try output.withUnsafeMutableBytesThrowing { (space) throws(UrsaError) in
                    try bytes.withUnsafeBytesThrowing { (input) throws(UrsaError) in
                        try AppleDataCompression.decompress(
                            input, into: UnsafeMutableRawBufferPointer(rebasing: space[0..<limit]))
                    }
                }
            }
            try need((count ?? 0) <= limit, "\(count ?? 0) bytes in \(limit)")
            try need(output[limit...].allSatisfy { $0 == 0xa5 }, "bytes were written past the end")
        },
    ]
}

/// Opens the file as it is, and with the beginning that the format wants.
private func open(
    _ format: DiskFormat, _ file: LongFile, at place: Int = 0, _ magic: () -> [UInt8] = { [] }
) throws(Violation) {
    let magic = magic()
    if !magic.isEmpty, file.bytes.count < place + magic.count { return }
    if !magic.isEmpty { file.bytes.replaceSubrange(place..<place + magic.count, with: magic) }
    let reader = try accepted { () throws(UrsaError) in try ForeignImage.open(file, format: format) }
    if let reader { try exercise(reader, file) }
}

/// What holds for every disk: reading twice gives the same, what is said to be zeros is, what lies in the file is there.
private func exercise(_ reader: any DiskReader, _ file: (any ByteSource)?) throws(Violation) {
    let size = reader.size
    try need(size > 0 && size <= 1 << 62, "a disk of \(size) bytes")
    for start in [0, size / 2, size - min(size, 700)] {
        let count = Int(min(size - start, 700))
        guard let whole = try bytes(reader, start, count) else { continue }
        let half = count / 2
        guard let first = try bytes(reader, start, half),
            let second = try bytes(reader, start + UInt64(half), count - half)
        else { throw Violation(description: "\(count) bytes at \(start) are read, but not in two parts") }
        try need(whole == first + second, "\(count) bytes at \(start) are others when read in two parts")
    }
    try need(try bytes(reader, size, 1) == nil, "a byte past the end is read")
    for start in [0, size / 2] {
        var offset = start
        for step in 0..<6 where offset < size {
            let limit = min(size - offset, step == 0 ? .max : 1 << 16)
            let place = offset
            guard let extent = try accepted({ () throws(UrsaError) in try reader.extent(at: place, limit: limit) })
            else { break }
            try need(extent.length >= 1 && extent.length <= limit, "an extent of \(extent.length) bytes at \(offset)")
            let count = Int(min(extent.length, 64))
            let content = try bytes(reader, offset, count)
            if extent.kind != .data {
                try need(content == [UInt8](repeating: 0, count: count), "\(extent) at \(offset) is not zeros")
            } else if let content, let stored = extent.fileOffset, let file {
                try need(content == (try bytes(file, stored, count)), "\(extent) at \(offset) is not there")
            }
            offset += extent.length
        }
    }
}

private func bytes(_ reader: any DiskReader, _ offset: UInt64, _ count: Int) throws(Violation) -> [UInt8]? {
    var buffer = [UInt8](repeating: 0xa5, count: count)
    let done: Void? = try accepted { () throws(UrsaError) in
        try buffer.withUnsafeMutableBytesThrowing { (space) throws(UrsaError) in
            try reader.read(into: space, at: offset)
        }
    }
    return done == nil ? nil : buffer
}

private func bytes(_ file: any ByteSource, _ offset: UInt64, _ count: Int) throws(Violation) -> [UInt8]? {
    var buffer = [UInt8](repeating: 0, count: count)
    let done: Void? = try accepted { () throws(UrsaError) in
        try buffer.withUnsafeMutableBytesThrowing { (space) throws(UrsaError) in try file.read(into: space, at: offset)
        }
    }
    return done == nil ? nil : buffer
}

/// A file in memory that is longer than its bytes: as a sparse one on a disk, so that few bytes can describe much.
private final class LongFile: ByteSource, @unchecked Sendable {
    // SAFETY: an entry runs on one thread.
    var bytes: [UInt8]
    let size: UInt64
    let name = "image"

    /// The last byte says how long the file is, unless it must end where the bytes do.
    init(_ bytes: [UInt8], grows: Bool = true) {
        self.bytes = bytes
        let longer: UInt64 = grows ? 1 << UInt64(bytes.last.map { $0 % 44 } ?? 0) : 0
        size = max(UInt64(bytes.count), longer)
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(UrsaError) {
        guard holds(UInt64(buffer.count), at: offset) else { throw UrsaError(.io, "the end of \(name)") }
        if let base = buffer.baseAddress { memset(base, 0, buffer.count) }
        guard offset < UInt64(bytes.count) else { return }
        let start = Int(offset)
        let count = min(buffer.count, bytes.count - start)
        bytes.withUnsafeBytes { buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[start..<start + count])) }
    }
}

/// A vhdx file whose structures are where they belong and have right checksums; the input fills their fields.
private final class VHDXFile: ByteSource {
    let name = "image"
    let size: UInt64 = 1 << 40
    private let parts: [(place: UInt64, bytes: [UInt8])]

    init(_ input: [UInt8]) {
        var rest = input[...]
        func take(_ count: Int) -> [UInt8] {
            let taken = Array(rest.prefix(count))
            rest = rest.dropFirst(count)
            return taken + [UInt8](repeating: 0, count: count - taken.count)
        }
        let header = Self.sealed(Array("head".utf8) + take(76), 4096)
        let regions = Self.sealed(Array("regi".utf8) + take(108), 64 << 10)
        let metadata = take(256)
        let items = take(64)
        let table = take(256)
        // One entry of the log, as long as its first field says, at most three sectors.
        var entry = Array("loge".utf8) + rest
        entry += [UInt8](repeating: 0, count: max(0, 12288 - entry.count))
        let length = Int(UInt32(entry[8]) | UInt32(entry[9]) << 8)
        if length >= 4096, length <= 12288, length % 4096 == 0 {
            // The sectors after the first are data, with the entry's own number.
            for sector in stride(from: 4096, to: length, by: 4096) {
                entry.replaceSubrange(sector..<sector + 4, with: "data".utf8)
                entry.replaceSubrange(sector + 4..<sector + 8, with: entry[20..<24])
                entry.replaceSubrange(sector + 4092..<sector + 4096, with: entry[16..<20])
            }
            entry.replaceSubrange(0..<length, with: Self.sealed(Array(entry[0..<length]), length))
        }
        parts = [
            (0, Array("vhdxfile".utf8)), (64 << 10, header), (128 << 10, header), (192 << 10, regions),
            (1 << 20, entry), (2 << 20, metadata), ((2 << 20) + (64 << 10), items), (3 << 20, table),
        ]
    }

    private static func sealed(_ start: [UInt8], _ count: Int) -> [UInt8] {
        var bytes = start + [UInt8](repeating: 0, count: count - start.count)
        let sum = CRC32C.of(bytes)
        withUnsafeBytes(of: sum.littleEndian) { bytes.replaceSubrange(4..<8, with: $0) }
        return bytes
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(UrsaError) {
        guard holds(UInt64(buffer.count), at: offset) else { throw UrsaError(.io, "the end of \(name)") }
        if let base = buffer.baseAddress { memset(base, 0, buffer.count) }
        let end = offset + UInt64(buffer.count)
        for part in parts {
            let first = max(offset, part.place)
            let last = min(end, part.place + UInt64(part.bytes.count))
            guard first < last else { continue }
            let from = Int(first - part.place)..<Int(last - part.place)
            let target = UnsafeMutableRawBufferPointer(rebasing: buffer[Int(first - offset)..<Int(last - offset)])
            part.bytes.withUnsafeBytes { target.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[from])) }
        }
    }
}

extension Array where Element == UInt8 {
    /// The bytes for a call with a typed error.
    fileprivate func withUnsafeBytesThrowing<R>(
        _ body: (UnsafeRawBufferPointer) throws(UrsaError) -> R
    ) throws(UrsaError) -> R {
        let result: Result<R, UrsaError> = withUnsafeBytes { bytes in
            do throws(UrsaError) { return .success(try body(bytes)) } catch { return .failure(error) }
        }
        return try result.get()
    }

    fileprivate mutating func withUnsafeMutableBytesThrowing<R>(
        _ body: (UnsafeMutableRawBufferPointer) throws(UrsaError) -> R
    ) throws(UrsaError) -> R {
        let result: Result<R, UrsaError> = withUnsafeMutableBytes { bytes in
            do throws(UrsaError) { return .success(try body(bytes)) } catch { return .failure(error) }
        }
        return try result.get()
    }
}
