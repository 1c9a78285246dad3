import CLinux
public import Glibc

/// A lock on a file, gone when this value goes away or its process dies, however it dies. Exclusive unless it is said to be shared.
///
/// Uses open-file-description locks (fcntl(2), F_OFD_SETLK), so it works between threads too and leaves no stale lock.
/// One file can hold the locks of many things: each `slot` is a lock of its own (a byte of the file that need not
/// exist), so that deleting a thing needs no deletion of a lock file that others may be waiting for.
public struct FileLock: ~Copyable, Sendable {
    private let fd: OwnedFD

    /// Waits for the lock; the file is made when missing.
    ///
    /// - Parameter slot: which lock of the file, below 2^62; nil locks the whole file.
    public init(_ path: String, slot: Int64? = nil, mode: mode_t = 0o600) throws(UrsaError) {
        self = try FileLock.wait(path, slot, mode, isShared: false)
    }

    /// Waits for a share of the lock of a whole file: many hold it at once, and none while somebody has the lock alone.
    public static func share(_ path: String, mode: mode_t = 0o600) throws(UrsaError) -> FileLock {
        try wait(path, nil, mode, isShared: true)
    }

    private static func wait(
        _ path: String, _ slot: Int64?, _ mode: mode_t, isShared: Bool
    ) throws(UrsaError) -> FileLock {
        let opened = try File.open(path, O_RDWR | O_CREAT, mode: mode)
        try check(clinux_ofd_lock(opened.raw, isShared ? 0 : 1, 1, slot ?? 0, slot == nil ? 0 : 1), "lock \(path)")
        return FileLock(locked: opened)
    }

    /// Takes over a lock that another process held and handed on as a descriptor.
    public init(inherited: consuming OwnedFD) { fd = inherited }

    /// The descriptor that carries the lock, to hand to a child: the lock lasts until the last copy is closed.
    public var descriptor: Int32 { fd.raw }

    private init(locked: consuming OwnedFD) { fd = locked }

    /// Takes the lock if nobody has it, else returns nil at once.
    public static func attempt(_ path: String, slot: Int64? = nil, mode: mode_t = 0o600) throws(UrsaError) -> FileLock?
    {
        let opened = try File.open(path, O_RDWR | O_CREAT, mode: mode)
        let result = clinux_ofd_lock(opened.raw, 1, 0, slot ?? 0, slot == nil ? 0 : 1)
        if result == -EAGAIN || result == -EACCES { return nil }
        try check(result, "lock \(path)")
        return FileLock(locked: opened)
    }

    /// Runs `body` while holding the lock; waits for it first.
    public static func holding<R>(
        _ path: String, slot: Int64? = nil, _ body: () throws(UrsaError) -> R
    ) throws(UrsaError) -> R {
        let lock = try FileLock(path, slot: slot)
        return try withExtendedLifetime(lock, body)
    }

    /// Runs `body` while holding the lock if nobody has it, else returns nil at once.
    public static func holdingIfFree<R>(
        _ path: String, slot: Int64? = nil, _ body: () throws(UrsaError) -> R
    ) throws(UrsaError) -> R? {
        guard let lock = try attempt(path, slot: slot) else { return nil }
        return try withExtendedLifetime(lock, body)
    }

    /// The slot of a name: 62 bits of its SHA-256.
    public static func slot(_ name: String) -> Int64 {
        Int64(SHA256.digest(name).prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) } >> 2)
    }
}
