import Glibc
public import UrsaBase

/// Whether two disks hold the same.
public enum Comparison: Sendable, Equatable {
    case identical
    /// The first sector that differs begins here.
    case differs(at: UInt64)
    /// The first run that only one of the images has stored begins here (strict).
    case allocationDiffers(at: UInt64)
    /// The disks have different sizes (strict).
    case sizeDiffers

    /// Compares the content of two disks with several threads. Where one is longer, the rest must be zeros.
    ///
    /// - Parameters:
    ///   - strict: sizes must be equal, and so must be what is stored and what is not.
    ///   - progress: counts bytes of the longer disk.
    public static func compare(
        _ first: any DiskReader, _ second: any DiskReader, strict: Bool, workers: Int = 0, progress: ProgressCounter
    ) throws(UrsaError) -> Comparison {
        if strict, first.size != second.size { return .sizeDiffers }
        var options = CopyOptions()
        options.workers = workers
        let queue = PairQueue(first, second, strict: strict)
        try OSThread.concurrently(Array(0..<options.workerCount)) { _ throws(UrsaError) in
            let (a, b) = (AlignedBuffer(count: PairQueue.most), AlignedBuffer(count: PairQueue.most))
            do throws(UrsaError) {
                while let pair = try queue.next() {
                    if let offset = try pair.firstDifference(a, b, first, second) {
                        queue.found(.differs(at: offset), offset)
                    }
                    progress.reach(pair.offset + UInt64(pair.count))
                }
            } catch {
                queue.stop()
                throw error
            }
        }
        return queue.result
    }
}

/// A run of both disks that must be read to be compared.
private struct Pair: Sendable {
    var offset: UInt64
    var count: Int
    /// Whether each disk has data there; zeros otherwise.
    var hasFirst: Bool
    var hasSecond: Bool

    func firstDifference(
        _ a: AlignedBuffer, _ b: AlignedBuffer, _ first: any DiskReader, _ second: any DiskReader
    ) throws(UrsaError) -> UInt64? {
        let (one, other) = (a.prefix(count), b.prefix(count))
        if hasFirst { try first.read(into: one, at: offset) }
        if hasSecond { try second.read(into: other, at: offset) }
        if hasFirst, hasSecond {
            guard let left = one.baseAddress, let right = other.baseAddress, memcmp(left, right, count) != 0 else {
                return nil
            }
            return sector { memcmp(left + $0, right + $0, $1) != 0 }
        }
        let bytes = UnsafeRawBufferPointer(hasFirst ? one : other)
        guard !ZeroScan.isZero(bytes) else { return nil }
        return sector { !ZeroScan.isZero(UnsafeRawBufferPointer(rebasing: bytes[$0..<$0 + $1])) }
    }

    /// The first sector for which something holds.
    private func sector(_ holds: (Int, Int) -> Bool) -> UInt64? {
        for start in stride(from: 0, to: count, by: 512) where holds(start, min(512, count - start)) {
            return offset + UInt64(start)
        }
        return nil
    }
}

/// Gives out the runs that must be read, in order, until the first difference is known.
private final class PairQueue: Sendable {
    static let most = 1 << 20

    private struct State: Sendable {
        var offset: UInt64 = 0
        var found: (result: Comparison, offset: UInt64)?
        var isStopped = false
    }
    private let state = Locked(State())
    private let first: any DiskReader
    private let second: any DiskReader
    private let layers: (first: DiskLayers, second: DiskLayers)
    private let strict: Bool

    init(_ first: any DiskReader, _ second: any DiskReader, strict: Bool) {
        self.first = first
        self.second = second
        layers = (DiskLayers(first), DiskLayers(second))
        self.strict = strict
    }

    var result: Comparison { state.withLock { $0.found?.result ?? .identical } }

    /// Notes a difference; the one nearest to the beginning counts.
    func found(_ result: Comparison, _ offset: UInt64) {
        state.withLock { state in
            if let before = state.found, before.offset <= offset { return }
            state.found = (result, offset)
        }
    }

    func stop() { state.withLock { $0.isStopped = true } }

    func next() throws(UrsaError) -> Pair? {
        try state.withLock { (state) throws(UrsaError) in try next(&state) }
    }

    private func next(_ state: inout State) throws(UrsaError) -> Pair? {
        let size = max(first.size, second.size)
        while state.offset < size, !state.isStopped {
            let offset = state.offset
            // What comes later can't be the first difference any more.
            if let found = state.found, found.offset <= offset { return nil }
            let (a, b) = (try entry(first, layers.first, offset), try entry(second, layers.second, offset))
            var length = min(a?.length ?? .max, b?.length ?? .max, size - offset)
            if strict, let a, let b, !sameStorage(a, b) {
                state.found = (.allocationDiffers(at: offset), offset)
                return nil
            }
            let (hasFirst, hasSecond) = (a.map { !$0.isZero } ?? false, b.map { !$0.isZero } ?? false)
            guard hasFirst || hasSecond else {
                state.offset += length
                continue
            }
            length = min(length, UInt64(PairQueue.most))
            state.offset += length
            return Pair(offset: offset, count: Int(length), hasFirst: hasFirst, hasSecond: hasSecond)
        }
        return nil
    }

    /// What a disk says of an offset; nil past its end.
    private func entry(
        _ disk: any DiskReader, _ layers: DiskLayers, _ offset: UInt64
    ) throws(UrsaError) -> MapEntry? {
        guard offset < disk.size else { return nil }
        return try layers.entry(at: offset, limit: disk.size - offset)
    }

    private func sameStorage(_ a: MapEntry, _ b: MapEntry) -> Bool {
        a.isData == b.isData && a.isZero == b.isZero && a.isPresent == b.isPresent
            && (a.offset == nil) == (b.offset == nil)
    }
}
