import UrsaBase

/// Apple's disk images (UDIF, dmg), for reading: stored, zero, ADC, zlib, bzip2 and xz pieces; LZFSE is refused by name
/// when such a piece is read.
///
/// A trailer of 512 bytes (`koly`) at the end names the tables of pieces: in an XML property list, or in old images in a
/// resource fork.
final class DMGReader: DiskReader {
    let format = DiskFormat.dmg
    let name: String
    let size: UInt64

    private let file: any ByteSource
    private let pieces: DMGChunks
    private let cache = ChunkCache(limit: 16 << 20)

    /// Largest table, in bytes. One of a disk of hundreds of gigabytes has a few MiB.
    private static let tableLimit: UInt64 = 16 << 20

    /// A dmg can't be told by its beginning: that is data. See `recognises(trailer:)`.
    static func recognises(_ header: [UInt8]) -> Bool { false }

    /// Whether a file that ends with these 512 bytes is of this format.
    static func recognises(trailer: [UInt8]) -> Bool {
        trailer.count == 512 && trailer.starts(with: "koly".utf8)
    }

    /// Opens an image.
    init(file: any ByteSource) throws(UrsaError) {
        let start = try file.structure("beginning", of: .dmg, at: 0, count: Int(min(8, file.size)))
        guard !start.says("encrcdsa"), !start.says("cdsaencr") else {
            throw file.refused(.dmg, "it is encrypted", remedy: "decrypt it: hdiutil convert")
        }
        guard file.size >= 512 else {
            throw file.damaged(.dmg, "a file of \(file.size) bytes has no room for a trailer")
        }
        let place = file.size - 512
        let trailer = try file.structure("trailer", of: .dmg, at: place, count: 512)
        guard Self.recognises(trailer: trailer.bytes) else {
            throw file.damaged(.dmg, "its trailer is not there", at: place)
        }
        guard trailer.big32(60) <= 1 else {
            throw file.refused(
                .dmg, "it is split into \(trailer.big32(60)) files", remedy: "join them: hdiutil convert")
        }
        let sectors = trailer.big64(0x1ec)
        guard sectors > 0, sectors <= 1 << 52 else {
            throw file.damaged(.dmg, "a disk of \(sectors) sectors is impossible", at: place + 0x1ec)
        }
        let data = trailer.big64(0x18)
        guard data <= place else {
            throw file.damaged(.dmg, "its data lies past the end of the file", at: place + 0x18)
        }
        var pieces = DMGChunks()
        if trailer.big64(0x30) != 0 {
            let fork = try Self.table(file, trailer, 0x28, place, "resource fork")
            try Self.addResources(fork, to: &pieces, data, file)
        } else {
            let text = try Self.table(file, trailer, 0xd8, place, "property list")
            let isWhole = try PropertyList.forEachData(in: text) { (table) throws(UrsaError) in
                try pieces.add(table, data: data, of: file)
            }
            guard isWhole else { throw file.damaged(.dmg, "its property list is not well formed") }
        }
        try pieces.finish(file)
        guard !pieces.all.isEmpty else { throw file.damaged(.dmg, "it has no pieces") }
        self.file = file
        self.pieces = pieces
        name = file.name
        size = sectors * 512
    }

    /// The bytes that two numbers of the trailer, offset and length, stand for.
    private static func table(
        _ file: any ByteSource, _ trailer: Fields, _ field: Int, _ end: UInt64, _ what: String
    ) throws(UrsaError) -> [UInt8] {
        let offset = trailer.big64(field)
        let length = trailer.big64(field + 8)
        guard length > 0, offset <= end, length <= end - offset else {
            throw file.damaged(.dmg, "its \(what) of \(length) bytes passes the trailer", at: offset)
        }
        guard length <= tableLimit else { throw file.refused(.dmg, "its \(what) has \(length) bytes") }
        return try file.structure(what, of: .dmg, at: offset, count: Int(length)).bytes
    }

