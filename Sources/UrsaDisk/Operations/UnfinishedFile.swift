import Glibc
public import UrsaBase

/// A file that is being made: it lies beside its place under a name of its own, and takes the place when it is whole.
///
/// Whoever is killed in between leaves what was there before. A signal that ends the program in good order removes the
/// unfinished file (`removeAll`); after kill -9 it stays, under a name that says what it is.
public final class UnfinishedFile: Sendable {
    /// Where the file is made.
    public let path: String
    /// Where it belongs.
    public let target: String
    private let isDone = Locked(false)

    private static let all = Locked<Set<String>>([])

    /// Chooses a name for a file that is to be made. Nothing is made yet.
    ///
    /// - Parameter target: the path that the file gets; a link is followed, so that what it points to is replaced.
    public init(_ target: String) throws(UrsaError) {
        var resolved = target
        if let real = realpath(target, nil) {
            resolved = String(cString: real)
            free(real)
        }
        self.target = resolved
        path = "\(resolved).new-\(getpid())-\(String(UInt32.random(in: 0...UInt32.max), radix: 16))"
        let made = path
        _ = UnfinishedFile.all.withLock { $0.insert(made) }
    }

    deinit { if !isDone.withLock({ $0 }) { discard() } }

    /// Gives the file its place. An existing one is replaced and its mode kept.
    ///
    /// - Parameter durable: wait until content and name are on stable storage.
    public func finish(durable: Bool) throws(UrsaError) {
        if let before = File.status(target) {
            chmod(path, before.st_mode & 0o7777)
            _ = chown(path, before.st_uid, before.st_gid)
        }
        if durable {
            let fd = try File.open(path, O_RDONLY)
            try retrying("write \(target) to stable storage") { fdatasync(fd.raw) }
        }
        try retrying("replace \(target)") { rename(path, target) }
        forget()
        if durable {
            let folder = try File.open(Path.parent(target), O_RDONLY)
            try retrying("write the folder of \(target) to stable storage") { fsync(folder.raw) }
        }
    }

    /// Removes the file; its place stays as it was.
    public func discard() {
        unlink(path)
        forget()
    }

    private func forget() {
        isDone.withLock { $0 = true }
        let made = path
        _ = UnfinishedFile.all.withLock { $0.remove(made) }
    }

    /// Removes every unfinished file of this process: for whoever ends it at once.
    public static func removeAll() { all.withLock { for path in $0 { unlink(path) } } }
}
