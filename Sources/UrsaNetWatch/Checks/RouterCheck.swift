import CLinux
import Glibc
import UrsaBase

/// Follows the Ethernet address of a router that shares its interface with another, by ARP (RFC 826): the kernel would
/// believe in an address for half a minute, and for as long every new connection by that router would be answered by
/// the wrong one.
final class RouterCheck {
    /// Seconds between questions.
    private static let interval = 0.5
    let uplink: WatchOrders.Uplink
    private let router: WatchOrders.Router
    private let loop: EventLoop
    private let tell: (MACAddress) -> Void
    private var fd: OwnedFD?
    private var index: Int32 = 0
    private var own: [UInt8] = []
    private var isWaiting = false
    private var timer: UInt64?

    /// Begins to ask.
    init?(_ uplink: WatchOrders.Uplink, _ loop: EventLoop, _ tell: @escaping (MACAddress) -> Void) {
        guard let router = uplink.router else { return nil }
        self.uplink = uplink
        self.router = router
        self.loop = loop
        self.tell = tell
        ask()
    }

    /// Ends the asking; needed before the last reference goes.
    func end() {
        if let timer { loop.cancel(timer) }
        closeSocket()
    }

    private func closeSocket() {
        guard let descriptor = fd?.raw else { return }
        loop.remove(descriptor)
        fd = nil
    }

    private func ask() {
        let isLost = isWaiting
        if isLost { closeSocket() }
        if fd == nil { openSocket() }
        isWaiting = true
        // One known router is asked alone; everybody when it does not answer.
        send(to: isLost ? nil : router.mac)
        timer = loop.after(seconds: RouterCheck.interval) { [weak self] in self?.ask() }
    }

    private func openSocket() {
        index = Int32(bitPattern: if_nametoindex(uplink.interface))
        guard index > 0, let mac = RouterCheck.address(of: uplink.interface) else { return }
        own = mac
        let type = Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        let raw = socket(AF_PACKET, type, Int32(RouterCheck.arp.bigEndian))
        guard raw >= 0 else { return }
        let opened = OwnedFD(raw)
        var name = self.name(of: nil)
        let isBound = withUnsafePointer(to: &name) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(raw, $0, socklen_t(MemoryLayout<sockaddr_ll>.size)) == 0
            }
        }
        guard isBound, (try? loop.add(raw, .read, { [weak self] _ in self?.listen() })) != nil else { return }
        fd = consume opened
    }

    /// ETH_P_ARP.
    private static let arp: UInt16 = 0x0806

    private func name(of mac: MACAddress?) -> sockaddr_ll {
        var name = sockaddr_ll()
        name.sll_family = UInt16(AF_PACKET)
        name.sll_protocol = RouterCheck.arp.bigEndian
        name.sll_ifindex = index
        name.sll_halen = 6
        withUnsafeMutableBytes(of: &name.sll_addr) {
            $0.copyBytes(from: mac?.bytes ?? [UInt8](repeating: 0xff, count: 6))
        }
        return name
    }

    private func send(to mac: MACAddress?) {
        guard let raw = fd?.raw else { return }
        // Ethernet, IPv4, lengths 6 and 4, request; who asks; whom.
        var packet: [UInt8] = [0, 1, 8, 0, 6, 4, 0, 1]
        packet += own + router.asker.bytes + [0, 0, 0, 0, 0, 0] + router.address.bytes
        var name = self.name(of: mac)
        _ = withUnsafePointer(to: &name) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                sendto(raw, packet, packet.count, 0, $0, socklen_t(MemoryLayout<sockaddr_ll>.size))
            }
        }
    }

    private func listen() {
        guard let raw = fd?.raw else { return }
        var buffer = [UInt8](repeating: 0, count: 128)
        for _ in 0..<64 {
            let count = recv(raw, &buffer, buffer.count, 0)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { return }
            // An answer (operation 2) whose sender is the router; a request of its own tells as much.
            guard count >= 28, Array(buffer[0..<6]) == [0, 1, 8, 0, 6, 4],
                Array(buffer[14..<18]) == router.address.bytes
            else { continue }
            isWaiting = false
            let mac = MACAddress(buffer[8..<14].reduce(UInt64(0)) { $0 << 8 | UInt64($1) })
            if mac != router.mac { tell(mac) }
        }
    }

    /// The Ethernet address of a link of this namespace, as the file system of another namespace can't tell it.
    private static func address(of link: String) -> [UInt8]? {
        let raw = socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard raw >= 0 else { return nil }
        let fd = OwnedFD(raw)
        // struct ifreq: 16 bytes of name, then struct sockaddr with the address at 18 (netdevice(7)).
        var request = [UInt8](repeating: 0, count: 40)
        for (index, byte) in link.utf8.prefix(15).enumerated() { request[index] = byte }
        let result = request.withUnsafeMutableBytes { clinux_ioctl(fd.raw, UInt64(SIOCGIFHWADDR), $0.baseAddress) }
        return result >= 0 ? Array(request[18..<24]) : nil
    }
}