    /// A resource fork: a header that says where the data is, there a length before each resource.
    private static func addResources(
        _ fork: [UInt8], to pieces: inout DMGChunks, _ data: UInt64, _ file: any ByteSource
    ) throws(UrsaError) {
        let fields = Fields(fork)
        guard fork.count >= 16 else { throw file.damaged(.dmg, "its resource fork is cut short") }
        var position = Int(fields.big32(0))
        let length = Int(fields.big32(8))
        guard length > 0, position <= fork.count, length <= fork.count - position else {
            throw file.damaged(.dmg, "the data of its resource fork passes its end")
        }
        let end = position + length
        while position < end {
            guard end - position >= 4 else { throw file.damaged(.dmg, "a resource is cut short") }
            let count = Int(fields.big32(position))
            guard count > 0, count <= end - position - 4 else {
                throw file.damaged(.dmg, "a resource of \(count) bytes passes the end of its fork")
            }
            try pieces.add(Array(fork[(position + 4)..<(position + 4 + count)]), data: data, of: file)
            position += 4 + count
        }
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(UrsaError) {
        guard offset <= size, UInt64(buffer.count) <= size - offset else {
            throw file.outside(offset, buffer.count, of: size)
        }
        var done = 0
        while done < buffer.count {
            let position = offset + UInt64(done)
            let index = try piece(at: position)
            let chunk = pieces.all[index]
            let within = position - chunk.start
            let count = Int(min(UInt64(buffer.count - done), chunk.size - within))
            let target = UnsafeMutableRawBufferPointer(rebasing: buffer[done..<done + count])
            switch chunk.kind {
            case .zero: clear(target)
            case .stored: try readStored(chunk, within, target)
            case .adc, .zlib, .bzip2, .xz:
                if UInt64(count) == chunk.size {
                    try decompress(chunk, into: target)
                } else {
                    let whole = try cache.chunk(UInt64(index), count: Int(chunk.size)) { (buffer) throws(UrsaError) in
                        try decompress(chunk, into: buffer)
                    }
                    let start = Int(within)
                    target.copyMemory(from: UnsafeRawBufferPointer(rebasing: whole.bytes[start..<start + count]))
                }
            case .refused(let method):
                throw file.refused(
                    .dmg, "byte \(position) of the disk is compressed with \(method)",
                    remedy: "convert it on a Mac: hdiutil convert -format UDZO")
            }
            done += count
        }
    }

    func extent(at offset: UInt64, limit: UInt64) throws(UrsaError) -> Extent {
        guard offset < size, limit > 0 else { throw file.outside(offset, 1, of: size) }
        let chunk = pieces.all[try piece(at: offset)]
        let within = offset - chunk.start
        let length = min(limit, size - offset, chunk.size - within)
        switch chunk.kind {
        case .zero: return Extent(kind: .zero, length: length)
        case .stored where within < chunk.length:
            return Extent(kind: .data, length: min(length, chunk.length - within), fileOffset: chunk.offset + within)
        case .stored: return Extent(kind: .zero, length: length)
        default: return Extent(kind: .data, length: length, isCompressed: true)
        }
    }

    private func piece(at offset: UInt64) throws(UrsaError) -> Int {
        guard let index = pieces.index(at: offset) else {
            throw file.damaged(.dmg, "no piece holds byte \(offset) of the disk")
        }
        return index
    }

    /// A stored piece may be shorter than what it stands for; the rest is zeros.
    private func readStored(
        _ chunk: DMGChunks.Chunk, _ within: UInt64, _ target: UnsafeMutableRawBufferPointer
    ) throws(UrsaError) {
        let present = within < chunk.length ? Int(min(UInt64(target.count), chunk.length - within)) : 0
        if present > 0 {
            let part = UnsafeMutableRawBufferPointer(rebasing: target[0..<present])
            try file.data(of: .dmg, into: part, at: chunk.offset + within)
        }
        clear(UnsafeMutableRawBufferPointer(rebasing: target[present...]))
    }

    private func decompress(
        _ chunk: DMGChunks.Chunk, into target: UnsafeMutableRawBufferPointer
    ) throws(UrsaError) {
        try withScratch(Int(chunk.length)) { (packed) throws(UrsaError) in
            try file.data(of: .dmg, into: packed, at: chunk.offset)
            guard chunk.kind != .zlib else {
                return try file.inflate(packed, into: target, least: target.count, .zlib, of: .dmg, at: chunk.offset)
            }
            let produced: Int
            do throws(UrsaError) {
                let input = UnsafeRawBufferPointer(packed)
                switch chunk.kind {
                case .adc: produced = try AppleDataCompression.decompress(input, into: target)
                case .bzip2: produced = try Bzip2.decompress(input, into: target)
                default: produced = try XZ.decompress(input, into: target)
                }
            } catch {
                throw file.damaged(.dmg, error.message, at: chunk.offset)
            }
            guard produced == target.count else {
                throw file.damaged(
                    .dmg, "a piece holds \(produced) bytes instead of \(target.count)", at: chunk.offset)
            }
        }
    }
}
