import CLinux
import Glibc
public import UrsaBase

/// Locks of an image's file that QEMU understands, and the other way round.
///
/// QEMU (block/file-posix.c) says what a user of a file does, and what it can't bear of others, by shared
/// open-file-description locks on single bytes that need not exist: byte 100 + n for "does n", byte 200 + n for "nobody
/// else may do n". Whoever comes first takes its bytes, and then looks whether an exclusive lock on the opposite byte
/// would be refused to it; if so somebody is in the way. The locks belong to the open file: they go when it is closed,
/// also by kill -9.
public enum ImageLock {
    /// What somebody does with a file.
    public enum Use: Sendable {
        /// Reads it; others may write to it (a raw image, whose reader bears that).
        case reading
        /// Reads it and relies on its tables: nobody may write.
        case readingTables
        /// Writes to it, and nobody else does.
        case writing
    }

    private enum Permission: Int64 { case consistentRead = 0, write = 1, writeUnchanged = 2, resize = 3 }
    private static let does: Int64 = 100
    private static let refuses: Int64 = 200

    /// Takes the locks, or says who is in the way. Filesystems without locks are left alone, as QEMU does.
    public static func take(_ file: ImageFile, for use: Use) throws(UrsaError) {
        guard file.descriptor >= 0 else { return }
        let doing: [Permission] = use == .writing ? [.consistentRead, .write, .resize] : [.consistentRead]
        let refusing: [Permission] = use == .reading ? [] : [.write, .resize]
        do throws(UrsaError) {
            for permission in doing {
                guard try lock(file, does + permission.rawValue) else { return }
            }
            for permission in refusing {
                guard try lock(file, refuses + permission.rawValue) else { return }
            }
            for permission in doing { try look(file, refuses, permission) }
            for permission in refusing { try look(file, does, permission) }
        } catch {
            release(file)
            throw error
        }
    }

    /// Gives the locks back before the file is closed.
    public static func release(_ file: ImageFile) {
        guard file.descriptor >= 0 else { return }
        _ = clinux_ofd_unlock(file.descriptor, does, 8)
        _ = clinux_ofd_unlock(file.descriptor, refuses, 8)
    }

    private static func lock(_ file: ImageFile, _ byte: Int64) throws(UrsaError) -> Bool {
        let result = clinux_ofd_lock(file.descriptor, 0, 0, byte, 1)
        if result == -EAGAIN || result == -EACCES { throw inUse(file, "is") }
        // No locks on this filesystem (some of the network's).
        if result == -EINVAL || result == -EOPNOTSUPP || result == -ENOLCK || result == -ENOSYS { return false }
        try check(result, "lock \(file.name)")
        return true
    }

    private static func look(_ file: ImageFile, _ base: Int64, _ permission: Permission) throws(UrsaError) {
        let result = clinux_ofd_lock_conflicts(file.descriptor, 1, base + permission.rawValue, 1)
        guard result == 1 else { return }
        throw inUse(file, base == does ? "is being written to by" : "is in use by")
    }

    private static func inUse(_ file: ImageFile, _ how: String) -> UrsaError {
        UrsaError(
            .conflict, "\(file.name) \(how) another program (perhaps a running machine)",
            remedy: "stop that first; reading without locks (-U) may see half of a change")
    }
}
