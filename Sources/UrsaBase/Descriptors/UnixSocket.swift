import CLinux
public import Glibc

/// Unix stream sockets named by a folder descriptor and a short name, so the 108-byte limit of `sockaddr_un` never bites.
public enum UnixSocket {
    private static func address(_ path: String) throws(UrsaError) -> sockaddr_un {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
            throw UrsaError(.bug, "socket path is too long", place: path)
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        return address
    }

    private static func withShortPath<R>(
        _ path: String, _ body: (sockaddr_un) throws(UrsaError) -> R
    ) throws(UrsaError) -> R {
        let folder = try File.open(Path.parent(path), Int32(CLINUX_O_PATH) | O_DIRECTORY)
        return try body(address("/proc/self/fd/\(folder.raw)/\(Path.name(path))"))
    }

    private static func make() throws(UrsaError) -> OwnedFD {
        OwnedFD(try retrying("make a socket") { socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | SOCK_CLOEXEC_, 0) })
    }

    /// Listens at `path`; what was there before is removed. The socket has `mode`.
    public static func listen(_ path: String, mode: mode_t = 0o600, backlog: Int32 = 16) throws(UrsaError) -> OwnedFD {
        try File.remove(path)
        let fd = try make()
        try withShortPath(path) { (name) throws(UrsaError) in
            var name = name
            try retrying("bind \(path)") {
                withUnsafePointer(to: &name) {
                    $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                        bind(fd.raw, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
                    }
                }
            }
        }
        chmod(path, mode)
        try retrying("listen at \(path)") { Glibc.listen(fd.raw, backlog) }
        return fd
    }

    /// Connects to the socket at `path`. Code `.notFound` when nobody listens there.
    public static func connect(_ path: String) throws(UrsaError) -> OwnedFD {
        let fd = try make()
        try withShortPath(path) { (name) throws(UrsaError) in
            var name = name
            while true {
                let result = withUnsafePointer(to: &name) {
                    $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                        Glibc.connect(fd.raw, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
                    }
                }
                if result == 0 { return }
                let error = Errno.current
                if error.code == EINTR { continue }
                if error.code == ECONNREFUSED || error.code == ENOENT {
                    throw UrsaError(.notFound, "nobody listens at \(path)")
                }
                throw UrsaError.system(error, "connect to \(path)")
            }
        }
        return fd
    }

    /// Two connected stream sockets, both close-on-exec.
    public static func pair() throws(UrsaError) -> SocketPair {
        var fds: [Int32] = [-1, -1]
        try retrying("make a socket pair") { socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | SOCK_CLOEXEC_, 0, &fds) }
        return SocketPair(one: OwnedFD(fds[0]), other: OwnedFD(fds[1]))
    }

    private static let SOCK_CLOEXEC_ = Int32(SOCK_CLOEXEC.rawValue)
}

/// A pipe, both ends close-on-exec.
public func makePipe() throws(UrsaError) -> Pipe {
    var fds: [Int32] = [-1, -1]
    try check(clinux_pipe(&fds), "make a pipe")
    return Pipe(read: OwnedFD(fds[0]), write: OwnedFD(fds[1]))
}

/// The two ends of a pipe; take them apart by `let reader = pipe.read`.
@frozen
public struct Pipe: ~Copyable, Sendable {
    /// The end to read from.
    public let read: OwnedFD
    /// The end to write to.
    public let write: OwnedFD
}

/// Two connected sockets.
@frozen
public struct SocketPair: ~Copyable, Sendable {
    /// One end.
    public let one: OwnedFD
    /// The other end.
    public let other: OwnedFD
}
