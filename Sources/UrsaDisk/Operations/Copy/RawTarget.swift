import UrsaBase

/// A plain file or block device as the target of a copy.
final class RawTarget: CopyTarget, RunTarget {
    let alignment: UInt64 = 4096
    let startsAsZeroes: Bool
    private let file: ImageFile
    /// Bytes of zeros that are left out together, nil to write them.
    private let sparse: Int?

    /// A target of its own length already.
    ///
    /// - Parameters:
    ///   - startsAsZeroes: whether the file is new.
    ///   - sparse: as of `CopyOptions`.
    init(_ file: ImageFile, startsAsZeroes: Bool, sparse: UInt64?) {
        self.file = file
        self.startsAsZeroes = startsAsZeroes
        self.sparse = sparse.map { Int(min(roundUp(max($0, 4096), to: 4096), Copier.pieceSize)) }
    }

    func makeWriter() throws(UrsaError) -> any PieceWriter { RunWriter(self) }
    func finish() throws(UrsaError) {}

    func put(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(UrsaError) {
        guard let sparse else { return try file.write(bytes, at: offset) }
        var position = 0
        while position < bytes.count {
            let run = ZeroScan.dataRun(bytes, from: position, block: sparse) ?? bytes.count..<bytes.count
            if run.lowerBound > position, !startsAsZeroes {
                try clear(at: offset + UInt64(position), count: UInt64(run.lowerBound - position))
            }
            try file.write(UnsafeRawBufferPointer(rebasing: bytes[run]), at: offset + UInt64(run.lowerBound))
            position = run.upperBound
        }
    }

    /// Holes of a new file stay as they are.
    func clear(at offset: UInt64, count: UInt64) throws(UrsaError) {
        guard !startsAsZeroes else { return }
        try file.writeZeroes(at: offset, count: count, unmap: sparse != nil)
    }
}
