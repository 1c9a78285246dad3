import CLinux
import Glibc
import UrsaBase

/// A netlink socket that is told of changes.
final class KernelListener {
    private let fd: OwnedFD
    /// For the loop.
    var descriptor: Int32 { fd.raw }
    private var buffer = [UInt8](repeating: 0, count: 32768)

    /// Joins multicast groups of a netlink family; groups that this kernel lacks are left out.
    init(_ family: Int32, groups: [Int32]) throws(UrsaError) {
        let type = Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        let opened = OwnedFD(try retrying("listen to the kernel") { socket(AF_NETLINK, type, family) })
        let raw = opened.raw
        fd = opened
        // Without an address of its own a socket counts as the kernel's, who is not told his own news.
        var name = sockaddr_nl()
        name.nl_family = UInt16(AF_NETLINK)
        try retrying("listen to the kernel") {
            withUnsafePointer(to: &name) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(raw, $0, socklen_t(MemoryLayout<sockaddr_nl>.size))
                }
            }
        }
        // A burst of changes must fit: what does not is told as an overflow.
        var size: Int32 = 1 << 20
        setsockopt(fd.raw, SOL_SOCKET, SO_RCVBUFFORCE, &size, 4)
        for var group in groups {
            // SOL_NETLINK is 270 in <linux/socket.h>, which is not part of the uapi headers.
            setsockopt(fd.raw, 270, NETLINK_ADD_MEMBERSHIP, &group, 4)
        }
    }

    /// Everything that has been told since; nil when some of it was lost.
    func receive() -> [KernelMessage]? {
        var messages: [KernelMessage] = []
        // Bounded, so that a flood of changes can't keep the checks from their turn.
        for _ in 0..<64 {
            let count = recv(fd.raw, &buffer, buffer.count, 0)
            if count < 0, errno == EINTR { continue }
            if count < 0 { return errno == ENOBUFS ? nil : messages }
            if count == 0 { return messages }
            messages += KernelMessage.split(buffer[0..<count])
        }
        return messages
    }
}
