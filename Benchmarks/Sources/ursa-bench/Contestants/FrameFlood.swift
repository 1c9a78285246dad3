import Glibc
import UrsaBase

/// A thread that sends frames over a tap to whoever has opened it, as fast as the kernel takes them; what the other side is too slow for
/// is lost, as on a wire.
final class FrameFlood: Sendable {
    private let isOver = Locked(false)
    private let thread: OSThread

    /// Starts to send frames of 60 bytes: broadcasts with IEEE's type for local experiments, which no system answers.
    init(over link: String) throws(UrsaError) {
        let packetFamily: Int32 = 17  // AF_PACKET of <linux/socket.h>
        let socket = try SharedFD(
            OwnedFD(try retrying("open a packet socket") { Glibc.socket(packetFamily, Int32(SOCK_RAW.rawValue), 0) }))
        let index = if_nametoindex(link)
        guard index > 0 else { throw UrsaError.system(.current, "find the link \(link)") }
        // struct sockaddr_ll: u16 family, u16 protocol, i32 link, u16 kind, u8 kind of packet, u8 length, u8 address[8].
        var address = [UInt8](repeating: 0, count: 20)
        address[0] = UInt8(packetFamily)
        for byte in 0..<4 { address[4 + byte] = UInt8(truncatingIfNeeded: index >> (8 * UInt32(byte))) }
        var frame = [UInt8](repeating: 0, count: 60)
        for byte in 0..<6 { frame[byte] = 0xff }
        (frame[6], frame[7], frame[11], frame[12], frame[13]) = (0x52, 0x54, 0x99, 0x88, 0xb5)
        thread = try OSThread { [isOver, address, frame] in
            while !isOver.withLock({ $0 }) {
                for _ in 0..<64 { FrameFlood.send(frame, socket.raw, address) }
            }
        }
    }

    private static func send(_ frame: [UInt8], _ socket: Int32, _ address: [UInt8]) {
        address.withUnsafeBytes { place in
            guard let place = place.bindMemory(to: sockaddr.self).baseAddress else { return }
            _ = sendto(socket, frame, frame.count, 0, place, 20)
        }
    }

    /// Stops sending.
    func stop() {
        isOver.withLock { $0 = true }
        thread.join()
    }
}
