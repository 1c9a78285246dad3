import CLinux
import Glibc
import Synchronization
public import UrsaBase

/// An open file or block device that holds an image or a part of one.
///
/// The descriptor closes with the object. All calls take absolute offsets, so several threads may use one object at the
/// same time; reads and writes of overlapping ranges need the caller's own order. Errors name the file and the offset.
public final class ImageFile: Sendable {
    /// How to open a file.
    public struct Options: Sendable {
        /// Opened for writing too.
        public var writable = false
        /// Passes the page cache by (O_DIRECT). Requests that are not aligned go through an aligned copy.
        public var direct = false
        /// Whether `sync` waits for stable storage. Without it a loss of power may lose anything.
        public var syncs = true
        /// Called before each change, in its order; what it throws fails the change. For tests of crashes.
        public var observer: (@Sendable (FileChange) throws(UrsaError) -> Void)?

        /// The defaults: reading, through the page cache.
        public init(writable: Bool = false, direct: Bool = false) {
            self.writable = writable
            self.direct = direct
        }
    }

    /// What errors call the file: its path.
    public let name: String
    /// Whether writing is possible.
    public var isWritable: Bool { options.writable }
    /// Whether this is a block device: its size is fixed.
    public let isBlockDevice: Bool
    /// The descriptor, valid while this object lives; -1 for a file in memory.
    public var descriptor: Int32 { owned?.raw ?? -1 }
    /// What offsets, lengths and addresses must be multiples of for the descriptor itself, in bytes; 1 without O_DIRECT.
    public let alignment: Int

    let options: Options
    private let owned: SharedFD?
    private let memory: MemoryFile?
    private let knownSize: Atomic<UInt64>
    private let hasFailed = Atomic<Bool>(false)
    private let zeroRangeWorks = Atomic<Bool>(true)
    private let punchHoleWorks = Atomic<Bool>(true)

    /// Opens an existing file or block device.
    public convenience init(_ path: String, _ options: Options = Options()) throws(UrsaError) {
        let flags = (options.writable ? O_RDWR : O_RDONLY) | (options.direct ? clinux_o_direct() : 0)
        // Without O_NONBLOCK a pipe of that name would stop us until somebody opens its other end.
        let fd = try File.open(path, flags | O_NONBLOCK)
        try self.init(taking: fd, name: path, options)
    }

    /// Makes an empty file, replacing the content of an existing one, open for writing.
    public static func create(_ path: String, _ options: Options = Options()) throws(UrsaError) -> ImageFile {
        var options = options
        options.writable = true
        let flags = O_RDWR | O_CREAT | O_NONBLOCK | (options.direct ? clinux_o_direct() : 0)
        let file = try ImageFile(taking: try File.open(path, flags, mode: 0o644), name: path, options)
        if !file.isBlockDevice { try file.resize(to: 0) }
        return file
    }

    /// Takes over an open descriptor; `options.writable` must say how it was opened.
    public init(taking fd: consuming OwnedFD, name: String, _ options: Options = Options()) throws(UrsaError) {
        var info = stat()
        try retrying("examine \(name)") { fstat(fd.raw, &info) }
        let size: UInt64
        switch info.st_mode & S_IFMT {
        case S_IFREG: size = UInt64(max(0, info.st_size))
        case S_IFBLK:
            let result = clinux_block_device_size(fd.raw)
            guard result >= 0 else { throw UrsaError.system(Errno(Int32(-result)), "find the size of \(name)") }
            size = UInt64(result)
        default:
            throw UrsaError(
                .unsupported, "\(name) is neither a file nor a block device", remedy: "name a disk image")
        }
        self.name = name
        self.options = options
        isBlockDevice = info.st_mode & S_IFMT == S_IFBLK
        alignment = options.direct ? 4096 : 1
        owned = SharedFD(fd)
        memory = nil
        knownSize = Atomic(size)
    }

