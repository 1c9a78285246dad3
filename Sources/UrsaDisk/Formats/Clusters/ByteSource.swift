import UrsaBase

/// Where the structures of an image are read from: its file, or the file as a log in it says it should be.
protocol ByteSource: AnyObject, Sendable {
    /// What errors call it.
    var name: String { get }
    /// Length in bytes.
    var size: UInt64 { get }
    /// Fills `buffer` from `offset`; a range past the end is an error.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(UrsaError)
    /// Whether `offset` lies in a hole, and how far that or the data goes.
    func hole(at offset: UInt64, limit: UInt64) -> (isHole: Bool, length: UInt64)
}

extension ImageFile: ByteSource {}

extension ByteSource {
    func hole(at offset: UInt64, limit: UInt64) -> (isHole: Bool, length: UInt64) { (false, limit) }

    /// An error for what can't be true in an image of `format`: file, structure and place.
    func damaged(_ format: DiskFormat, _ what: String, at offset: UInt64? = nil) -> UrsaError {
        UrsaError(
            .io, "\(name) is a damaged \(format.rawValue) image: \(what)", place: offset.map { "offset \($0)" },
            remedy: "restore it from a copy")
    }

    /// An error for what an image of `format` needs and this reader does not do.
    func refused(_ format: DiskFormat, _ what: String, remedy: String? = nil) -> UrsaError {
        UrsaError(.unsupported, "\(name) can't be read as \(format.rawValue): \(what)", remedy: remedy)
    }

    /// Whether `count` bytes from `offset` are in the file.
    func holds(_ count: UInt64, at offset: UInt64) -> Bool { offset <= size && count <= size - offset }

    /// A structure of `count` bytes, which the caller bounds; cut short it is an error that names it.
    func structure(
        _ structure: String, of format: DiskFormat, at offset: UInt64, count: Int
    ) throws(UrsaError) -> Fields {
        guard holds(UInt64(count), at: offset) else {
            throw damaged(format, "its \(structure) of \(count) bytes passes the end of the file", at: offset)
        }
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
        defer { bytes.deallocate() }
        try read(into: bytes, at: offset)
        return Fields(Array(bytes))
    }

    /// Fills `buffer` with the data of a cluster or chunk.
    func data(
        of format: DiskFormat, into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
    ) throws(UrsaError) {
        guard holds(UInt64(buffer.count), at: offset) else {
            throw damaged(format, "\(buffer.count) bytes of data pass the end of the file", at: offset)
        }
        try read(into: buffer, at: offset)
    }
}

/// Numbers and words at fixed places of a structure. The places are the format's; they lie inside of what was read.
struct Fields: Sendable {
    let bytes: [UInt8]

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    private func load<T: FixedWidthInteger>(_ offset: Int, _: T.Type) -> T {
        bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: T.self) }
    }

    func little16(_ offset: Int) -> UInt16 { UInt16(littleEndian: load(offset, UInt16.self)) }
    func little32(_ offset: Int) -> UInt32 { UInt32(littleEndian: load(offset, UInt32.self)) }
    func little64(_ offset: Int) -> UInt64 { UInt64(littleEndian: load(offset, UInt64.self)) }
    func big16(_ offset: Int) -> UInt16 { UInt16(bigEndian: load(offset, UInt16.self)) }
    func big32(_ offset: Int) -> UInt32 { UInt32(bigEndian: load(offset, UInt32.self)) }
    func big64(_ offset: Int) -> UInt64 { UInt64(bigEndian: load(offset, UInt64.self)) }

    /// Whether the bytes at `offset` are those of `word`.
    func says(_ word: String, at offset: Int = 0) -> Bool { bytes.dropFirst(offset).starts(with: word.utf8) }

    /// Whether `count` bytes at `offset` are all zero.
    func isZero(_ offset: Int, _ count: Int) -> Bool {
        bytes.dropFirst(offset).prefix(count).allSatisfy { $0 == 0 }
    }
}
