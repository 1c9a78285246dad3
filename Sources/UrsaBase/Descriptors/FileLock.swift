import CLinux
public import Glibc

/// An exclusive lock on a file, gone when this value goes away or its process dies, however it dies.
///
/// Uses open-file-description locks (fcntl(2), F_OFD_SETLK), so it works between threads too and leaves no stale lock.
public struct FileLock: ~Copyable, Sendable {
    private let fd: OwnedFD

    /// Waits for the lock; the file is made when missing.
    public init(_ path: String, mode: mode_t = 0o600) throws(UrsaError) {
        let opened = try File.open(path, O_RDWR | O_CREAT, mode: mode)
        try check(clinux_ofd_lock(opened.raw, 1, 1), "lock \(path)")
        fd = opened
    }

    /// Takes over a lock that another process held and handed on as a descriptor.
    public init(inherited: consuming OwnedFD) { fd = inherited }

    /// The descriptor that carries the lock, to hand to a child: the lock lasts until the last copy is closed.
    public var descriptor: Int32 { fd.raw }

    private init(locked: consuming OwnedFD) { fd = locked }

    /// Takes the lock if nobody has it, else returns nil at once.
    public static func attempt(_ path: String, mode: mode_t = 0o600) throws(UrsaError) -> FileLock? {
        let opened = try File.open(path, O_RDWR | O_CREAT, mode: mode)
        let result = clinux_ofd_lock(opened.raw, 1, 0)
        if result == -EAGAIN || result == -EACCES { return nil }
        try check(result, "lock \(path)")
        return FileLock(locked: opened)
    }
}
