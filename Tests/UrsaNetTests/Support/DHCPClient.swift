import CLinux
import Glibc
import UrsaBase

@testable import UrsaNet

/// DHCP clients of the strict kind: they read raw frames and believe nothing whose checksums are wrong.
struct DHCPClient: ~Copyable {
    /// What a server gave.
    struct Lease: Equatable {
        var address: IPv4Address
        /// Options by number (RFC 2132).
        var options: [UInt8: [UInt8]]
    }

    private let fd: OwnedFD

    /// On a link of the calling thread's namespace.
    init(link: String) throws {
        guard let link = try NetlinkSocket().link(link) else { throw UrsaError(.notFound, link) }
        fd = OwnedFD(try check(clinux_link_socket(link.index, 0x0800), "open a packet socket"))
        var size: Int32 = 8 << 20
        setsockopt(fd.raw, SOL_SOCKET, SO_RCVBUFFORCE, &size, 4)
    }

    /// Asks for all cards at the same time; what each was given. Questions are asked again each second.
    func leases(_ macs: [MACAddress], seconds: Double) throws -> [MACAddress: Lease] {
        var given: [MACAddress: Lease] = [:]
        var offers: [MACAddress: IPv4Address] = [:]
        let deadline = Deadline.after(seconds: seconds)
        while given.count < macs.count, !deadline.isPast {
            for mac in macs where given[mac] == nil { send(mac, offers[mac]) }
            let next = min(deadline, .after(seconds: 1))
            while given.count < macs.count, !next.isPast {
                var waiting = pollfd(fd: fd.raw, events: Int16(POLLIN), revents: 0)
                guard poll(&waiting, 1, next.millisecondsLeft) > 0 else { break }
                var buffer = [UInt8](repeating: 0, count: 2048)
                let count = recv(fd.raw, &buffer, buffer.count, 0)
                guard count > 0, let answer = try Self.read(Array(buffer[0..<count])) else { continue }
                switch answer.kind {
                case 2:
                    if offers.updateValue(answer.lease.address, forKey: answer.mac) == nil {
                        send(answer.mac, answer.lease.address)
                    }
                case 5: given[answer.mac] = answer.lease
                default: break
                }
            }
        }
        return given
    }

    private func send(_ mac: MACAddress, _ asked: IPv4Address?) {
        var message: [UInt8] = [1, 1, 6, 0] + Array(mac.bytes.suffix(4)) + [0, 0, 0x80, 0]
        message += [UInt8](repeating: 0, count: 16) + mac.bytes + [UInt8](repeating: 0, count: 202)
        message += [99, 130, 83, 99, 53, 1, asked == nil ? 1 : 3]
        if let asked { message += [50, 4] + asked.bytes }
        message += [55, 6, 1, 3, 6, 15, 26, 119, 255]
        let length = UInt16(message.count + 8)
        let datagram: [UInt8] = [0, 68, 0, 67, UInt8(length >> 8), UInt8(length & 0xff), 0, 0] + message
        let total = UInt16(datagram.count + 20)
        var header: [UInt8] = [0x45, 0, UInt8(total >> 8), UInt8(total & 0xff), 0, 0, 0, 0, 64, 17, 0, 0]
        header += [0, 0, 0, 0, 255, 255, 255, 255]
        let sum = Self.sum(header)
        (header[10], header[11]) = (UInt8(sum >> 8), UInt8(sum & 0xff))
        let frame = [UInt8](repeating: 0xff, count: 6) + mac.bytes + [8, 0] + header + datagram
        _ = write(fd.raw, frame, frame.count)
    }

    /// Reads an answer; throws when a checksum is wrong.
    private static func read(_ frame: [UInt8]) throws -> (kind: UInt8, mac: MACAddress, lease: Lease)? {
        guard frame.count > 14 + 20 + 8 + 240, frame[14] == 0x45, frame[23] == 17, frame[34] == 0, frame[35] == 67
        else { return nil }
        let header = Array(frame[14..<34])
        guard sum(header) == 0 else { throw UrsaError(.io, "the IP header's checksum is wrong") }
        let length = Int(frame[38]) << 8 | Int(frame[39])
        let datagram = Array(frame[34..<min(frame.count, 34 + length)])
        if datagram[6] != 0 || datagram[7] != 0 {
            let pseudo = Array(frame[26..<34]) + [0, 17, frame[38], frame[39]]
            guard sum(pseudo + datagram) == 0 else { throw UrsaError(.io, "the UDP checksum is wrong") }
        }
        let message = Array(datagram[8...])
        var options: [UInt8: [UInt8]] = [:]
        var place = 240
        while place + 1 < message.count, message[place] != 255 {
            if message[place] == 0 { place += 1; continue }
            let end = place + 2 + Int(message[place + 1])
            guard end <= message.count else { return nil }
            options[message[place]] = Array(message[(place + 2)..<end])
            place = end
        }
        guard let kind = options[53]?.first, case .v4(let address) = IPAddress(wire: message[16..<20]) else {
            return nil
        }
        let mac = MACAddress(message[28..<34].reduce(UInt64(0)) { $0 << 8 | UInt64($1) })
        return (kind, mac, Lease(address: address, options: options))
    }

    private static func sum(_ bytes: [UInt8]) -> UInt16 {
        var sum: UInt32 = 0
        for index in stride(from: 0, to: bytes.count, by: 2) {
            sum += UInt32(bytes[index]) << 8 | (index + 1 < bytes.count ? UInt32(bytes[index + 1]) : 0)
        }
        while sum > 0xffff { sum = (sum & 0xffff) + (sum >> 16) }
        return ~UInt16(truncatingIfNeeded: sum)
    }
}
