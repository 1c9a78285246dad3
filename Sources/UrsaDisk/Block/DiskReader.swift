public import UrsaBase

/// The content of one image as a guest sees it, for reading.
///
/// An implementation reads one format. What the file says is hostile until checked: every failure is an error, memory
/// stays bounded whatever the file claims, and no other file is opened that the caller did not name.
/// All of it may be called from several threads at once.
public protocol DiskReader: AnyObject, Sendable {
    var format: DiskFormat { get }
    /// The file that the image was opened from, as errors name it.
    var name: String { get }
    /// Size of the disk in bytes, as the guest sees it.
    var size: UInt64 { get }
    /// The image that is read where this one says nothing; nil for the last of a chain. It may be smaller or larger.
    var backing: (any DiskReader)? { get }
    /// The unit in which the format allocates, in bytes; nil where it has none.
    var clusterSize: UInt64? { get }

    /// Fills `buffer` with the bytes from `offset`, through the whole chain. Bytes past the end of the disk are an error.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(UrsaError)

    /// The run that begins at `offset` (which is inside the disk), at most `limit` bytes of it, as this image alone
    /// says it. The run may be shorter than the longest possible.
    func extent(at offset: UInt64, limit: UInt64) throws(UrsaError) -> Extent
}

extension DiskReader {
    /// Formats without backing images.
    public var backing: (any DiskReader)? { nil }
    /// Formats without clusters.
    public var clusterSize: UInt64? { nil }
}

/// How space is provided for a disk, or for the part it grows by.
public enum Preallocation: String, Sendable, CaseIterable {
    /// Space is taken when it is written.
    case off
    /// The format's tables are there, the data is not.
    case metadata
    /// The filesystem reserves the space.
    case falloc
    /// Zeros are written.
    case full
}

/// An image that can be written too. Several threads may call it; ranges that overlap in time have no order.
public protocol DiskWriter: DiskReader {
    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(UrsaError)
    /// Makes the range read as zeros. With `unmap` the space may be given back.
    func writeZeroes(at offset: UInt64, count: UInt64, unmap: Bool) throws(UrsaError)
    /// Gives the space of a range back; what it reads as afterwards is zeros where the format can say so.
    func discard(at offset: UInt64, count: UInt64) throws(UrsaError)
    /// Returns when everything written before is on stable storage.
    func flush() throws(UrsaError)
    /// Changes the size of the disk. Shrinking loses what lies past the new end: whoever asks must have said so.
    func resize(to size: UInt64, preallocation: Preallocation) throws(UrsaError)
    /// Writes everything out and ends the use of the image. Without it a later open may have to mend counters.
    func close() throws(UrsaError)
}