    /// A file that exists only in memory and grows up to `limit` bytes: for fuzzing and tests.
    public init(bytes: [UInt8], name: String, limit: Int = 64 << 20, _ options: Options = Options()) {
        self.name = name
        self.options = options
        isBlockDevice = false
        alignment = 1
        owned = nil
        memory = MemoryFile(bytes, limit: max(limit, bytes.count))
        knownSize = Atomic(UInt64(bytes.count))
    }

    /// The whole content of a file in memory; empty for any other.
    public var memoryContent: [UInt8] { memory?.content ?? [] }

    /// The size in bytes, as it was when the file was opened, and as changed through this object since.
    public var size: UInt64 { knownSize.load(ordering: .acquiring) }

    /// Device and inode: the same for all names of a file.
    var identity: (device: UInt64, inode: UInt64) {
        var info = stat()
        guard let owned, fstat(owned.raw, &info) == 0 else {
            return (.max, UInt64(UInt(bitPattern: ObjectIdentifier(self).hashValue)))
        }
        return (UInt64(info.st_dev), UInt64(info.st_ino))
    }

    /// Bytes of storage that the file takes (`st_blocks`).
    public var allocatedSize: UInt64 {
        guard let owned else { return size }
        var info = stat()
        guard fstat(owned.raw, &info) == 0 else { return size }
        return UInt64(max(0, info.st_blocks)) * 512
    }

    // ---- reading ----------------------------------------------------------------------------------------------------

    /// Fills `buffer` from `offset`. A range that reaches past the end of the file is an error.
    public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(UrsaError) {
        let count = try readAvailable(into: buffer, at: offset)
        guard count == buffer.count else {
            throw UrsaError(
                .io, "\(name) ends at byte \(size), but \(buffer.count) bytes at offset \(offset) were to be read",
                remedy: "the file was cut short: restore it from a copy")
        }
    }

