public import UrsaBase

/// A part of a disk as a disk of its own.
public final class WindowReader: DiskReader {
    private let reader: any DiskReader
    private let start: UInt64
    /// Bytes of the disk.
    public let size: UInt64
    /// The format that it counts as.
    public var format: DiskFormat { .raw }
    /// What errors call it.
    public var name: String { reader.name }

    /// The bytes from `start` on, at most `count`; as many as there are.
    public init(_ reader: any DiskReader, start: UInt64, count: UInt64) {
        self.reader = reader
        self.start = min(start, reader.size)
        size = min(count, reader.size - self.start)
    }

    /// Fills `buffer` with the bytes from `offset`, all of which must be there.
    public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(UrsaError) {
        guard offset <= size, UInt64(buffer.count) <= size - offset else {
            throw UrsaError(.io, "a read past the end of \(name)")
        }
        try reader.read(into: buffer, at: start + offset)
    }

    /// The run at `offset`, at most `limit` bytes of it.
    public func extent(at offset: UInt64, limit: UInt64) throws(UrsaError) -> Extent {
        var extent = try reader.chainExtent(at: start + offset, limit: min(limit, size - offset)).extent
        extent.fileOffset = nil
        return extent
    }
}
