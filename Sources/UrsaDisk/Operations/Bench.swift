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
        let start = offset &+ number &* step
        return start > image.size - size ? start % (image.size - size + 1) : start
    }

    /// Makes the requests; returns the seconds they took.
    public func run(_ image: any DiskReader) throws(UrsaError) -> Double {
        let writer = image as? any DiskWriter
        if writes, writer == nil { throw UrsaError(.usage, "the image is not open for writing") }
        let state = Locked((next: UInt64(0), failed: false))
        let start = Deadline.now
        let bench = self
        try OSThread.concurrently(Array(0..<min(depth, 16))) { _ throws(UrsaError) in
            let buffer = AlignedBuffer(count: Int(bench.size))
            buffer.bytes.initializeMemory(as: UInt8.self, repeating: bench.pattern)
            let bytes = buffer.prefix(Int(bench.size))
            do throws(UrsaError) {
                while true {
                    let number = state.withLock { state -> UInt64? in
                        guard !state.failed, state.next < bench.count else { return nil }
                        defer { state.next += 1 }
                        return state.next
                    }
                    guard let number else { return }
                    let position = try bench.position(number, image)
                    if bench.writes, let writer {
                        try writer.write(UnsafeRawBufferPointer(bytes), at: position)
                        if let interval = bench.flushInterval, (number + 1) % interval == 0 { try writer.flush() }
                    } else {
                        try image.read(into: bytes, at: position)
                    }
                }
            } catch {
                state.withLock { $0.failed = true }
                throw error
            }
        }
        return Deadline.now.seconds(since: start)
    }
}
