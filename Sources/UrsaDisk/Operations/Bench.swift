import Glibc
public import UrsaBase

/// A run of equal requests to an image, one step further each, as `bench` makes them.
public struct Bench: Sendable {
    /// Requests in all.
    public var count: UInt64 = 75000
    /// Requests under way at the same time.
    public var depth = 64
    /// Where the first one begins, in bytes.
    public var offset: UInt64 = 0
    /// Bytes of each.
    public var size: UInt64 = 4096
    /// Bytes from the beginning of one to that of the next; past the disk's end it goes on at its beginning.
    public var step: UInt64 = 4096
    /// Whether they write.
    public var writes = false
    /// The byte that is written.
    public var pattern: UInt8 = 0
    /// A flush after so many.
    public var flushInterval: UInt64?
    /// Whether all that are under way are waited for before a flush.
    public var drains = true
    /// Threads instead of io_uring.
    public var usesThreads = false

    /// The defaults of `qemu-img bench`.
    public init() {}

    /// Where a request begins.
    func position(_ number: UInt64, _ image: any DiskReader) throws(UrsaError) -> UInt64 {
        guard image.size >= size else { throw UrsaError(.usage, "the disk is smaller than one request") }
        let start = (offset &+ number &* step) % image.size
        return min(start, image.size - size)
    }

    /// Makes the requests; returns the seconds they took.
    public func run(_ image: any DiskReader) throws(UrsaError) -> Double {
        // Raw and qcow2 images are served by a queue, whether they are open for writing or not.
        guard let image = image as? any DiskWriter else { return try runOnThreads(image) }
        let depth = min(depth, 4096)
        let queue = try RequestQueue(image, depth: depth + 1, engine: usesThreads ? .threads : nil)
        let buffer = AlignedBuffer(count: depth * Int(roundUp(size, to: 4096)))
        buffer.bytes.initializeMemory(as: UInt8.self, repeating: pattern)
        let pieces = UnsafeMutablePointer<iovec>.allocate(capacity: depth)
        defer { pieces.deallocate() }
        for slot in 0..<depth {
            let place = buffer.base + slot * Int(roundUp(size, to: 4096))
            (pieces + slot).initialize(to: iovec(iov_base: place, iov_len: Int(size)))
        }
        return try withExtendedLifetime(buffer) { () throws(UrsaError) in try drive(queue, image, pieces, depth) }
    }

    private static let flushToken = UInt64.max

    private func drive(
        _ queue: RequestQueue, _ image: any DiskReader, _ pieces: UnsafeMutablePointer<iovec>, _ depth: Int
    ) throws(UrsaError) -> Double {
        let start = Deadline.now
        let kind = writes ? DiskRequest.Kind.write : .read
        var free = Array(0..<depth)
        var next: UInt64 = 0
        var failure: UrsaError?
        while next < count || queue.inFlight > 0 {
            while failure == nil, next < count, let slot = free.popLast() {
                let place = try position(next, image)
                _ = queue.add(
                    DiskRequest(
                        kind, at: place, count: size, pieces: pieces + slot, pieceCount: 1, token: UInt64(slot)))
                next += 1
                guard let interval = flushInterval, next % interval == 0 else { continue }
                while drains, free.count < depth { try collect(queue, &free, &failure) }
                while !queue.add(DiskRequest(.flush, token: Bench.flushToken)) { try collect(queue, &free, &failure) }
                while drains, queue.inFlight > 0 { try collect(queue, &free, &failure) }
            }
            if queue.inFlight > 0 { try collect(queue, &free, &failure) }
            if let failure, queue.inFlight == 0 { throw failure }
        }
        if let failure { throw failure }
        return Deadline.now.seconds(since: start)
    }

    private func collect(
        _ queue: RequestQueue, _ free: inout [Int], _ failure: inout UrsaError?
    ) throws(UrsaError) {
        try queue.complete(atLeast: 1) { (done) throws(UrsaError) in
            if let error = done.error, failure == nil { failure = error }
            if done.token != Bench.flushToken { free.append(Int(done.token)) }
        }
    }

    /// Formats that are only read: as many threads as requests may be under way, at most 16.
    private func runOnThreads(_ image: any DiskReader) throws(UrsaError) -> Double {
        guard !writes else { throw UrsaError(.usage, "the image is not open for writing") }
        let numbers = Locked(UInt64(0))
        let start = Deadline.now
        let bench = self
        try OSThread.concurrently(Array(0..<min(depth, 16))) { _ throws(UrsaError) in
            let buffer = AlignedBuffer(count: Int(bench.size))
            while true {
                let number = numbers.withLock { next in
                    defer { next += 1 }
                    return next
                }
                guard number < bench.count else { return }
                try image.read(into: buffer.prefix(Int(bench.size)), at: try bench.position(number, image))
            }
        }
        return Deadline.now.seconds(since: start)
    }
}
