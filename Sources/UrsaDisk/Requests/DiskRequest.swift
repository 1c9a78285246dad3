public import Glibc
public import UrsaBase

/// One request to a disk. Its memory stays its owner's, and must stay where it is until the request is complete.
public struct DiskRequest {
    /// What is to be done.
    public enum Kind: Sendable {
        case read
        case write
        /// Everything that was complete when this was submitted is on stable storage when it is complete.
        case flush
        case discard
        case zero(unmap: Bool)
    }

    /// What is to be done.
    public var kind: Kind
    /// First byte of the disk.
    public var offset: UInt64
    /// Bytes of the disk.
    public var count: UInt64
    /// The memory to read into or write from: pieces that together have `count` bytes.
    public var pieces: UnsafeMutablePointer<iovec>?
    /// How many pieces.
    public var pieceCount: Int
    /// Comes back with the completion.
    public var token: UInt64

    /// A request; `pieces` are only for reading and writing.
    public init(
        _ kind: Kind, at offset: UInt64 = 0, count: UInt64 = 0, pieces: UnsafeMutablePointer<iovec>? = nil,
        pieceCount: Int = 0, token: UInt64
    ) {
        self.kind = kind
        self.offset = offset
        self.count = count
        self.pieces = pieces
        self.pieceCount = pieceCount
        self.token = token
    }
}

/// What became of a request.
public struct DiskCompletion: Sendable {
    /// That of the request.
    public var token: UInt64
    /// Why it failed; nil when it did not.
    public var error: UrsaError?
}
