public import UrsaBase

/// Several disks one behind the other, as `convert` takes them.
public final class JoinedReader: DiskReader {
    private let parts: [(start: UInt64, reader: any DiskReader)]
    /// Bytes of the disk.
    public let size: UInt64
    /// The format that it counts as.
    public var format: DiskFormat { .raw }
    /// What errors call it.
    public var name: String { parts.map(\.reader.name).joined(separator: ", ") }

    /// Joins at least one disk. The sum of their sizes must fit.
    public init(_ readers: [any DiskReader]) throws(UrsaError) {
        var start: UInt64 = 0
        var parts: [(start: UInt64, reader: any DiskReader)] = []
        for reader in readers {
            parts.append((start, reader))
            let (end, overflow) = start.addingReportingOverflow(reader.size)
            guard !overflow, end <= UInt64(Int64.max) else {
                throw UrsaError(.usage, "the images together are larger than a disk can be")
            }
            start = end
        }
        self.parts = parts
        size = start
    }

    private func part(at offset: UInt64) -> (start: UInt64, reader: any DiskReader)? {
        parts.last { $0.start <= offset && $0.reader.size > offset - $0.start }
    }

    /// Fills `buffer` with the bytes from `offset`, all of which must be there.
    public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(UrsaError) {
        var done = 0
        while done < buffer.count {
            guard let (start, reader) = part(at: offset + UInt64(done)) else {
                throw UrsaError(.io, "a read past the end of \(name)")
            }
            let inside = offset + UInt64(done) - start
            let count = Int(min(UInt64(buffer.count - done), reader.size - inside))
            try reader.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[done..<done + count]), at: inside)
            done += count
        }
    }

    /// The run at `offset`, at most `limit` bytes of it.
    public func extent(at offset: UInt64, limit: UInt64) throws(UrsaError) -> Extent {
        guard let (start, reader) = part(at: offset) else { return Extent(kind: .zero, length: max(1, limit)) }
        let inside = offset - start
        var extent = try reader.chainExtent(at: inside, limit: min(limit, reader.size - inside)).extent
        extent.fileOffset = nil
        return extent
    }
}
