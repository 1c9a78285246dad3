import UrsaBase

/// A worker that stores clusters as they are.
final class PlainWriter: PieceWriter {
    private let stream: Qcow2Stream
    private lazy var scratch = AlignedBuffer(count: stream.clusterSize)

    init(_ stream: Qcow2Stream) { self.stream = stream }

    func write(_ piece: Piece, _ data: UnsafeMutableRawBufferPointer) throws(UrsaError) {
        let spans = stream.spans(piece, data)
        try stream.store(spans.data, data)
        if !spans.zeroes.isEmpty { try stream.storeZeroes(spans.zeroes, scratch.bytes) }
        try stream.done(piece)
    }
}

/// A worker that compresses clusters; those that don't shrink are stored as they are.
final class CompressingWriter: PieceWriter {
    private let stream: Qcow2Stream
    private let compressor: ClusterCompressor
    private let packed: AlignedBuffer
    private let padded: AlignedBuffer

    init(_ stream: Qcow2Stream) throws(UrsaError) {
        self.stream = stream
        compressor = try ClusterCompressor(stream.compression)
        packed = AlignedBuffer(count: max(Int(Copier.pieceSize), stream.clusterSize))
        padded = AlignedBuffer(count: stream.clusterSize)
    }

    func write(_ piece: Piece, _ data: UnsafeMutableRawBufferPointer) throws(UrsaError) {
        let spans = stream.spans(piece, data)
        var plain: [Qcow2Stream.Span] = []
        var clusters: [(offset: UInt64, count: Int)] = []
        var position = 0
        let size = stream.clusterSize
        for span in spans.data {
            for start in stride(from: 0, to: span.count, by: size) {
                let part = data[span.position + start..<span.position + min(start + size, span.count)]
                let room = UnsafeMutableRawBufferPointer(rebasing: packed.bytes[position..<position + size - 1])
                if let count = try compressor.compress(whole(part), into: room) {
                    clusters.append((span.offset + UInt64(start), count))
                    position += count
                } else if let last = plain.last, last.position + last.count == part.startIndex,
                    last.offset + UInt64(last.count) == span.offset + UInt64(start)
                {
                    plain[plain.count - 1].count += part.count
                } else {
                    plain.append(
                        Qcow2Stream.Span(
                            position: part.startIndex, count: part.count, offset: span.offset + UInt64(start)))
                }
            }
        }
        try stream.store(clusters, packed: packed.bytes)
        try stream.store(plain, data)
        if !spans.zeroes.isEmpty { try stream.storeZeroes(spans.zeroes, padded.bytes) }
        try stream.done(piece)
    }

    /// A whole cluster: what lies past the disk's end is zeros.
    private func whole(_ part: Slice<UnsafeMutableRawBufferPointer>) -> UnsafeRawBufferPointer {
        if part.count == stream.clusterSize { return UnsafeRawBufferPointer(rebasing: part) }
        let buffer = padded.prefix(stream.clusterSize)
        buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: part))
        UnsafeMutableRawBufferPointer(rebasing: buffer[part.count...]).initializeMemory(as: UInt8.self, repeating: 0)
        return UnsafeRawBufferPointer(buffer)
    }
}

/// Compresses clusters as an image wants them; for one thread.
final class ClusterCompressor {
    private let deflater: Deflater?
    private let zstandard: Zstandard.Compressor

    init(_ kind: Qcow2Compression) throws(UrsaError) {
        deflater = kind == .zlib ? try Deflater(level: 6) : nil
        zstandard = try Zstandard.Compressor(level: kind == .zlib ? 1 : 3)
    }

    /// The length of the compressed cluster; nil when it is not smaller than `output`.
    ///
    /// Deflate spends as long on noise as on text. So zstd at its fastest, which takes a tenth of the time, looks first:
    /// what it can't shrink at all is not worth it.
    func compress(
        _ cluster: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) throws(UrsaError) -> Int? {
        let count = try zstandard.compress(cluster, into: output)
        guard let deflater, count != nil else { return count }
        return deflater.deflate(cluster, into: output, form: .raw)
    }
}
