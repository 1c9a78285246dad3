import Glibc
import UrsaBase

/// A plain file or block device as the target of a copy.
final class RawTarget: CopyTarget {
    let alignment: UInt64 = 4096
    let startsAsZeroes: Bool
    private let file: SharedFD
    private let name: String
    /// Bytes of zeros that are left out together, nil to write them.
    private let sparse: Int?

    /// A target of its own length already.
    ///
    /// - Parameters:
    ///   - startsAsZeroes: whether the file is new.
    ///   - sparse: as of `CopyOptions`.
    init(_ file: SharedFD, name: String, startsAsZeroes: Bool, sparse: UInt64?) {
        self.file = file
        self.name = name
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
        guard let sparse else { return try writeAll(bytes, at: offset) }
        var position = 0
        while position < bytes.count {
            let run = ZeroScan.dataRun(bytes, from: position, block: sparse) ?? bytes.count..<bytes.count
            if !startsAsZeroes, run.lowerBound > position {
                try clear(at: offset + UInt64(position), count: UInt64(run.lowerBound - position))
            }
            try writeAll(UnsafeRawBufferPointer(rebasing: bytes[run]), at: offset + UInt64(run.lowerBound))
            position = run.upperBound
        }
    }

    private func writeAll(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(UrsaError) {
        try writeFully(file.raw, bytes, at: offset, name)
    }

    /// Zeros by the file system where it can, else written.
    private func clear(at offset: UInt64, count: UInt64) throws(UrsaError) {
        let mode = Int32(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
        if sparse != nil, fallocate(file.raw, mode, off_t(offset), off_t(count)) == 0 { return }
        let zeroes = [UInt8](repeating: 0, count: Int(min(count, 1 << 20)))
        var done: UInt64 = 0
        while done < count {
            let part = Int(min(count - done, UInt64(zeroes.count)))
            try zeroes.withUnsafeBytes { bytes throws(UrsaError) in
                try writeFully(
                    file.raw, UnsafeRawBufferPointer(rebasing: bytes[..<part]), at: offset + done, name)
            }
            done += UInt64(part)
        }
    }
}

/// Writes all bytes at an offset of a file.
func writeFully(
    _ descriptor: Int32, _ bytes: UnsafeRawBufferPointer, at offset: UInt64, _ name: String
) throws(UrsaError) {
    var position = 0
    while position < bytes.count {
        guard let base = bytes.baseAddress else { return }
        let count = try retrying("write \(name)") {
            pwrite(descriptor, base + position, bytes.count - position, off_t(offset) + off_t(position))
        }
        guard count > 0 else { throw UrsaError(.io, "can't write \(name): the device takes no more") }
        position += count
    }
}
