import CLinux
import Glibc
import UrsaBase

/// Opens ports of the real host. Runs in the holder's outer process, which stays in the real host's network namespace;
/// a socket belongs for ever to the namespace that it was made in, so the inner process can use it.
enum Listening {
    /// Sockets for a door: one, or one for IPv4 and one for IPv6 when it is for every address.
    static func open(_ door: Door) throws(UrsaError) -> [SharedFD] {
        if let address = door.address { return [SharedFD(try open(door, address))] }
        var result = [SharedFD(try open(door, .v4(IPv4Address(0))))]
        // A host without IPv6 has IPv4 only.
        if let fd = try? open(door, .v6(IPv6Address(high: 0, low: 0))) { result.append(SharedFD(fd)) }
        return result
    }

    private static func open(_ door: Door, _ address: IPAddress) throws(UrsaError) -> OwnedFD {
        let raw = makeSocket(address.socketFamily, isUDP: door.isUDP)
        guard raw >= 0 else { throw failure(door) }
        let fd = OwnedFD(raw)
        var on: Int32 = 1
        if !door.isUDP { setsockopt(raw, SOL_SOCKET, SO_REUSEADDR, &on, 4) }
        if address.isIPv6 { setsockopt(raw, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &on, 4) }
        guard SocketAddress(address, door.port).with({ bind(raw, $0, $1) }) == 0 else { throw failure(door) }
        guard door.isUDP || listen(raw, 128) == 0 else { throw failure(door) }
        return fd
    }

    private static func failure(_ door: Door) -> UrsaError {
        let error = Errno.current
        switch error.code {
        case EADDRINUSE:
            return UrsaError(
                .conflict, "port \(door) of the host is in use by another program",
                remedy: "publish another port; `ss -\(door.isUDP ? "lu" : "lt")np` names the program")
        case EADDRNOTAVAIL:
            return UrsaError(
                .invalidSpec, "this host has no address \(door.address.map { "\($0)" } ?? "*")",
                remedy: "`ip address` lists the host's addresses")
        case EACCES:
            return UrsaError(
                .permission, "ports below 1024 need root: \(door)", remedy: "publish a port from 1024 up")
        default: return UrsaError.system(error, "open port \(door)")
        }
    }
}
