import UrsaBase

/// Decompressed pieces of an image that were asked for last: a reader of small blocks undoes each piece once, not once
/// for each block. The oldest go first when they are more than the limit.
final class ChunkCache: Sendable {
    /// Memory filled once and then only read.
    final class Chunk: @unchecked Sendable {
        // SAFETY: written before it is shared, never after; freed with the last reference.
        let bytes: UnsafeMutableRawBufferPointer
        init(count: Int) { bytes = .allocate(byteCount: count, alignment: 16) }
        deinit { bytes.deallocate() }
    }

    private struct Content {
        var chunks: [UInt64: Chunk] = [:]
        var order: [UInt64] = []
        var total = 0
    }
    private let content = Locked(Content())
    private let limit: Int

    /// - Parameter limit: most bytes kept; the last piece is kept even if it is larger.
    init(limit: Int = 8 << 20) { self.limit = limit }

    /// The piece with this number, made by `fill` if it is not there. Two threads may fill the same piece at a time.
    func chunk(
        _ number: UInt64, count: Int, _ fill: (UnsafeMutableRawBufferPointer) throws(UrsaError) -> Void
    ) throws(UrsaError) -> Chunk {
        if let chunk = content.withLock({ $0.chunks[number] }) { return chunk }
        let chunk = Chunk(count: count)
        try fill(chunk.bytes)
        content.withLock { content in
            guard content.chunks.updateValue(chunk, forKey: number) == nil else { return }
            content.order.append(number)
            content.total += count
            while content.total > limit, content.order.count > 1 {
                let oldest = content.order.removeFirst()
                content.total -= content.chunks.removeValue(forKey: oldest)?.bytes.count ?? 0
            }
        }
        return chunk
    }
}

/// Runs `body` with memory that lives during the call.
func withScratch<R>(
    _ count: Int, _ body: (UnsafeMutableRawBufferPointer) throws(UrsaError) -> R
) throws(UrsaError) -> R {
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
    defer { memory.deallocate() }
    return try body(memory)
}
