import CLinux
import Glibc
import UrsaBase

/// Threads that do requests with the image's own calls: those that need tables changed or read, and all of them where
/// io_uring can't be had.
final class RequestWorkers: @unchecked Sendable {
    // SAFETY: everything mutable is touched inside `monitor` only, and the jobs' memory is its owner's until they are done.

    struct Job {
        var slot: Int
        var request: DiskRequest
        /// A flush that runs beside other requests.
        var keepsFrees: Bool
    }

    private let image: any DiskWriter
    private let monitor = Monitor()
    private var jobs: [Job] = []
    private var first = 0
    private var done: [(slot: Int, error: UrsaError?)] = []
    private var isEnding = false
    private var threads: [OSThread] = []
    /// Readable when something is done.
    let event: OwnedFD

    init(_ image: any DiskWriter, threads count: Int, depth: Int) throws(UrsaError) {
        self.image = image
        event = OwnedFD(try check(clinux_eventfd(), "make an eventfd"))
        jobs.reserveCapacity(depth)
        done.reserveCapacity(depth)
        for _ in 0..<count {
            // Where the system allows fewer threads, those that are there do all the work.
            guard let thread = try? OSThread({ [self] in work() }) else { break }
            threads.append(thread)
        }
        if threads.isEmpty { throw UrsaError(.io, "no thread can be started for requests to \(image.name)") }
    }

    func add(_ job: Job) {
        monitor.enter()
        jobs.append(job)
        monitor.signal()
        monitor.leave()
    }

    /// What is done since the last call, and whether anything was.
    func take(_ body: (Int, UrsaError?) -> Void) {
        var count: UInt64 = 0
        _ = Glibc.read(event.raw, &count, 8)
        monitor.enter()
        let taken = done
        done.removeAll(keepingCapacity: true)
        monitor.leave()
        for item in taken { body(item.slot, item.error) }
    }

    /// Ends the threads when they have done what they were given.
    func end() {
        monitor.inside {
            isEnding = true
            monitor.signal()
        }
        for thread in threads { thread.join() }
        threads = []
    }

    private func work() {
        while true {
            monitor.enter()
            while first == jobs.count, !isEnding { monitor.wait() }
            guard first < jobs.count else { return monitor.leave() }
            let job = jobs[first]
            first += 1
            if first == jobs.count {
                jobs.removeAll(keepingCapacity: true)
                first = 0
            }
            monitor.leave()
            let error = run(job)
            monitor.enter()
            done.append((job.slot, error))
            monitor.leave()
            var one: UInt64 = 1
            _ = Glibc.write(event.raw, &one, 8)
        }
    }

    private func run(_ job: Job) -> UrsaError? {
        do throws(UrsaError) {
            let request = job.request
            switch request.kind {
            case .read:
                try eachPiece(request) { piece, offset throws(UrsaError) in try image.read(into: piece, at: offset) }
            case .write:
                try eachPiece(request) { piece, offset throws(UrsaError) in
                    try image.write(UnsafeRawBufferPointer(piece), at: offset)
                }
            case .flush:
                if job.keepsFrees, let image = image as? Qcow2Image {
                    try image.flushKeepingFrees()
                } else {
                    try image.flush()
                }
            case .discard: try image.discard(at: request.offset, count: request.count)
            case .zero(let unmap): try image.writeZeroes(at: request.offset, count: request.count, unmap: unmap)
            }
        } catch {
            return error
        }
        return nil
    }

    private func eachPiece(
        _ request: DiskRequest, _ body: (UnsafeMutableRawBufferPointer, UInt64) throws(UrsaError) -> Void
    ) throws(UrsaError) {
        var offset = request.offset
        for index in 0..<request.pieceCount {
            guard let piece = request.pieces?[index], piece.iov_len > 0 else { continue }
            try body(UnsafeMutableRawBufferPointer(start: piece.iov_base, count: piece.iov_len), offset)
            offset += UInt64(piece.iov_len)
        }
    }
}
