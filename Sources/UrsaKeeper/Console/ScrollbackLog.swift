import Glibc
import UrsaBase

/// A stream of bytes kept on disk in two rotating files, with its newest part in memory too.
///
/// Every byte has a position, counted from the first one, so readers keep a position and no copy. When the disk is full
/// or gone, the newest bytes are still to be had from memory, and writing goes on when the disk is back.
final class ScrollbackLog {
    /// A file and the stretch of the stream that is in it.
    fileprivate struct Segment: ~Copyable {
        let fd: OwnedFD
        let start: UInt64
        var length: Int
        var end: UInt64 { start + UInt64(length) }
    }

    /// Most bytes kept in memory; half of it is always there.
    static let memoryLimit = 32768
    private static let readLimit = 16384

    private let path: String
    private let limit: Int
    private var current: Segment?
    private var older: Segment?
    private var memory: [UInt8] = []
    /// Position after the newest byte.
    private(set) var end: UInt64 = 0
    /// Why the disk does not take the stream, nil when it does.
    private(set) var trouble: UrsaError?
    private var retry = Deadline.now

    /// A log at `path`, each of its two files at most `limit` bytes.
    ///
    /// - Parameter keep: whether what the files hold is part of the stream; else it is removed.
    init(_ path: String, limit: Int, keep: Bool) {
        self.path = path
        self.limit = max(4096, limit)
        do throws(UrsaError) {
            if keep {
                try takeUp()
            } else {
                try File.remove(path + ".1")
                try File.remove(path)
                try begin()
            }
        } catch {
            trouble = error
        }
    }

    /// Position of the oldest byte that can still be read.
    var start: UInt64 {
        let memoryStart = end - UInt64(memory.count)
        guard let current = current?.start else { return memoryStart }
        if let oldest = older?.start, older?.end == current { return min(oldest, memoryStart) }
        return min(current, memoryStart)
    }

    /// Adds bytes; never fails and never waits for a reader.
    func append(_ bytes: ArraySlice<UInt8>) {
        guard !bytes.isEmpty else { return }
        if memory.count + bytes.count > ScrollbackLog.memoryLimit {
            let keep = max(0, ScrollbackLog.memoryLimit / 2 - bytes.count)
            memory.removeFirst(max(0, memory.count - keep))
        }
        memory.append(contentsOf: bytes.suffix(ScrollbackLog.memoryLimit))
        store(bytes)
        end += UInt64(bytes.count)
    }

    /// Some bytes from `position` on (at most 16 KiB) and the position of the first of them, which is later than asked
    /// when those in between are no longer there. Nil when there is nothing at or after `position`.
    func read(at position: UInt64) -> (position: UInt64, bytes: ArraySlice<UInt8>)? {
        guard position < end else { return nil }
        let memoryStart = end - UInt64(memory.count)
        if position >= memoryStart {
            return (position, memory[Int(position - memoryStart)...].prefix(ScrollbackLog.readLimit))
        }
        // The earliest of what is left; memory reaches back further than the disk only after trouble with the disk.
        if let start = older?.start, max(start, position) <= memoryStart,
            let found = older?.read(at: position, limit: ScrollbackLog.readLimit)
        {
            return found
        }
        if let start = current?.start, max(start, position) <= memoryStart,
            let found = current?.read(at: position, limit: ScrollbackLog.readLimit)
        {
            return found
        }
        return (memoryStart, memory[...].prefix(ScrollbackLog.readLimit))
    }

    private func store(_ bytes: ArraySlice<UInt8>) {
        if trouble != nil {
            // The stretch on disk ended; a new file starts a new one. Looking once a second is often enough.
            guard retry.isPast else { return }
            do throws(UrsaError) { try rotate(at: end) } catch {
                fail(error)
                return
            }
        }
        var rest = bytes
        while !rest.isEmpty {
            do throws(UrsaError) {
                if (current?.length ?? limit) >= limit { try rotate(at: end + UInt64(bytes.count - rest.count)) }
                let room = limit - (current?.length ?? limit)
                let count = try current?.write(rest.prefix(room)) ?? 0
                guard count > 0 else { throw UrsaError(.io, "can't write \(path)") }
                rest = rest.dropFirst(count)
            } catch {
                fail(error)
                return
            }
        }
        trouble = nil
    }

    private func fail(_ error: UrsaError) {
        trouble = error
        retry = .after(seconds: 1)
    }

    private func rotate(at position: UInt64) throws(UrsaError) {
        if File.exists(path) { try retrying("rotate \(path)") { rename(path, path + ".1") } }
        older = current.take()
        try begin(at: position)
    }

    private func begin(at position: UInt64 = 0) throws(UrsaError) {
        // O_NOFOLLOW: a link in this place would let a stranger choose what is written.
        let fd = try File.open(path, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW | O_NONBLOCK)
        current = Segment(fd: fd, start: position, length: 0)
    }

    /// Goes on with the files of an earlier keeper.
    private func takeUp() throws(UrsaError) {
        if let fd = try? File.open(path + ".1", O_RDONLY | O_NOFOLLOW | O_NONBLOCK) {
            let size = fileSize(fd.raw)
            older = Segment(fd: fd, start: 0, length: size)
            end = UInt64(size)
        }
        let fd = try File.open(path, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK)
        let size = fileSize(fd.raw)
        current = Segment(fd: fd, start: end, length: size)
        end += UInt64(size)
    }

    private func fileSize(_ fd: Int32) -> Int {
        var info = stat()
        return fstat(fd, &info) == 0 ? max(0, Int(info.st_size)) : 0
    }
}

extension ScrollbackLog.Segment {
    /// Bytes from `position` on, or from the segment's start when that is later; nil when the segment has none.
    func read(at position: UInt64, limit: Int) -> (position: UInt64, bytes: ArraySlice<UInt8>)? {
        let first = max(position, start)
        guard first < end else { return nil }
        let offset = Int(first - start)
        var buffer = [UInt8](repeating: 0, count: min(limit, length - offset))
        let count = pread(fd.raw, &buffer, buffer.count, off_t(offset))
        return count > 0 ? (first, buffer[..<count]) : nil
    }

    mutating func write(_ bytes: ArraySlice<UInt8>) throws(UrsaError) -> Int {
        let count = try retrying("write the log") {
            bytes.withUnsafeBytes { Glibc.write(fd.raw, $0.baseAddress, $0.count) }
        }
        length += count
        return count
    }
}
