import UrsaBase

/// A part of a file that is the disk's content as it is: fixed images and flat extents.
final class FlatReader: DiskReader {
    let format: DiskFormat
    let size: UInt64
    private let file: any ByteSource
    private let start: UInt64

    var name: String { file.name }

    /// - Throws: when the part passes the end of the file.
    init(_ file: any ByteSource, format: DiskFormat, at start: UInt64, size: UInt64) throws(UrsaError) {
        guard file.holds(size, at: start) else {
            throw file.damaged(format, "\(size) bytes of data pass the end of the file", at: start)
        }
        self.file = file
        self.format = format
        self.start = start
        self.size = size
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(UrsaError) {
        guard offset <= size, UInt64(buffer.count) <= size - offset else {
            throw file.outside(offset, buffer.count, of: size)
        }
        try file.read(into: buffer, at: start + offset)
    }

    func extent(at offset: UInt64, limit: UInt64) throws(UrsaError) -> Extent {
        guard offset < size, limit > 0 else { throw file.outside(offset, 1, of: size) }
        let run = file.hole(at: start + offset, limit: min(limit, size - offset))
        return Extent(kind: run.isHole ? .zero : .data, length: max(1, run.length), fileOffset: start + offset)
    }
}

extension ByteSource {
    /// An error for a range that is not in the disk.
    func outside(_ offset: UInt64, _ count: Int, of size: UInt64) -> UrsaError {
        UrsaError(.usage, "\(count) bytes at offset \(offset) pass the end of the disk in \(name), which has \(size)")
    }
}
