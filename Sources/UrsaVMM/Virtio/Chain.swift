public import Glibc

/// One request of the driver: a chain of descriptors, as pieces of memory of this process that were checked to lie inside
/// of the guest's memory. First those that the device reads, then those that it writes (virtio 1.2 section 2.7.4.2).
///
/// A chain is made once and filled again for each request, so that no request allocates. The guest may still change the
/// memory that the pieces name: what is read from it is copied first and checked afterwards.
public struct Chain: ~Copyable {
    /// Most pieces.
    public let capacity: Int
    /// Where the chain begins in the descriptor table: the name by which it is given back.
    public internal(set) var head: UInt16 = 0
    /// Bytes that the device has not read yet.
    public internal(set) var readableBytes = 0
    /// Bytes that the device has not written yet.
    public internal(set) var writableBytes = 0

    let pieces: UnsafeMutablePointer<iovec>
    var firstReadable = 0
    var endReadable = 0
    var firstWritable = 0
    var endWritable = 0

    /// An empty chain for queues of at most `capacity` entries.
    public init(capacity: Int) {
        self.capacity = max(1, capacity)
        // Not initialised: pieces are written before they are counted, and memory that is not used is not taken.
        pieces = .allocate(capacity: self.capacity)
    }

    deinit { pieces.deallocate() }

    /// The pieces that the device may read; valid until the chain is filled again.
    public var readable: UnsafeMutableBufferPointer<iovec> {
        UnsafeMutableBufferPointer(start: pieces + firstReadable, count: endReadable &- firstReadable)
    }
    /// The pieces that the device may write; valid until the chain is filled again.
    public var writable: UnsafeMutableBufferPointer<iovec> {
        UnsafeMutableBufferPointer(start: pieces + firstWritable, count: endWritable &- firstWritable)
    }

    mutating func clear() {
        readableBytes = 0
        writableBytes = 0
        firstReadable = 0
        endReadable = 0
        firstWritable = 0
        endWritable = 0
    }

    // MARK: Reading

    /// Copies the next bytes that the driver gave; false, with nothing taken, when there are fewer.
    public mutating func read(into target: UnsafeMutableRawPointer, _ count: Int) -> Bool {
        guard count >= 0, count <= readableBytes else { return false }
        var done = 0
        while done < count {
            let piece = pieces[firstReadable]
            let part = min(piece.iov_len, count &- done)
            if let base = piece.iov_base { (target + done).copyMemory(from: base, byteCount: part) }
            advanceReadable(part)
            done &+= part
        }
        return true
    }

    /// A little-endian integer from the next bytes that the driver gave; nil when there are too few.
    public mutating func read<T: FixedWidthInteger>(_ type: T.Type = T.self) -> T? {
        var value: T = 0
        let isThere = withUnsafeMutableBytes(of: &value) { buffer in
            guard let start = buffer.baseAddress else { return false }
            return read(into: start, buffer.count)
        }
        return isThere ? T(littleEndian: value) : nil
    }

    /// Passes over bytes that the driver gave; false, with nothing taken, when there are fewer.
    public mutating func skip(_ count: Int) -> Bool {
        guard count >= 0, count <= readableBytes else { return false }
        var rest = count
        while rest > 0 {
            let part = min(pieces[firstReadable].iov_len, rest)
            advanceReadable(part)
            rest &-= part
        }
        return true
    }

    @inline(__always)
    private mutating func advanceReadable(_ count: Int) {
        readableBytes &-= count
        if pieces[firstReadable].iov_len == count {
            firstReadable &+= 1
        } else {
            pieces[firstReadable].iov_base += count
            pieces[firstReadable].iov_len &-= count
        }
    }

    // MARK: Writing

    /// Copies bytes to the driver; false, with nothing written, when there is no room for all.
    public mutating func write(_ source: UnsafeRawPointer, _ count: Int) -> Bool {
        guard count >= 0, count <= writableBytes else { return false }
        var done = 0
        while done < count {
            let piece = pieces[firstWritable]
            let part = min(piece.iov_len, count &- done)
            if let base = piece.iov_base { base.copyMemory(from: source + done, byteCount: part) }
            advanceWritable(part)
            done &+= part
        }
        return true
    }

    /// Copies an array to the driver; as `write(_:_:)`.
    public mutating func write(_ bytes: [UInt8]) -> Bool {
        bytes.withUnsafeBytes { buffer in
            guard let start = buffer.baseAddress else { return true }
            return write(start, buffer.count)
        }
    }

    /// Passes over bytes that something else has written; false, with nothing taken, when there are fewer.
    public mutating func skipWritable(_ count: Int) -> Bool {
        guard count >= 0, count <= writableBytes else { return false }
        var rest = count
        while rest > 0 {
            let part = min(pieces[firstWritable].iov_len, rest)
            advanceWritable(part)
            rest &-= part
        }
        return true
    }

    @inline(__always)
    private mutating func advanceWritable(_ count: Int) {
        writableBytes &-= count
        if pieces[firstWritable].iov_len == count {
            firstWritable &+= 1
        } else {
            pieces[firstWritable].iov_base += count
            pieces[firstWritable].iov_len &-= count
        }
    }

    /// Takes the last byte that the device may write off the chain, and says where it is: where block requests want their
    /// status. Nil when there is none.
    public mutating func takeLastWritable() -> UnsafeMutablePointer<UInt8>? {
        guard writableBytes > 0, let base = pieces[endWritable &- 1].iov_base else { return nil }
        let length = pieces[endWritable &- 1].iov_len
        writableBytes &-= 1
        if length == 1 { endWritable &-= 1 } else { pieces[endWritable &- 1].iov_len = length &- 1 }
        return (base + (length &- 1)).assumingMemoryBound(to: UInt8.self)
    }
}
