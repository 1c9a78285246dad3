import UrsaBase

/// Where a copy goes. Workers write through it at the same time, each piece by one of them.
protocol CopyTarget: AnyObject, Sendable {
    /// Data is handed over in units of this size, a power of two, except for the disk's end.
    var alignment: UInt64 { get }
    /// Whether what is never written reads as zeros already.
    var startsAsZeroes: Bool { get }

    /// A writer for one worker.
    func makeWriter() throws(UrsaError) -> any PieceWriter
    /// Called once, after all workers are done.
    func finish() throws(UrsaError)
}

/// One worker's hand on a target.
protocol PieceWriter: AnyObject {
    /// Writes the data runs of a piece, whose bytes lie one behind the other in `data`, and its zeros.
    func write(_ piece: Piece, _ data: UnsafeMutableRawBufferPointer) throws(UrsaError)
}
