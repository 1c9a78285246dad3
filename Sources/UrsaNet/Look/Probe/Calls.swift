import CLinux
import Glibc
import UrsaBase

/// Calls that a program of the calling thread's namespace could make, with short waits.
enum Calls {
    /// Whether an echo request is answered.
    ///
    /// - Parameter link: the link to send by, nil for the one that routes say.
    static func ping(_ address: IPAddress, by link: String? = nil, seconds: Double = 1) -> Bool {
        let proto = address.isIPv6 ? Int32(IPPROTO_ICMPV6) : Int32(IPPROTO_ICMP)
        let raw = socket(
            address.isIPv6 ? AF_INET6 : AF_INET, Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue), proto)
        guard raw >= 0 else { return false }
        let fd = OwnedFD(raw)
        if let link, clinux_bind_to_link(fd.raw, link) < 0 { return false }
        let id = UInt16.random(in: 1...UInt16.max)
        var packet: [UInt8] = [address.isIPv6 ? 128 : 8, 0, 0, 0, UInt8(id >> 8), UInt8(id & 0xff), 0, 1]
        if !address.isIPv6 {
            let sum = ProbePacket.checksum(packet)
            (packet[2], packet[3]) = (UInt8(sum >> 8), UInt8(sum & 0xff))
        }
        let deadline = Deadline.after(seconds: seconds)
        while true {
            // A neighbour that must be found first may cost the first packet.
            _ = HostAddress.withName(address, port: 0) { sendto(fd.raw, packet, packet.count, 0, $0, $1) }
            let next = min(deadline, .after(seconds: 0.3))
            while true {
                var waiting = pollfd(fd: fd.raw, events: Int16(POLLIN), revents: 0)
                guard poll(&waiting, 1, next.millisecondsLeft) > 0 else { break }
                var buffer = [UInt8](repeating: 0, count: 2048)
                let count = recv(fd.raw, &buffer, buffer.count, 0)
                guard count > 0 else { break }
                // Raw IPv4 sockets hand the IP header over too.
                let start = address.isIPv6 ? 0 : Int(buffer[0] & 15) * 4
                guard count >= start + 8 else { continue }
                let isReply = buffer[start] == (address.isIPv6 ? 129 : 0)
                if isReply, buffer[start + 4] == UInt8(id >> 8), buffer[start + 5] == UInt8(id & 0xff) { return true }
            }
            if deadline.isPast { return false }
        }
    }

    /// How a TCP call ended.
    enum Answer: String, Sendable {
        /// A program answers.
        case accepted
        /// It is refused: by the machine when nobody listens, or by a rule.
        case refused
        /// Nobody says a word.
        case silence
    }

    /// Calls a TCP port.
    static func connect(_ address: IPAddress, _ port: UInt16, seconds: Double = 1) -> Answer {
        let flags = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        let raw = socket(address.isIPv6 ? AF_INET6 : AF_INET, flags, 0)
        guard raw >= 0 else { return .silence }
        let fd = OwnedFD(raw)
        if HostAddress.withName(address, port: port, { Glibc.connect(fd.raw, $0, $1) }) == 0 { return .accepted }
        guard errno == EINPROGRESS else { return .refused }
        var waiting = pollfd(fd: fd.raw, events: Int16(POLLOUT), revents: 0)
        guard poll(&waiting, 1, Int32(max(0, min(seconds, 60)) * 1000)) > 0 else { return .silence }
        var error: Int32 = 0
        var size = socklen_t(4)
        guard getsockopt(fd.raw, SOL_SOCKET, SO_ERROR, &error, &size) == 0, error != 0 else { return .accepted }
        return error == ETIMEDOUT ? .silence : .refused
    }

    /// Sends a datagram and waits for the first answer that fits.
    static func ask<R>(
        _ address: IPAddress, _ port: UInt16, _ question: [UInt8], seconds: Double = 1, _ fits: ([UInt8]) -> R?
    ) -> R? {
        let raw = socket(
            address.isIPv6 ? AF_INET6 : AF_INET, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard raw >= 0 else { return nil }
        let fd = OwnedFD(raw)
        guard HostAddress.withName(address, port: port, { Glibc.connect(fd.raw, $0, $1) }) == 0 else { return nil }
        let deadline = Deadline.after(seconds: seconds)
        while !deadline.isPast {
            _ = send(fd.raw, question, question.count, Int32(MSG_NOSIGNAL))
            let next = min(deadline, .after(seconds: 0.3))
            while true {
                var waiting = pollfd(fd: fd.raw, events: Int16(POLLIN), revents: 0)
                guard poll(&waiting, 1, next.millisecondsLeft) > 0 else { break }
                var buffer = [UInt8](repeating: 0, count: 4096)
                let count = recv(fd.raw, &buffer, buffer.count, 0)
                guard count > 0 else { break }
                if let result = fits(Array(buffer[0..<count])) { return result }
            }
        }
        return nil
    }
}
