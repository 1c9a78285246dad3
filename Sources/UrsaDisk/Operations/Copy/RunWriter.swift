import UrsaBase

/// A target that takes runs of data and of zeros by offset, from several threads at once.
protocol RunTarget: AnyObject, Sendable {
    func put(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(UrsaError)
    func clear(at offset: UInt64, count: UInt64) throws(UrsaError)
}

/// Cuts a piece into its runs, for targets that take them as they are.
final class RunWriter<Target: RunTarget>: PieceWriter {
    private let target: Target

    init(_ target: Target) { self.target = target }

    func write(_ piece: Piece, _ data: UnsafeMutableRawBufferPointer) throws(UrsaError) {
        // The data of all runs stands without gaps.
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
