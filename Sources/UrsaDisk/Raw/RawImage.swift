public import UrsaBase

/// A raw image: the disk's bytes as they are, in a file with holes or on a block device.
public final class RawImage: DiskWriter, Sendable {
    /// Which format this is.
    public var format: DiskFormat { .raw }
    /// The file's path.
    public var name: String { file.name }
    /// Bytes of the disk.
    public var size: UInt64 { file.size }
    /// The file.
    public let file: ImageFile

    /// Any file or block device is a raw image of its size.
    public init(file: ImageFile) { self.file = file }

    /// Makes the file of a new raw image `size` bytes long; it must be open for writing.
    public static func create(
        _ file: ImageFile, size: UInt64, preallocation: Preallocation = .off
    ) throws(UrsaError) -> RawImage {
        let image = RawImage(file: file)
        guard preallocation != .metadata else { throw noTables(file.name) }
        try file.resize(to: 0)
        try image.resize(to: size, preallocation: preallocation)
        return image
    }

    private static func noTables(_ name: String) -> UrsaError {
        UrsaError(.usage, "\(name) is raw: it has no tables to preallocate", remedy: "use preallocation=falloc or full")
    }

    private func checkRange(_ offset: UInt64, _ count: UInt64) throws(UrsaError) {
        let size = size
        guard offset <= size, count <= size - offset else {
            throw UrsaError(
                .usage, "\(count) bytes at offset \(offset) lie past the end of \(name), a disk of \(size) bytes")
        }
    }

    /// Fills a buffer with the disk's bytes from an offset.
    public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(UrsaError) {
        try file.read(into: buffer, at: offset)
    }

    /// The run at an offset, as this image alone says it.
    public func extent(at offset: UInt64, limit: UInt64) throws(UrsaError) -> Extent {
        try checkRange(offset, 1)
        let (isHole, length) = file.hole(at: offset, limit: min(max(1, limit), size - offset))
        return Extent(kind: isHole ? .zero : .data, length: max(1, length), fileOffset: offset)
    }

    /// Writes bytes of the disk.
    public func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(UrsaError) {
        try checkRange(offset, UInt64(bytes.count))
        try file.write(bytes, at: offset)
    }

    /// Makes a range of the disk read as zeros.
    public func writeZeroes(at offset: UInt64, count: UInt64, unmap: Bool) throws(UrsaError) {
        try checkRange(offset, count)
        try file.writeZeroes(at: offset, count: count, unmap: unmap)
    }

    /// Gives the space of the whole clusters of a range back; they read as zeros where the format can say so.
    public func discard(at offset: UInt64, count: UInt64) throws(UrsaError) {
        try checkRange(offset, count)
        try file.discard(at: offset, count: count)
    }

    /// Returns when everything written before is on stable storage.
    public func flush() throws(UrsaError) { try file.sync() }

    /// Changes the size of the disk, in whole sectors. What a shrinking disk loses is lost at once.
    public func resize(to size: UInt64, preallocation: Preallocation) throws(UrsaError) {
        let old = self.size
        guard preallocation != .metadata else { throw RawImage.noTables(name) }
        guard preallocation == .off || size >= old else {
            throw UrsaError(.usage, "preallocation is for growing, but \(name) would shrink")
        }
        try file.resize(to: size)
        guard size > old else { return }
        switch preallocation {
        case .off, .metadata: break
        case .falloc: try file.allocate(at: old, count: size - old)
        case .full:
            try file.allocate(at: old, count: size - old)
            let zeros = AlignedBuffer(count: 1 << 20)
            zeros.bytes.initializeMemory(as: UInt8.self, repeating: 0)
            var offset = old
            while offset < size {
                let piece = min(size - offset, UInt64(zeros.count))
                try file.write(UnsafeRawBufferPointer(zeros.prefix(Int(piece))), at: offset)
                offset += piece
            }
        }
    }

    /// Writes everything out; nothing may be called afterwards.
    public func close() throws(UrsaError) { ImageLock.release(file) }
}
