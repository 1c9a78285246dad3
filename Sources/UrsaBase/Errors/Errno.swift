import Glibc

/// An error number of the kernel, with the system's text for it.
public struct Errno: Error, Hashable, Sendable, CustomStringConvertible {
    /// The positive error number (`ENOENT`, …).
    public let code: Int32
    /// Wraps a positive error number.
    public init(_ code: Int32) { self.code = code }
    /// The value of `errno` right now.
    public static var current: Errno { Errno(errno) }

    /// The system's text, as of strerror(3).
    public var description: String {
        var buffer = [CChar](repeating: 0, count: 256)
        guard strerror_r(code, &buffer, buffer.count) == 0 else { return "error \(code)" }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

/// Turns the `-errno` contract of CLinux into a throw: `try check(clinux_…(), "what was tried")`.
///
/// - Throws: `UrsaError` naming the action and the system's reason.
@discardableResult
public func check(_ result: Int32, _ action: @autoclosure () -> String) throws(UrsaError) -> Int32 {
    guard result < 0 else { return result }
    throw UrsaError.system(Errno(-result), action())
}

extension UrsaError {
    /// An error for a failed system call: "can't ACTION: reason".
    public static func system(_ errno: Errno, _ action: String) -> UrsaError {
        switch errno.code {
        case EPERM, EACCES: UrsaError(.permission, "can't \(action): \(errno)")
        case ENOENT: UrsaError(.notFound, "can't \(action): \(errno)")
        case ENOSPC, EDQUOT:
            UrsaError(.io, "can't \(action): \(errno)", remedy: "free some disk space, then run the command again")
        case EROFS:
            UrsaError(
                .io, "can't \(action): \(errno)",
                remedy: "make the file system writable, or name another state folder with URSA_HOME")
        case ETIMEDOUT: UrsaError(.timeout, "can't \(action): \(errno)")
        default: UrsaError(.io, "can't \(action): \(errno)")
        }
    }
}

/// Calls `body` until it does not fail with EINTR; a negative result is thrown as the error of `action`.
@discardableResult
public func retrying<T: BinaryInteger>(
    _ action: @autoclosure () -> String, _ body: () -> T
) throws(UrsaError) -> T {
    while true {
        let result = body()
        if result >= 0 { return result }
        let error = Errno.current
        if error.code == EINTR { continue }
        throw UrsaError.system(error, action())
    }
}
