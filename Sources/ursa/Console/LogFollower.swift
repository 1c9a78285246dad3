import CLinux
import Glibc
import UrsaBase

/// Reads a log that lies in several files, oldest first, and goes on over their rotation.
struct LogFollower {
    private struct Identity: Equatable {
        let device: dev_t
        let inode: ino_t
    }
    private let paths: () throws(UrsaError) -> [String]
    private var current: (file: SharedFD, identity: Identity)?
    private let inotify: SharedFD
    private var watched: String?

    // linux/inotify.h: IN_MODIFY, IN_MOVED_FROM, IN_MOVED_TO, IN_CREATE, IN_DELETE
    private static let changes: UInt32 = 0x2 | 0x40 | 0x80 | 0x100 | 0x200

    /// A reader of the files that `paths` names; it is asked again at each look.
    init(paths: @escaping () throws(UrsaError) -> [String]) throws(UrsaError) {
        self.paths = paths
        inotify = SharedFD(OwnedFD(try check(clinux_inotify(), "watch files")))
    }

    /// Goes to the place from which the last `lines` lines are ahead; 0 is the end.
    mutating func seek(lines: Int) throws(UrsaError) {
        var missing = lines
        var isLastByte = true
        for path in try paths().reversed() {
            guard let opened = LogFollower.open(path) else { continue }
            current = opened
            var end = Int(lseek(opened.file.raw, 0, SEEK_END))
            guard lines > 0 else { return }
            var buffer = [UInt8](repeating: 0, count: 65536)
            while end > 0 {
                let start = max(0, end - buffer.count)
                let count = pread(opened.file.raw, &buffer, end - start, off_t(start))
                guard count > 0 else { break }
                for index in stride(from: count - 1, through: 0, by: -1) {
                    // The line feed that ends the last line begins no further one.
                    defer { isLastByte = false }
                    guard buffer[index] == 0x0a, !isLastByte else { continue }
                    missing -= 1
                    if missing == 0 {
                        lseek(opened.file.raw, off_t(start + index + 1), SEEK_SET)
                        return
                    }
                }
                end = start
            }
            lseek(opened.file.raw, 0, SEEK_SET)
        }
    }

    /// Goes to a byte of the only file; past its end when it is shorter.
    mutating func seek(byte: UInt64, in path: String) {
        guard let opened = LogFollower.open(path) else { return }
        current = opened
        lseek(opened.file.raw, off_t(clamping: byte), SEEK_SET)
    }

    /// Hands all that is there to `sink`, in order.
    mutating func read(_ sink: ([UInt8]) -> Void) throws(UrsaError) {
        // The bound is for files that rotate faster than they can be read.
        for _ in 0..<10_000 {
            if Screen.readerIsGone { return }
            if let current { try LogFollower.drain(current.file, sink) }
            var next: (file: SharedFD, identity: Identity)?
            let listed = try paths()
            let files = listed.compactMap { LogFollower.open($0) }
            if let current {
                if let index = files.firstIndex(where: { $0.identity == current.identity }) {
                    next = index + 1 < files.count ? files[index + 1] : nil
                } else {
                    next = files.first
                }
                // What was written between the look before and the rotation.
                if next != nil { try LogFollower.drain(current.file, sink) }
            } else {
                next = files.first
            }
            guard let next else { return watch(listed.last) }
            current = next
        }
    }

    private mutating func watch(_ path: String?) {
        guard let path, watched == nil else { return }
        let folder = Path.parent(path)
        if clinux_inotify_watch(inotify.raw, folder, LogFollower.changes) >= 0 { watched = folder }
    }

    /// Waits for a change, at most `seconds`; false when the time passed without one.
    mutating func wait(seconds: Double) -> Bool {
        var polls = [
            pollfd(fd: inotify.raw, events: Int16(POLLIN), revents: 0),
            pollfd(fd: STDOUT_FILENO, events: 0, revents: 0),
        ]
        let ready = poll(&polls, 2, Int32(seconds * 1000))
        if ready > 0, polls[0].revents != 0 {
            var buffer = [UInt8](repeating: 0, count: 16384)
            while Glibc.read(inotify.raw, &buffer, buffer.count) > 0 {}
            return true
        }
        return ready > 0
    }

    /// Whether nobody reads standard output any more.
    static var readerIsGone: Bool {
        var waiting = pollfd(fd: STDOUT_FILENO, events: 0, revents: 0)
        return Screen.readerIsGone || poll(&waiting, 1, 0) > 0 && waiting.revents & Int16(POLLERR | POLLNVAL) != 0
    }

    private static func open(_ path: String) -> (file: SharedFD, identity: Identity)? {
        guard let file = try? File.open(path, O_RDONLY) else { return nil }
        var status = stat()
        guard fstat(file.raw, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
        return (SharedFD(file), Identity(device: status.st_dev, inode: status.st_ino))
    }

    private static func drain(_ file: SharedFD, _ sink: ([UInt8]) -> Void) throws(UrsaError) {
        var status = stat()
        if fstat(file.raw, &status) == 0, status.st_size < lseek(file.raw, 0, SEEK_CUR) {
            lseek(file.raw, 0, SEEK_SET)  // it was cut short
        }
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = try retrying("read a log") { Glibc.read(file.raw, &buffer, buffer.count) }
            if count == 0 || Screen.readerIsGone { return }
            sink(Array(buffer[0..<count]))
        }
    }
}
