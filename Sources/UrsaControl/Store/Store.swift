import Foundation
import GRDB
import Glibc
public import UrsaBase

/// The database: what is wanted and what has been given out. It never says what runs; the kernel does.
///
/// SQLite in WAL mode: readers never wait, each allocation is one immediate transaction, so two commands can't be
/// given the same address, port or name. On a read-only file system it opens for reading, so `ps` still works.
public struct Store: Sendable {
    let queue: DatabaseQueue
    /// Whether nothing can be written (read-only file system or no rights).
    public let isReadOnly: Bool

    /// Opens the home's database; makes or migrates it when needed.
    ///
    /// - Throws: `.io` when it can't be opened, naming what to do.
    public init(home: Home) throws(UrsaError) {
        let path = home.storePath
        let exists = File.exists(path)
        if exists, access(home.folder, W_OK) != 0 || access(path, W_OK) != 0 {
            isReadOnly = true
            queue = try Store.opening(path) {
                var configuration = Configuration()
                configuration.readonly = true
                // A WAL database on a read-only file system opens only when SQLite is told that nobody writes.
                let encoded = path.addingPercentEncoding(withAllowedCharacters: .urlPathAllowed) ?? path
                return try DatabaseQueue(path: "file:\(encoded)?immutable=1", configuration: configuration)
            }
            return
        }
        try home.prepare()
        isReadOnly = false
        queue = try Store.opening(path) {
            var configuration = Configuration()
            configuration.busyMode = .timeout(10)
            configuration.prepareDatabase { db in
                try db.execute(sql: "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON")
            }
            let queue = try DatabaseQueue(path: path, configuration: configuration)
            try Migrations.run(on: queue)
            return queue
        }
        if !exists { chmod(path, 0o600) }
    }

    private static func opening(_ path: String, _ body: () throws -> DatabaseQueue) throws(UrsaError) -> DatabaseQueue {
        do { return try body() } catch { throw Store.translate(error, "open the store", path) }
    }

    /// Runs `body` in a read transaction.
    func read<R>(_ body: (Database) throws -> R) throws(UrsaError) -> R {
        do { return try queue.read(body) } catch { throw Store.translate(error, "read the store", queue.path) }
    }

    /// Runs `body` alone among all processes, all or nothing.
    func write<R>(_ body: (Database) throws -> R) throws(UrsaError) -> R {
        guard !isReadOnly else {
            throw UrsaError(
                .io, "the state folder can only be read", place: queue.path,
                remedy: "make it writable, or name another one with URSA_HOME")
        }
        do {
            return try queue.writeWithoutTransaction { db in
                var result: R?
                try db.inTransaction(.immediate) {
                    result = try body(db)
                    return .commit
                }
                guard let result else { throw UrsaError(.bug, "a transaction ended without a result") }
                return result
            }
        } catch { throw Store.translate(error, "write the store", queue.path) }
    }

    /// Runs `body` as a write, hands back its result, and takes everything back: to see what would be given out.
    func rehearse<R>(_ body: (Database) throws -> R) throws(UrsaError) -> R {
        do {
            return try queue.writeWithoutTransaction { db in
                var result: R?
                try db.inTransaction(.immediate) {
                    // A rehearsal may speak of machines that are not there yet.
                    try db.execute(sql: "PRAGMA defer_foreign_keys = ON")
                    result = try body(db)
                    return .rollback
                }
                guard let result else { throw UrsaError(.bug, "a transaction ended without a result") }
                return result
            }
        } catch { throw Store.translate(error, "read the store", queue.path) }
    }

    private static func translate(_ error: any Error, _ action: String, _ path: String) -> UrsaError {
        if let error = error as? UrsaError { return error }
        guard let error = error as? DatabaseError else {
            return UrsaError(.io, "can't \(action): \(error)", place: path)
        }
        let words = error.message ?? "\(error.resultCode)"
        // SQLite says "I/O error" when its shared-memory file finds no room.
        let isFull = error.resultCode == .SQLITE_FULL || (error.resultCode == .SQLITE_IOERR && hasNoRoom(path))
        switch error.resultCode {
        case _ where isFull:
            return UrsaError(
                .io, "can't \(action): the disk is full", place: path,
                remedy: "free some disk space, then run the command again")
        case .SQLITE_READONLY, .SQLITE_CANTOPEN, .SQLITE_PERM:
            return UrsaError(
                .permission, "can't \(action): \(words)", place: path,
                remedy: "make the state folder writable, or name another one with URSA_HOME")
        case .SQLITE_NOTADB, .SQLITE_CORRUPT:
            return UrsaError(
                .io, "can't \(action): the file is no intact database (\(words))", place: path,
                remedy: "move it away; machines that run are then taken down by name: keep the machines folder")
        case .SQLITE_BUSY:
            return UrsaError(.timeout, "can't \(action): another command has held it for 10 s", place: path)
        default: return UrsaError(.io, "can't \(action): \(words)", place: path)
        }
    }

    private static func hasNoRoom(_ path: String) -> Bool {
        var info = statvfs()
        return statvfs(path, &info) == 0 && UInt64(info.f_bavail) &* UInt64(info.f_frsize) < 1 << 18
    }
}
