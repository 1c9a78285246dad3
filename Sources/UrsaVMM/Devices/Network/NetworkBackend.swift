import CLinux
import Glibc
public import UrsaBase

/// The host's side of a network card, one for each pair of queues: a queue of a tap, or a packet socket.
public final class NetworkBackend: Sendable {
    enum Kind: Sendable {
        /// Frames come and go with a virtio_net_hdr, so the host finishes checksums and cuts large frames.
        case tap
        /// A tap without that header.
        case plainTap
        /// A connected socket that keeps packets apart; each is a frame.
        case frames
    }

    let kind: Kind
    private let fd: SharedFD
    let vhost: SharedFD?
    /// What of CLINUX_TAP_… the tap can leave to its reader.
    let offloads: UInt32
    var raw: Int32 { fd.raw }

    private init(_ kind: Kind, _ fd: SharedFD, vhost: SharedFD?, offloads: UInt32) {
        self.kind = kind
        self.fd = fd
        self.vhost = vhost
        self.offloads = offloads
    }

    /// A tap, or one queue of one with several (tuntap.rst of the kernel). With IFF_VNET_HDR it carries offloads.
    ///
    /// - Parameter vhost: /dev/vhost-net, if the kernel shall serve the queues itself.
    public static func tap(
        _ fd: consuming OwnedFD, vhost: consuming OwnedFD? = nil
    ) throws(UrsaError) -> NetworkBackend {
        try fd.setNonBlocking()
        let hasHeader = try check(clinux_tap_has_header(fd.raw), "ask a tap for its features") == 1
        var offloads: UInt32 = 0
        if hasHeader {
            // 12 bytes: with the count of buffers, as virtio 1 always has it.
            try check(clinux_tap_set_header_size(fd.raw, 12), "set the size of a tap's headers")
            let ground = UInt32(CLINUX_TAP_CHECKSUM)
            let choices = [
                UInt32(CLINUX_TAP_TSO4 | CLINUX_TAP_TSO6), UInt32(CLINUX_TAP_ECN),
                UInt32(CLINUX_TAP_UFO), UInt32(CLINUX_TAP_USO4 | CLINUX_TAP_USO6),
            ]
            if clinux_tap_set_offloads(fd.raw, ground) >= 0 {
                offloads = ground
                for choice in choices where clinux_tap_set_offloads(fd.raw, offloads | choice) >= 0 {
                    offloads |= choice
                }
            }
            _ = clinux_tap_set_offloads(fd.raw, 0)
        }
        let kernel: SharedFD? = if let vhost { SharedFD(vhost) } else { nil }
        return NetworkBackend(hasHeader ? .tap : .plainTap, SharedFD(fd), vhost: kernel, offloads: offloads)
    }

    /// A connected unix socket of type SOCK_SEQPACKET or SOCK_DGRAM whose packets are Ethernet frames.
    public static func frames(_ fd: consuming OwnedFD) throws(UrsaError) -> NetworkBackend {
        try fd.setNonBlocking()
        return NetworkBackend(.frames, SharedFD(fd), vhost: nil, offloads: 0)
    }

    /// Bytes of the header that frames have here.
    var headerSize: Int { kind == .tap ? 12 : 0 }

    @inline(__always)
    func receive(_ pieces: UnsafePointer<iovec>, _ count: Int) -> Int {
        let number = Int32(truncatingIfNeeded: min(count, 1024))
        return Int(
            kind == .frames
                ? clinux_receive_pieces(fd.raw, pieces, number)
                : clinux_readv(fd.raw, pieces, number))
    }

    @inline(__always)
    func send(_ pieces: UnsafePointer<iovec>, _ count: Int) -> Int {
        let number = Int32(truncatingIfNeeded: count)
        return Int(
            kind == .frames
                ? clinux_send_pieces(fd.raw, pieces, number)
                : clinux_writev(fd.raw, pieces, number))
    }

    /// What the reader of the tap does itself from now on.
    func setOffloads(_ offloads: UInt32) { if kind == .tap { _ = clinux_tap_set_offloads(fd.raw, offloads) } }
    /// Whether the queue of a tap takes part. A tap with one queue can't be asked, and does.
    func setActive(_ isActive: Bool) { if kind != .frames { _ = clinux_tap_set_queue(fd.raw, isActive ? 1 : 0) } }
}
