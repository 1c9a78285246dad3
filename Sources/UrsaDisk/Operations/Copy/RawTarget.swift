import UrsaBase

/// A plain file or block device as the target of a copy.
final class RawTarget: CopyTarget {
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

    func makeWriter() throws(UrsaError) -> any PieceWriter { Writer(self) }
    func finish() throws(UrsaError) {}

    private final class Writer: PieceWriter {
        private let target: RawTarget
        init(_ target: RawTarget) { self.target = target }

        func write(_ piece: Piece, _ data: UnsafeMutableRawBufferPointer) throws(UrsaError) {
            var position = 0
            for run in piece.runs {
                if run.isZero {
                    try target.clear(at: run.offset, count: run.count)
                    continue
                }
                let bytes = UnsafeRawBufferPointer(rebasing: data[position..<position + Int(run.count)])
                try target.put(bytes, at: run.offset)
                position += Int(run.count)
            }
        }
    }

    private func put(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(UrsaError) {
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
    private func clear(at offset: UInt64, count: UInt64) throws(UrsaError) {
        guard !startsAsZeroes else { return }
        try file.writeZeroes(at: offset, count: count, unmap: sparse != nil)
    }
}
