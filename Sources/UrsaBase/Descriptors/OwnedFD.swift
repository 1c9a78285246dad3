import Glibc

/// A file descriptor with one owner: it closes when its owner goes away.
public struct OwnedFD: ~Copyable, Sendable {
    /// The descriptor's number, valid while this value lives.
    public let raw: Int32

    /// Takes over an open descriptor.
    public init(_ raw: Int32) { self.raw = raw }

    deinit { close(raw) }

    /// Gives the descriptor away; the receiver must close it.
    public consuming func release() -> Int32 {
        let raw = raw
        discard self
        return raw
    }

    /// A second descriptor (close-on-exec) for the same open file.
    public func duplicate() throws(UrsaError) -> OwnedFD {
        OwnedFD(try retrying("duplicate a descriptor") { fcntl(raw, F_DUPFD_CLOEXEC, 3) })
    }

    /// Makes reads and writes return at once instead of waiting.
    public func setNonBlocking(_ on: Bool = true) throws(UrsaError) {
        let flags = try retrying("read descriptor flags") { fcntl(raw, F_GETFL) }
        let wanted = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK
        try retrying("set descriptor flags") { fcntl(raw, F_SETFL, wanted) }
    }
}

/// A shareable owner of a descriptor, for the places where several objects need the same one.
public final class SharedFD: Sendable {
    private let owned: OwnedFD
    /// The descriptor's number, valid while this object lives.
    public var raw: Int32 { owned.raw }
    /// Takes over an open descriptor.
    public init(_ owned: consuming OwnedFD) { self.owned = owned }
}
