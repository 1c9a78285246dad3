import UrsaBase

/// What one worker does next: runs of a disk to copy, and runs that read as zeros.
struct Piece: Sendable {
    /// A run of the disk.
    struct Run: Sendable, Equatable {
        var offset: UInt64
        var count: UInt64
        var isZero: Bool
    }
    /// Place in the order of pieces, from 0.
    var number: Int
    /// Runs by rising offset; data of at most the queue's `most` bytes together.
    var runs: [Run] = []
    /// Every byte below has been given out, in this piece or an earlier one.
    var end: UInt64 = 0
}

/// Gives the contents of a disk out in pieces, in order, skipping what reads as zeros.
///
/// Looking for data is left to the extents of the image, so holes cost no reading however long they are.
final class PieceQueue: Sendable {
    private struct State: Sendable {
        var offset: UInt64 = 0
        var number = 0
        /// The extent that the next piece begins in.
        var pending: Piece.Run?
    }
    private let state = Locked(State())
    private let extents: any DiskReader
    private let layers: DiskLayers
    private let size: UInt64
    private let most: UInt64
    private let alignment: UInt64
    private let tellsZeroes: Bool
    private let treatsAllAsData: Bool
    private let skipsUnallocated: Bool

    /// Most runs of a piece.
    private static let mostRuns = 256
    /// Most bytes of zeros that a piece tells at a time.
    private static let mostZeroes: UInt64 = 256 << 20

    /// A queue over the bytes 0..<size of a disk.
    ///
    /// - Parameters:
    ///   - extents: the image that says where data is; what lies past its end counts as zeros.
    ///   - most: bytes of data in a piece, a multiple of `alignment`.
    ///   - alignment: data begins and ends at multiples of it (or at the disk's end); a power of two.
    ///   - tellsZeroes: whether zeros are given out too, or left out.
    ///   - treatsAllAsData: give out everything as data.
    ///   - skipsUnallocated: leave out what the image says nothing of, instead of taking it for zeros.
    init(
        extents: any DiskReader, size: UInt64, most: UInt64, alignment: UInt64, tellsZeroes: Bool = false,
        treatsAllAsData: Bool = false, skipsUnallocated: Bool = false
    ) {
        self.extents = extents
        layers = DiskLayers(extents)
        self.size = size
        self.most = max(most, alignment)
        self.alignment = alignment
        self.tellsZeroes = tellsZeroes
        self.treatsAllAsData = treatsAllAsData
        self.skipsUnallocated = skipsUnallocated
    }

    /// The next piece, nil when all has been given out.
    func next() throws(UrsaError) -> Piece? {
        try state.withLock { (state) throws(UrsaError) in try next(&state) }
    }

    private func next(_ state: inout State) throws(UrsaError) -> Piece? {
        var piece = Piece(number: state.number)
        var room = most
        while room > 0, piece.runs.last?.isZero != true, piece.runs.count < PieceQueue.mostRuns, state.offset < size {
            guard let run = try run(&state) else { continue }
            if run.isZero {
                state.pending = nil
                guard tellsZeroes else {
                    state.offset = run.offset + run.count
                    continue
                }
                // Not all at once: who writes tables for them keeps those in memory until the piece is done.
                let count = min(run.count, PieceQueue.mostZeroes)
                append(Piece.Run(offset: run.offset, count: count, isZero: true), &piece)
                state.offset = run.offset + count
                break
            }
            let count = min(run.count, room)
            append(Piece.Run(offset: run.offset, count: count, isZero: false), &piece)
            room -= count
            state.offset += count
            state.pending =
                count < run.count
                ? Piece.Run(offset: run.offset + count, count: run.count - count, isZero: false) : nil
        }
        piece.end = state.offset
        guard !piece.runs.isEmpty else { return nil }
        state.number += 1
        return piece
    }

    private func append(_ run: Piece.Run, _ piece: inout Piece) {
        if let last = piece.runs.last, last.isZero == run.isZero, last.offset + last.count == run.offset {
            piece.runs[piece.runs.count - 1].count += run.count
        } else {
            piece.runs.append(run)
        }
    }

    private func extent(at offset: UInt64, limit: UInt64) throws(UrsaError) -> Extent {
        if skipsUnallocated { return try extents.extent(at: offset, limit: limit) }
        let entry = try layers.entry(at: offset, limit: limit)
        return Extent(kind: entry.isZero ? .zero : .data, length: entry.length)
    }

    /// The run at the present offset; nil when it was skipped.
    private func run(_ state: inout State) throws(UrsaError) -> Piece.Run? {
        if let pending = state.pending { return pending }
        let offset = state.offset
        if treatsAllAsData { return Piece.Run(offset: offset, count: size - offset, isZero: false) }
        guard offset < extents.size else { return Piece.Run(offset: offset, count: size - offset, isZero: true) }
        let limit = min(size, extents.size) - offset
        let extent = try extent(at: offset, limit: limit)
        let length = max(1, min(extent.length, size - offset))
        switch extent.kind {
        case .data:
            // Up to the alignment's end, where what follows may be zeros: it is read with the rest.
            let end = min(size, roundUp(offset + length, to: alignment))
            let run = Piece.Run(offset: offset, count: end - offset, isZero: false)
            state.pending = run
            return run
        case .zero, .unallocated:
            let end = offset + length >= size ? size : (offset + length) / alignment * alignment
            if end <= offset {
                // Data follows within the same unit.
                return Piece.Run(
                    offset: offset, count: min(size, roundUp(offset + 1, to: alignment)) - offset, isZero: false)
            }
            if extent.kind == .unallocated, skipsUnallocated {
                state.offset = end
                return nil
            }
            return Piece.Run(offset: offset, count: end - offset, isZero: true)
        }
    }
}

/// The next multiple of a power of two; the value itself when it is one, or when none fits 64 bits.
func roundUp(_ value: UInt64, to unit: UInt64) -> UInt64 {
    let (sum, overflow) = value.addingReportingOverflow(unit - 1)
    return overflow ? value : sum & ~(unit - 1)
}
