import Glibc
import UrsaBase

/// A socket address as bind(2) and connect(2) take it.
struct SocketAddress: Hashable {
    private(set) var bytes: [UInt8]

    init(_ address: IPAddress, _ port: UInt16) {
        switch address {
        case .v4(let value):
            var name = sockaddr_in()
            name.sin_family = sa_family_t(AF_INET)
            name.sin_port = port.bigEndian
            name.sin_addr.s_addr = value.value.bigEndian
            bytes = withUnsafeBytes(of: &name) { Array($0) }
        case .v6(let value):
            var name = sockaddr_in6()
            name.sin6_family = sa_family_t(AF_INET6)
            name.sin6_port = port.bigEndian
            withUnsafeMutableBytes(of: &name.sin6_addr) { $0.copyBytes(from: value.bytes) }
            bytes = withUnsafeBytes(of: &name) { Array($0) }
        }
    }

    init(bytes: [UInt8]) { self.bytes = bytes }

    func with<R>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> R) -> R {
        var storage = sockaddr_storage()
        withUnsafeMutableBytes(of: &storage) { $0.copyBytes(from: bytes.prefix($0.count)) }
        return withUnsafePointer(to: &storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(bytes.count)) }
        }
    }
}

extension IPAddress {
    /// AF_INET or AF_INET6.
    var socketFamily: Int32 { isIPv6 ? AF_INET6 : AF_INET }
}

/// A nonblocking socket.
func makeSocket(_ family: Int32, isUDP: Bool) -> Int32 {
    let kind = isUDP ? Int32(SOCK_DGRAM.rawValue) : Int32(SOCK_STREAM.rawValue)
    return socket(family, kind | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
}
