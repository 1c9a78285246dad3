import Glibc
import Testing
import UrsaBase

/// A folder of the test's own, removed with the value.
final class TemporaryFolder {
    let path: String
    init() throws {
        var template = Array("/tmp/ursa-base-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw UrsaError.system(.current, "make a temporary folder") }
        path = String(decoding: template.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
    deinit { try? File.removeTree(path) }
}

/// The error that `body` throws, nil when it throws none.
func error(_ body: () throws(UrsaError) -> Void) -> UrsaError? {
    do throws(UrsaError) { try body() } catch { return error }
    return nil
}

/// Whether somebody holds the lock at `path`.
func isLocked(_ path: String) throws(UrsaError) -> Bool {
    guard let lock = try FileLock.attempt(path) else { return true }
    _ = consume lock
    return false
}

/// Waits until `condition` holds, at most ten seconds.
func eventually(_ condition: () -> Bool) -> Bool {
    let deadline = Deadline.after(seconds: 10)
    while !condition() {
        if deadline.isPast { return false }
        pause(milliseconds: 5)
    }
    return true
}
