import CLinux
import Glibc
import UrsaBase

/// Finds out who on a LAN has an address, and tells the LAN of new holders.
struct AddressProbe {
    let link: Link

    /// Questions and the time between them. RFC 5227 (2.1.1) asks for seconds, made for stations that have just been
    /// plugged in; a neighbour that is up answers within a few milliseconds.
    private static let questions = 3
    private static let pace = 0.06

    /// Those of the addresses that somebody else on the LAN has, with the Ethernet address that answered; takes 180 ms.
    /// Empty when the link has no carrier.
    func holders(of addresses: [IPAddress]) throws(UrsaError) -> [(address: IPAddress, mac: MACAddress)] {
        guard link.isUp, link.mac.count == 6 else { return [] }
        let wanted = Set(addresses)
        var found: [IPAddress: MACAddress] = [:]
        let sockets = try sockets(for: addresses)
        let own = MACAddress(link.mac.reduce(UInt64(0)) { $0 << 8 | UInt64($1) })
        for _ in 0..<Self.questions {
            send(addresses.map { LANFrame.question($0, from: link.mac) }, sockets)
            let next = Deadline.after(seconds: Self.pace)
            while !next.isPast {
                var waiting = sockets.map { pollfd(fd: $0.fd.raw, events: Int16(POLLIN), revents: 0) }
                guard poll(&waiting, nfds_t(waiting.count), next.millisecondsLeft) > 0 else { break }
                for socket in sockets {
                    while let frame = socket.read() {
                        guard let claim = LANFrame.claim(frame), claim.mac != own, wanted.contains(claim.address)
                        else { continue }
                        found[claim.address] = claim.mac
                    }
                }
            }
            if found.count == wanted.count { break }
        }
        return addresses.compactMap { address in found[address].map { (address, $0) } }
    }

    /// Tells the LAN that the addresses are with this link now. What does not get through costs nothing but time.
    func announce(_ addresses: [IPAddress]) {
        guard link.isUp, link.mac.count == 6, let sockets = try? sockets(for: addresses) else { return }
        send(addresses.map { LANFrame.announcement($0, of: link.mac) }, sockets)
    }

    private final class FrameSocket {
        let type: UInt16
        let fd: OwnedFD

        init(_ type: UInt16, _ link: Link) throws(UrsaError) {
            self.type = type
            fd = OwnedFD(try check(clinux_link_socket(link.index, type), "open a packet socket on \(link.name)"))
        }

        func read() -> [UInt8]? {
            var buffer = [UInt8](repeating: 0, count: 256)
            let count = recv(fd.raw, &buffer, buffer.count, 0)
            return count > 0 ? Array(buffer[0..<count]) : nil
        }
    }

    private func sockets(for addresses: [IPAddress]) throws(UrsaError) -> [FrameSocket] {
        var sockets: [FrameSocket] = []
        if addresses.contains(where: { !$0.isIPv6 }) { sockets.append(try FrameSocket(LANFrame.arp, link)) }
        if addresses.contains(where: \.isIPv6) { sockets.append(try FrameSocket(LANFrame.ipv6, link)) }
        return sockets
    }

    private func send(_ frames: [[UInt8]], _ sockets: [FrameSocket]) {
        for frame in frames {
            let type = UInt16(frame[12]) << 8 | UInt16(frame[13])
            for socket in sockets where socket.type == type { _ = write(socket.fd.raw, frame, frame.count) }
        }
    }
}
