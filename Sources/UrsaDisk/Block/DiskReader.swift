public import UrsaBase

/// The content of one image as a guest sees it, for reading.
///
/// An implementation reads one format. What the file says is hostile until checked: every failure is an error, memory
/// stays bounded whatever the file claims, and no other file is opened that the caller did not name.
/// `read` and `extent` may be called from several threads at once.
public protocol DiskReader: AnyObject, Sendable {
    var format: DiskFormat { get }
    /// Size of the disk in bytes, as the guest sees it.
    var size: UInt64 { get }

    /// Fills `buffer` with the bytes from `offset`. Bytes past the end of the disk are an error.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(UrsaError)

    /// The run that begins at `offset` (which is inside the disk), at most `limit` bytes of it. The run may be shorter than the longest possible.
    func extent(at offset: UInt64, limit: UInt64) throws(UrsaError) -> Extent
}

/// An image that can be written too. One writer at a time.
public protocol DiskWriter: DiskReader {
    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(UrsaError)
    /// Makes the range read as zeros. With `unmap` the space may be given back.
    func writeZeroes(at offset: UInt64, count: UInt64, unmap: Bool) throws(UrsaError)
    /// Gives the space of a range back; what it reads as afterwards is zeros where the format can say so.
    func discard(at offset: UInt64, count: UInt64) throws(UrsaError)
    /// Returns when everything written before is on stable storage.
    func flush() throws(UrsaError)
}
