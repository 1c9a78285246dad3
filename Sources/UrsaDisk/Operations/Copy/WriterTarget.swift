import UrsaBase

/// An image that is open for writing as the target of a copy: one that was there before, or one made with options that
/// need the whole of its format.
final class WriterTarget: CopyTarget, RunTarget {
    let alignment: UInt64
    let startsAsZeroes: Bool
    private let writer: any DiskWriter
    private let sparse: Int?

    /// A target of its own length already.
    ///
    /// - Parameters:
    ///   - startsAsZeroes: whether what is not written reads as zeros.
    ///   - sparse: as of `CopyOptions`.
    init(_ writer: any DiskWriter, startsAsZeroes: Bool, sparse: UInt64?) {
        self.writer = writer
        self.startsAsZeroes = startsAsZeroes
        alignment = max(4096, min(writer.clusterSize ?? 4096, Copier.pieceSize))
        let unit = alignment
        self.sparse = sparse.map { Int(min(max(unit, roundUp($0, to: unit)), Copier.pieceSize)) }
    }

    func makeWriter() throws(UrsaError) -> any PieceWriter { RunWriter(self) }
    func finish() throws(UrsaError) {}

    func put(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(UrsaError) {
        guard let sparse else { return try writer.write(bytes, at: offset) }
        var position = 0
        while position < bytes.count {
            let run = ZeroScan.dataRun(bytes, from: position, block: sparse) ?? bytes.count..<bytes.count
            if run.lowerBound > position {
                try clear(at: offset + UInt64(position), count: UInt64(run.lowerBound - position))
            }
            if !run.isEmpty {
                try writer.write(UnsafeRawBufferPointer(rebasing: bytes[run]), at: offset + UInt64(run.lowerBound))
            }
            position = run.upperBound
        }
    }

    func clear(at offset: UInt64, count: UInt64) throws(UrsaError) {
        guard !startsAsZeroes else { return }
        try writer.writeZeroes(at: offset, count: count, unmap: sparse != nil)
    }
}