    /// Fills `buffer` from `offset` with what there is; returns how many bytes there were before the file's end.
    public func readAvailable(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(UrsaError) -> Int {
        if let memory { return memory.read(into: buffer, at: offset) }
        guard let base = buffer.baseAddress, buffer.count > 0 else { return 0 }
        if !isAligned(base, buffer.count, offset) { return try readUnaligned(into: buffer, at: offset) }
        var done = 0
        while done < buffer.count {
            guard let position = off_t(exactly: offset &+ UInt64(done)), position >= 0 else { return done }
            let count = pread(descriptor, base + done, buffer.count - done, position)
            if count == 0 { break }
            if count > 0 { done += count; continue }
            if errno == EINTR { continue }
            throw UrsaError.system(.current, "read \(name) at offset \(offset)")
        }
        return done
    }

    /// Fills `buffer` from `offset`; what lies past the end of the file reads as zeros, as a file's holes do.
    public func readPadded(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(UrsaError) {
        let count = try readAvailable(into: buffer, at: offset)
        if count < buffer.count, let base = buffer.baseAddress { memset(base + count, 0, buffer.count - count) }
    }

    /// `count` bytes from `offset`, all of which must be there. The caller bounds `count`.
    public func bytes(at offset: UInt64, count: Int) throws(UrsaError) -> [UInt8] {
        guard offset <= size, UInt64(count) <= size - offset else {
            throw UrsaError(
                .io, "\(name) ends at byte \(size), but \(count) bytes at offset \(offset) were to be read",
                remedy: "the file was cut short: restore it from a copy")
        }
        var result = [UInt8](repeating: 0, count: count)
        let error: UrsaError? = result.withUnsafeMutableBytes { buffer in
            do throws(UrsaError) { try read(into: buffer, at: offset) } catch { return error }
            return nil
        }
        if let error { throw error }
        return result
    }

    /// Whether `offset` lies in a hole of the file, and how far that or the data goes, at most `limit` bytes. A hole
    /// reads as zeros; a filesystem without holes has only data.
    public func hole(at offset: UInt64, limit: UInt64) -> (isHole: Bool, length: UInt64) {
        let size = size
        guard offset < size, let position = Int64(exactly: offset) else { return (true, limit) }
        let most = min(limit, size - offset)
        guard owned != nil, !isBlockDevice else { return (false, most) }
        let data = clinux_seek_data(descriptor, position)
        if data == -Int64(ENXIO) { return (true, most) }
        if data > position { return (true, min(most, UInt64(data - position))) }
        let hole = clinux_seek_hole(descriptor, position)
        return (false, hole > position ? min(most, UInt64(hole - position)) : most)
    }

    // ---- writing ----------------------------------------------------------------------------------------------------

    /// Writes all bytes at `offset`; the file grows as needed (a block device doesn't).
    public func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(UrsaError) {
        guard let base = bytes.baseAddress, bytes.count > 0 else { return }
        let end = try endOfChange(offset, UInt64(bytes.count))
        if let observer = options.observer { try observer(.write(bytes, offset: offset)) }
        if let memory {
            try memory.write(bytes, at: offset, name: name)
        } else if !isAligned(base, bytes.count, offset) {
            try writeUnaligned(bytes, at: offset)
        } else {
            var done = 0
            while done < bytes.count {
                let count = pwrite(descriptor, base + done, bytes.count - done, off_t(offset) + off_t(done))
                if count > 0 { done += count; continue }
                if count < 0, errno == EINTR { continue }
                throw UrsaError.system(count < 0 ? .current : Errno(ENOSPC), "write \(name) at offset \(offset)")
            }
        }
        grown(to: end)
    }

    /// Writes the bytes of an array at `offset`.
    public func write(_ bytes: [UInt8], at offset: UInt64) throws(UrsaError) {
        let error: UrsaError? = bytes.withUnsafeBytes { buffer in
            do throws(UrsaError) { try write(buffer, at: offset) } catch { return error }
            return nil
        }
        if let error { throw error }
    }

    /// Makes a range read as zeros, growing the file when it lies past the end. With `unmap` its space may be given back.
    public func writeZeroes(at offset: UInt64, count: UInt64, unmap: Bool) throws(UrsaError) {
        guard count > 0 else { return }
        let end = try endOfChange(offset, count)
        if let observer = options.observer { try observer(.zero(offset: offset, count: count, unmap: unmap)) }
        if let memory {
            if end > size { try memory.resize(to: end, name: name) }
            memory.zero(at: offset, count: count)
            return grown(to: end)
        }
        let present = isBlockDevice ? end : min(end, size)
        if offset < present { try zeroPresent(offset, present - offset, unmap) }
        if end > size {
            // Not by ftruncate: another thread may have written further meanwhile, which that would cut off.
            let last = [UInt8](repeating: 0, count: 1)
            try writeAll(last, at: end - 1)
            grown(to: end)
        }
    }

    /// Gives the space of a range back where the filesystem or device can; the range then reads as zeros. Where it
    /// can't, nothing happens and the result is false.
    @discardableResult
    public func discard(at offset: UInt64, count: UInt64) throws(UrsaError) -> Bool {
        let size = size
        guard count > 0, offset < size else { return true }
        let count = min(count, size - offset)
        _ = try endOfChange(offset, count)
        guard punchHoleWorks.load(ordering: .relaxed) else { return false }
        if let observer = options.observer { try observer(.zero(offset: offset, count: count, unmap: true)) }
        if let memory {
            memory.zero(at: offset, count: count)
            return true
        }
        return try fallocate(Int32(CLINUX_PUNCH_HOLE), offset, count, punchHoleWorks)
    }

    /// Reserves space for a range without changing what it reads as; the file grows when the range lies past its end.
    public func allocate(at offset: UInt64, count: UInt64) throws(UrsaError) {
        guard count > 0 else { return }
        let end = try endOfChange(offset, count)
        if end > size { try resize(to: end) }
        guard owned != nil, !isBlockDevice else { return }
        let result = clinux_fallocate(descriptor, Int32(CLINUX_ALLOCATE), Int64(offset), Int64(count))
        if result == -EOPNOTSUPP { return }
        try check(result, "reserve space for \(name)")
    }

    /// Changes the size of the file; new bytes read as zeros.
    public func resize(to size: UInt64) throws(UrsaError) {
        guard isWritable else { throw notWritable }
        if isBlockDevice {
            guard size <= self.size else {
                throw UrsaError(.io, "\(name) is a block device of \(self.size) bytes and can't grow to \(size)")
            }
            return
        }
        guard let length = off_t(exactly: size) else { throw tooFar(size, 0) }
        // Not for speed's own sake: ext4 takes a truncation to nothing, even of an empty file, for the beginning of a
        // replacement, and writes all of the new content out when the file is closed.
        if size == self.size, owned != nil { return }
        if let observer = options.observer { try observer(.resize(size)) }
        if let memory {
            try memory.resize(to: size, name: name)
        } else {
            try retrying("change the size of \(name)") { ftruncate(descriptor, length) }
        }
        knownSize.store(size, ordering: .releasing)
    }

    /// Returns when everything written before is on stable storage. After one failure it fails for ever: the kernel
    /// forgets pages that it could not write, so a later success would say nothing of them.
    public func sync() throws(UrsaError) {
        guard isWritable else { return }
        guard !hasFailed.load(ordering: .acquiring) else {
            throw UrsaError(.io, "an earlier write of \(name) to stable storage failed, so nothing is sure of it since")
        }
        if let observer = options.observer { try observer(.sync) }
        guard options.syncs, owned != nil else { return }
        do throws(UrsaError) {
            try retrying("write \(name) to stable storage") { fdatasync(descriptor) }
        } catch {
            hasFailed.store(true, ordering: .releasing)
            throw error
        }
    }

    /// Tells this object that the file grew by other means (a copy inside the kernel, an asynchronous write).
    public func noteGrowth(to end: UInt64) { grown(to: end) }

    // ---- inside -----------------------------------------------------------------------------------------------------

    private var notWritable: UrsaError {
        UrsaError(.permission, "\(name) is open for reading only")
    }

    private func tooFar(_ offset: UInt64, _ count: UInt64) -> UrsaError {
        UrsaError(.io, "\(count) bytes at offset \(offset) of \(name) are past what a file can hold")
    }

    private func endOfChange(_ offset: UInt64, _ count: UInt64) throws(UrsaError) -> UInt64 {
        guard isWritable else { throw notWritable }
        let (end, overflow) = offset.addingReportingOverflow(count)
        guard !overflow, end <= UInt64(Int64.max) else { throw tooFar(offset, count) }
        if isBlockDevice, end > size {
            throw UrsaError(
                .io, "\(name) has \(size) bytes, but \(count) bytes at offset \(offset) were to be written",
                remedy: "use a larger device")
        }
        return end
    }

    private func grown(to end: UInt64) { _ = knownSize.max(end, ordering: .acquiringAndReleasing) }

    private func fallocate(
        _ mode: Int32, _ offset: UInt64, _ count: UInt64, _ works: borrowing Atomic<Bool>
    ) throws(UrsaError) -> Bool {
        guard works.load(ordering: .relaxed) else { return false }
        let result = clinux_fallocate(descriptor, mode, Int64(offset), Int64(count))
        switch -result {
        case EOPNOTSUPP, ENOTTY, EINVAL, ENOSYS, ENODEV:
            // EINVAL: a block device wants whole sectors. That says nothing of the next call.
            if -result != EINVAL { works.store(false, ordering: .relaxed) }
            return false
        default:
            try check(result, "make a range of \(name) at offset \(offset) zero")
            return true
        }
    }

    private func zeroPresent(_ offset: UInt64, _ count: UInt64, _ unmap: Bool) throws(UrsaError) {
        if unmap, try fallocate(Int32(CLINUX_PUNCH_HOLE), offset, count, punchHoleWorks) { return }
        if try fallocate(Int32(CLINUX_ZERO_RANGE), offset, count, zeroRangeWorks) { return }
        // Below a megabyte the plain write is faster than giving space back and taking it again.
        let zeros = AlignedBuffer(count: Int(min(count, 1 << 20)))
        memset(zeros.base, 0, zeros.count)
        var done: UInt64 = 0
        while done < count {
            let piece = Int(min(count - done, UInt64(zeros.count)))
            try writeRaw(UnsafeRawBufferPointer(start: zeros.base, count: piece), at: offset + done)
            done += UInt64(piece)
        }
    }

    private func writeAll(_ bytes: [UInt8], at offset: UInt64) throws(UrsaError) {
        let error: UrsaError? = bytes.withUnsafeBytes { buffer in
            do throws(UrsaError) { try writeRaw(buffer, at: offset) } catch { return error }
            return nil
        }
        if let error { throw error }
    }

    private func writeRaw(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(UrsaError) {
        guard let base = bytes.baseAddress else { return }
        if !isAligned(base, bytes.count, offset) { return try writeUnaligned(bytes, at: offset) }
        var done = 0
        while done < bytes.count {
            let count = pwrite(descriptor, base + done, bytes.count - done, off_t(offset) + off_t(done))
            if count > 0 { done += count; continue }
            if count < 0, errno == EINTR { continue }
            throw UrsaError.system(count < 0 ? .current : Errno(ENOSPC), "write \(name) at offset \(offset)")
        }
    }

    private func isAligned(_ base: UnsafeRawPointer, _ count: Int, _ offset: UInt64) -> Bool {
        alignment == 1
            || (UInt(bitPattern: base) | UInt(count) | UInt(truncatingIfNeeded: offset)) & UInt(alignment - 1) == 0
    }

    /// With O_DIRECT: reads the aligned range around, and copies the wanted part.
    private func readUnaligned(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(UrsaError) -> Int {
        let bounce = AlignedBuffer(count: min(1 << 20, buffer.count + 2 * alignment))
        var done = 0
        while done < buffer.count {
            let position = offset + UInt64(done)
            let skip = Int(position % UInt64(alignment))
            let wanted = min(buffer.count - done, bounce.count - skip)
            let length = (skip + wanted + alignment - 1) / alignment * alignment
            let space = UnsafeMutableRawBufferPointer(start: bounce.base, count: length)
            let available = try readAvailable(into: space, at: position - UInt64(skip)) - skip
            guard available > 0, let base = buffer.baseAddress else { break }
            let count = min(available, wanted)
            memcpy(base + done, bounce.base + skip, count)
            done += count
            if count < wanted { break }
        }
        return done
    }

    /// With O_DIRECT: reads the aligned range around, changes it and writes it back, through the page cache's own lock
    /// for none: callers never write two parts of one such range at a time.
    private func writeUnaligned(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(UrsaError) {
        guard let base = bytes.baseAddress else { return }
        let bounce = AlignedBuffer(count: min(1 << 20, bytes.count + 2 * alignment))
        var done = 0
        while done < bytes.count {
            let position = offset + UInt64(done)
            let skip = Int(position % UInt64(alignment))
            let count = min(bytes.count - done, bounce.count - skip)
            let length = (skip + count + alignment - 1) / alignment * alignment
            let space = UnsafeMutableRawBufferPointer(start: bounce.base, count: length)
            if skip + count != length || skip != 0 { try readPadded(into: space, at: position - UInt64(skip)) }
            memcpy(bounce.base + skip, base + done, count)
            try writeRaw(UnsafeRawBufferPointer(space), at: position - UInt64(skip))
            done += count
        }
        // The aligned write may have made the file longer than what was written.
        let end = offset + UInt64(bytes.count)
        if !isBlockDevice, end > size || end % UInt64(alignment) != 0 {
            var info = stat()
            let wanted = max(end, size)
            if fstat(descriptor, &info) == 0, UInt64(max(0, info.st_size)) > wanted {
                try retrying("change the size of \(name)") { ftruncate(descriptor, off_t(wanted)) }
            }
        }
    }
}
