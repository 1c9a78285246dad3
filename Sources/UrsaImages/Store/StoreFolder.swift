import CLinux
import Glibc
import UrsaBase

/// The folder of the store on the disk, and the one way in which anything appears in it.
///
/// Whatever is made is made in a folder `.partial-…`, written to the disk, and renamed into place; so a name in the
/// store always stands for something whole. A partial folder belongs to who holds the lock on `.partial-….lock`; when
/// that process has died, the next one that makes or removes something sweeps the folder away.
struct StoreFolder: Sendable {
    /// Path of the folder, absolute.
    let path: String

    init(_ path: String) { self.path = Path.absolute(path) }

    /// A folder being filled; swept when its owner dies.
    struct Partial: ~Copyable {
        /// Path of the folder.
        let path: String
        private let lock: FileLock

        fileprivate init(path: String, lock: consuming FileLock) {
            self.path = path
            self.lock = lock
        }
    }

    /// Makes an empty partial folder.
    ///
    /// - Parameter space: bytes that must be free on the file system.
    func makePartial(space: ByteCount) throws(UrsaError) -> Partial {
        try File.makeDirectory(path)
        try requireSpace(space)
        // While the guard is held nobody sweeps, so a folder whose lock is not yet taken is safe.
        let guardLock = try FileLock(path + "/.lock")
        defer { withExtendedLifetime(guardLock) {} }
        sweepHoldingGuard()
        let partial = path + "/.partial-\(getpid())-" + hexadecimal((0..<6).map { _ in UInt8.random(in: 0...255) })
        guard let lock = try FileLock.attempt(partial + ".lock") else {
            throw UrsaError(.bug, "a new folder of the image store is locked already", place: partial)
        }
        try File.makeDirectory(partial)
        return Partial(path: partial, lock: lock)
    }

    /// Removes a partial folder, whether it was published or not.
    func discard(_ partial: consuming Partial) {
        try? File.removeTree(partial.path)
        unlink(partial.path + ".lock")
    }

    /// Gives a finished folder (a partial one, or one in it) its name in the store. False when the name is taken: then
    /// what is there stays.
    @discardableResult
    func publish(_ folder: String, as name: String) throws(UrsaError) -> Bool {
        try StoreFolder.sync(folder)
        let target = path + "/" + name
        let result = clinux_rename_exclusive(folder, target)
        if result == -EEXIST || result == -ENOTEMPTY { return false }
        try check(result, "put \(target) in place")
        try StoreFolder.syncEntry(Path.parent(target))
        return true
    }

    /// Takes a folder out of the store in one step, then deletes it.
    func remove(_ name: String) throws(UrsaError) {
        let partial = try makePartial(space: ByteCount(0))
        let result = rename(path + "/" + name, partial.path + "/gone")
        let error = Errno.current
        discard(partial)
        if result != 0, error.code != ENOENT { throw UrsaError.system(error, "remove \(path)/\(name)") }
    }

    /// Deletes partial folders whose owners have died.
    func sweep() throws(UrsaError) {
        guard File.isDirectory(path) else { return }
        let guardLock = try FileLock(path + "/.lock")
        sweepHoldingGuard()
        withExtendedLifetime(guardLock) {}
    }

    private func sweepHoldingGuard() {
        let names = File.list(path).filter { $0.hasPrefix(".partial-") }
        for name in Set(names.map { $0.hasSuffix(".lock") ? String($0.dropLast(5)) : $0 }) {
            let folder = path + "/" + name
            // A folder that can't be removed now (something still writes there) is tried again next time.
            guard let lock = try? FileLock.attempt(folder + ".lock") else { continue }
            if (try? File.removeTree(folder)) != nil { unlink(folder + ".lock") }
            withExtendedLifetime(lock) {}
        }
    }

    /// Throws when fewer bytes are free than needed.
    func requireSpace(_ needed: ByteCount) throws(UrsaError) {
        var info = statvfs()
        guard statvfs(path, &info) == 0 else { return }
        let (free, overflow) = UInt64(info.f_bavail).multipliedReportingOverflow(by: UInt64(info.f_frsize))
        guard !overflow, free < needed.bytes else { return }
        throw UrsaError(
            .io, "the image needs \(needed.rounded) and only \(ByteCount(free).rounded) are free", place: path,
            remedy: "free some space, remove images with `ursa image rm`, or name another state folder with URSA_HOME")
    }

    /// Writes a folder and all in it to the disk.
    private static func sync(_ path: String) throws(UrsaError) {
        for name in File.list(path) {
            let entry = path + "/" + name
            var info = stat()
            guard lstat(entry, &info) == 0 else { continue }
            switch info.st_mode & S_IFMT {
            case S_IFDIR: try sync(entry)
            case S_IFREG: try syncEntry(entry)
            default: continue
            }
        }
        try syncEntry(path)
    }

    private static func syncEntry(_ path: String) throws(UrsaError) {
        let fd = try File.open(path, O_RDONLY)
        try retrying("write \(path) to the disk") { fsync(fd.raw) }
    }
}
