import Glibc

/// Buffers that the driver has given for frames to come, taken from its queue ahead of them: how long a frame is is known
/// only when it is there, and one may need several buffers (virtio 1.2 section 5.1.6.3, MRG_RXBUF).
struct ReceiveBuffers: ~Copyable {
    private struct Buffer {
        var head: UInt16
        var pieces: Int
        var bytes: Int
    }

    private let merges: Bool
    /// Bytes that the largest frame takes.
    private let wanted: Int
    /// Bytes of header that frames bring along: 12, or none, and then it is made here.
    private let header: Int
    private let buffers: UnsafeMutablePointer<Buffer>
    private let pieces: UnsafeMutablePointer<iovec>
    private var firstBuffer = 0
    private var endBuffer = 0
    private var firstPiece = 0
    private var endPiece = 0
    private var bytes = 0
    private var chain: Chain
    /// The queue has nothing more to give.
    private var isExhausted = false

    private static let mostBuffers = 1024
    private static let mostPieces = 4096
    /// What one call of the kernel takes (UIO_MAXIOV).
    private static let mostInCall = 1024

    init(merges: Bool, wanted: Int, header: Int, largest: Int) {
        self.merges = merges
        self.wanted = wanted
        self.header = header
        buffers = .allocate(capacity: ReceiveBuffers.mostBuffers)
        pieces = .allocate(capacity: ReceiveBuffers.mostPieces)
        chain = Chain(capacity: largest)
    }

    deinit {
        buffers.deallocate()
        pieces.deallocate()
    }

    /// Takes buffers until the largest frame has room; false when the driver broke the rules.
    @inline(__always)
    mutating func fill(from queue: inout Queue) -> Bool {
        isExhausted = false
        while merges ? bytes < wanted : endBuffer == firstBuffer {
            // The pieces of a frame must fit into one call: what has more is delivered in parts it can't have.
            guard endPiece &- firstPiece < ReceiveBuffers.mostInCall else { break }
            if endBuffer == ReceiveBuffers.mostBuffers || endPiece &+ chain.capacity > ReceiveBuffers.mostPieces {
                compact()
            }
            switch queue.next(into: &chain) {
            case .none:
                isExhausted = true
                return true
            case .broken: return false
            case .chain: break
            }
            let count = chain.writable.count
            // One that holds no frame goes back at once: kept, it would be waited for and be there at the same time.
            guard chain.writableBytes > (merges ? 0 : 12), let start = chain.writable.baseAddress else {
                queue.add(chain.head, written: 0)
                continue
            }
            (pieces + endPiece).update(from: start, count: count)
            buffers[endBuffer] = Buffer(head: chain.head, pieces: count, bytes: chain.writableBytes)
            endPiece &+= count
            endBuffer &+= 1
            bytes &+= chain.writableBytes
        }
        return true
    }

    private mutating func compact() {
        let (bufferCount, pieceCount) = (endBuffer &- firstBuffer, endPiece &- firstPiece)
        buffers.update(from: buffers + firstBuffer, count: bufferCount)
        pieces.update(from: pieces + firstPiece, count: pieceCount)
        (firstBuffer, endBuffer, firstPiece, endPiece) = (0, bufferCount, 0, pieceCount)
    }

    /// Whether a frame may be received. With merging, a driver that gave all it has gets frames that fit into that.
    var isEnough: Bool {
        capacity > 12
            && (!merges || bytes >= wanted || isExhausted || endPiece &- firstPiece >= ReceiveBuffers.mostInCall)
    }

    /// Bytes that the next frame may have, with its header.
    private var capacity: Int {
        guard endBuffer > firstBuffer else { return 0 }
        return merges ? bytes : buffers[firstBuffer].bytes
    }

    /// Receives a frame into the buffers; its bytes with header, 0 when the other side is gone, or -errno. A frame that is too
    /// long for them is lost.
    @inline(__always)
    mutating func receive(_ backend: NetworkBackend) -> Int {
        while true {
            let pieceEnd = merges ? endPiece : firstPiece &+ buffers[firstBuffer].pieces
            let limit = capacity
            let count: Int
            if header == 12 {
                count = backend.receive(pieces + firstPiece, pieceEnd &- firstPiece)
            } else {
                // Leaves the header's place free.
                var index = firstPiece
                var skip = 12
                while skip >= pieces[index].iov_len, index < pieceEnd &- 1 {
                    skip &-= pieces[index].iov_len
                    index &+= 1
                }
                let whole = pieces[index]
                pieces[index].iov_base += skip
                pieces[index].iov_len &-= skip
                let frame = backend.receive(pieces + index, pieceEnd &- index)
                pieces[index] = whole
                count = frame > 0 ? frame &+ 12 : frame
            }
            guard count > limit else { return count }
        }
    }

    /// Gives the buffers of a received frame to the driver.
    @inline(__always)
    mutating func deliver(_ count: Int, into queue: inout Queue) {
        var used = 0
        var rest = count
        while rest > 0, firstBuffer &+ used < endBuffer {
            rest &-= min(rest, buffers[firstBuffer &+ used].bytes)
            used &+= 1
        }
        // The count of buffers is the header's last field, also where it is always one (section 5.1.6.4).
        var fields: (UInt64, UInt16, UInt16) = (0, 0, UInt16(truncatingIfNeeded: used).littleEndian)
        withUnsafeBytes(of: &fields) { bytes in
            if header == 12 {
                write(UnsafeRawBufferPointer(rebasing: bytes[10..<12]), at: 10)
            } else {
                write(UnsafeRawBufferPointer(rebasing: bytes[0..<12]), at: 0)
            }
        }
        rest = count
        for _ in 0..<used {
            let buffer = buffers[firstBuffer]
            let part = min(rest, buffer.bytes)
            queue.add(buffer.head, written: UInt32(truncatingIfNeeded: part))
            rest &-= part
            bytes &-= buffer.bytes
            firstPiece &+= buffer.pieces
            firstBuffer &+= 1
        }
    }

    /// Writes bytes at an offset of the buffers' bytes.
    @inline(__always)
    private func write(_ source: UnsafeRawBufferPointer, at offset: Int) {
        var index = firstPiece
        var skip = offset
        var done = 0
        while done < source.count, index < endPiece {
            let piece = pieces[index]
            if skip >= piece.iov_len {
                skip &-= piece.iov_len
                index &+= 1
                continue
            }
            let part = min(piece.iov_len &- skip, source.count &- done)
            if let base = piece.iov_base, let start = source.baseAddress {
                (base + skip).copyMemory(from: start + done, byteCount: part)
            }
            done &+= part
            skip = 0
            index &+= 1
        }
    }
}
