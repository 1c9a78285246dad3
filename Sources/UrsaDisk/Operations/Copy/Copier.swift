import Glibc
public import UrsaBase

/// How a disk is copied.
public struct CopyOptions: Sendable {
    /// Bytes that must be zeros together to be left out; nil: everything is written, zeros too.
    public var sparse: UInt64? = 4096
    /// Threads at work; 0: as many as there are processors, at most 16.
    public var workers = 0
    /// Most bytes a second, nil for no limit.
    public var rate: UInt64?
    /// Take what can't be read for zeros instead of failing; the handler is told each place.
    public var salvage: (@Sendable (UrsaError) -> Void)?

    /// The usual: holes stay holes, all processors.
    public init() {}

    /// How many threads to use.
    var workerCount: Int {
        let processors = max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))
        return workers > 0 ? min(workers, 64) : min(processors, 16)
    }
}

/// Copies the content of a disk with several threads, each reading, looking for zeros, compressing and writing.
///
/// Memory is bounded by the number of threads: each has one buffer.
struct Copier {
    /// Bytes that a worker reads at a time.
    static let pieceSize: UInt64 = 1 << 20

    let source: any DiskReader
    let extents: any DiskReader
    let target: any CopyTarget
    let size: UInt64
    let options: CopyOptions
    let progress: ProgressCounter

    /// A copy of the first `size` bytes of a disk.
    ///
    /// - Parameters:
    ///   - extents: who says where data is; what it says nothing of stays as it is in the target. Nil: the source, and
    ///     what it says nothing of is zeros.
    init(
        _ source: any DiskReader, extents: (any DiskReader)? = nil, to target: any CopyTarget, size: UInt64,
        options: CopyOptions, progress: ProgressCounter
    ) {
        self.source = source
        self.extents = extents ?? source
        self.target = target
        self.size = size
        self.options = options
        self.progress = progress
        keepsUnallocated = extents != nil
    }
    private let keepsUnallocated: Bool

    /// Copies. Whatever fails first is thrown, after all threads have ended.
    func run() throws(UrsaError) {
        let most = max(Copier.pieceSize, target.alignment)
        let queue = PieceQueue(
            extents: extents, size: size, most: most, alignment: target.alignment,
            tellsZeroes: !target.startsAsZeroes || options.sparse == nil, treatsAllAsData: options.sparse == nil,
            skipsUnallocated: keepsUnallocated)
        let pace = options.rate.map { Pace(rate: $0) }
        let failed = Flag()
        let (source, target, salvage, progress) = (source, target, options.salvage, progress)
        try OSThread.concurrently(Array(0..<options.workerCount)) { _ throws(UrsaError) in
            do throws(UrsaError) {
                let writer = try target.makeWriter()
                let buffer = AlignedBuffer(count: Int(most))
                while !failed.isSet, let piece = try queue.next() {
                    var position = 0
                    for run in piece.runs where !run.isZero {
                        let part = UnsafeMutableRawBufferPointer(
                            rebasing: buffer.bytes[position..<position + Int(run.count)])
                        try Copier.read(source, part, at: run.offset, salvage: salvage)
                        position += Int(run.count)
                    }
                    pace?.wait(bytes: UInt64(position))
                    try writer.write(piece, UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[..<position]))
                    progress.reach(piece.end)
                }
            } catch {
                failed.set()
                throw error
            }
        }
        try target.finish()
        progress.reach(size)
    }

    /// Reads, with zeros past the source's end.
    static func read(
        _ source: any DiskReader, _ buffer: UnsafeMutableRawBufferPointer, at offset: UInt64,
        salvage: (@Sendable (UrsaError) -> Void)?
    ) throws(UrsaError) {
        let available = source.size > offset ? min(UInt64(buffer.count), source.size - offset) : 0
        let inside = UnsafeMutableRawBufferPointer(rebasing: buffer[..<Int(available)])
        if available < UInt64(buffer.count) {
            UnsafeMutableRawBufferPointer(rebasing: buffer[Int(available)...]).initializeMemory(
                as: UInt8.self, repeating: 0)
        }
        guard !inside.isEmpty else { return }
        guard let salvage else { return try source.read(into: inside, at: offset) }
        do throws(UrsaError) { try source.read(into: inside, at: offset) } catch {
            try Copier.salvage(source, inside, at: offset, tell: salvage)
        }
    }

    /// Reads sector by sector what can be read, zeros for the rest.
    private static func salvage(
        _ source: any DiskReader, _ buffer: UnsafeMutableRawBufferPointer, at offset: UInt64,
        tell: @Sendable (UrsaError) -> Void
    ) throws(UrsaError) {
        var position = 0
        while position < buffer.count {
            let part = UnsafeMutableRawBufferPointer(rebasing: buffer[position..<min(position + 512, buffer.count)])
            do throws(UrsaError) { try source.read(into: part, at: offset + UInt64(position)) } catch {
                part.initializeMemory(as: UInt8.self, repeating: 0)
                tell(error)
            }
            position += part.count
        }
    }
}

/// A mark that threads set for each other.
final class Flag: Sendable {
    private let state = Locked(false)
    /// Whether it is set.
    var isSet: Bool { state.withLock { $0 } }
    /// Sets it for good.
    func set() { state.withLock { $0 = true } }
}

/// Holds a copy back to a number of bytes a second.
final class Pace: Sendable {
    private let state: Locked<(start: Deadline, bytes: UInt64)>
    private let rate: UInt64

    /// A pace of `rate` bytes a second.
    init(rate: UInt64) {
        self.rate = max(1, rate)
        state = Locked((Deadline.now, 0))
    }

    /// Returns when `bytes` more may go.
    func wait(bytes: UInt64) {
        let (due, start) = state.withLock { state -> (Double, Deadline) in
            state.bytes &+= bytes
            return (Double(state.bytes) / Double(rate), state.start)
        }
        let early = due - Deadline.now.seconds(since: start)
        if early > 0 { pause(milliseconds: UInt32(min(early, 3600) * 1000)) }
    }
}
