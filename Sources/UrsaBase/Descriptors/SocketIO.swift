import Glibc

/// What a nonblocking read or write came to.
public enum Transfer: Sendable, Hashable {
    /// So many bytes, at least 1.
    case bytes(Int)
    /// Nothing now; wait for readiness.
    case later
    /// The other side is gone or the descriptor failed.
    case ended
}

/// Reads once from a nonblocking descriptor into `buffer`.
public func receiveSome(_ fd: Int32, into buffer: inout [UInt8]) -> Transfer {
    while true {
        let count = read(fd, &buffer, buffer.count)
        if count > 0 { return .bytes(count) }
        if count == 0 { return .ended }
        if errno == EINTR { continue }
        return errno == EAGAIN ? .later : .ended
    }
}

/// Sends once to a nonblocking socket; a closed other side is a result, never SIGPIPE.
public func sendSome(_ fd: Int32, _ bytes: ArraySlice<UInt8>) -> Transfer {
    guard !bytes.isEmpty else { return .later }
    while true {
        let count = bytes.withUnsafeBytes { send(fd, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        if count > 0 { return .bytes(count) }
        if count < 0, errno == EINTR { continue }
        return count < 0 && errno != EAGAIN ? .ended : .later
    }
}

/// Sends all bytes to a socket, waiting where the other side is slow.
///
/// - Throws: `.io` when the other side is gone, `.timeout` when it took too few bytes before the deadline.
public func sendAll(_ fd: Int32, _ bytes: [UInt8], to name: String, until deadline: Deadline) throws(UrsaError) {
    var rest = bytes[...]
    while !rest.isEmpty {
        switch sendSome(fd, rest) {
        case .bytes(let count): rest = rest.dropFirst(count)
        case .ended: throw UrsaError(.io, "\(name) closed the connection")
        case .later:
            if deadline.isPast { throw UrsaError(.timeout, "\(name) does not take what is sent to it") }
            var waiting = pollfd(fd: fd, events: Int16(POLLOUT), revents: 0)
            _ = poll(&waiting, 1, min(deadline.millisecondsLeft, 1000))
        }
    }
}
