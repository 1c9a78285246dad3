/// A run of bytes of a disk that are all of one kind.
public struct Extent: Sendable, Equatable {
    /// What a run reads as, and who says so.
    public enum Kind: Sendable, Equatable {
        /// Bytes stored in this image.
        case data
        /// Reads as zeros, and this image says so.
        case zero
        /// This image says nothing of it: read from the backing image, zeros where there is none.
        case unallocated
    }

    /// What the bytes are.
    public var kind: Kind
    /// Length in bytes, at least 1.
    public var length: UInt64
    /// Where the bytes lie as they are in the image's (data) file; nil when there are none or they are compressed.
    public var fileOffset: UInt64?
    /// Whether the bytes are stored compressed.
    public var isCompressed: Bool

    /// A run of `length` bytes.
    public init(kind: Kind, length: UInt64, fileOffset: UInt64? = nil, isCompressed: Bool = false) {
        self.kind = kind
        self.length = length
        self.fileOffset = fileOffset
        self.isCompressed = isCompressed
    }
}
