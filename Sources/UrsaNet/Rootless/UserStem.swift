import CLinux
import Glibc
public import UrsaBase

/// The way out of an ordinary user's private host: a link `wan0` behind which passt(1) turns packets into the user's
/// own sockets.
///
/// Its frames are read and written at the other end of the veth pair, `wire0`, by a packet socket, since the tun node may
/// be closed to the user; passt reads and writes them on a stream. Offloads are off, so that frames leave whole; the
/// largest frames that passt takes make up for it.
public enum UserStem {
    /// passt's largest MTU: what an IPv4 packet can hold, in whole words (passt(1), --mtu).
    public static let mtu: UInt32 = 65520
    /// The private host's own address, by convention of user-mode networks since slirp.
    public static let address = IPv4Address(0x0a00_020f)
    /// Its router, which is passt.
    public static let gateway = IPv4Address(0x0a00_0202)
    /// A name server that passt forwards to the first one of the real host (passt(1), --dns-forward).
    public static let nameServer = IPv4Address(0x0a00_0203)
    /// The IPv6 address.
    public static let address6 = IPv6Address(high: 0xfd00_0000_0000_0002, low: 15)
    /// passt answers neighbour discovery for every address but the guest's own.
    static let gateway6 = IPv6Address(high: 0xfe80_0000_0000_0000, low: 2)

    /// Makes the link with addresses and default routes in the calling thread's network namespace, loopback up.
    ///
    /// Needs CAP_NET_ADMIN over the namespace, which is to be a new one.
    /// - Returns: a packet socket for the frames, nonblocking.
    public static func make(hasIPv6: Bool) throws(UrsaError) -> OwnedFD {
        let socket = try NetlinkSocket()
        let own = try File.open("/proc/thread-self/ns/net", O_RDONLY)
        try socket.transact([
            LinkRequest.addVeth(
                "wan0", mac: [0x52, 0x55, 0, 0, 0, 1], peer: "wire0", peerMAC: [0x52, 0x55, 0, 0, 0, 2],
                peerNamespace: own.raw, mtu: mtu),
            LinkRequest.noAutomaticIPv6(.name("wan0")), LinkRequest.noAutomaticIPv6(.name("wire0")),
        ])
        try check(clinux_disable_offloads("wan0"), "switch the offloads of wan0 off")
        try socket.transact([
            LinkRequest.set(.name("lo"), up: true, action: "bring lo up"),
            LinkRequest.set(.name("wire0"), up: true, action: "bring wire0 up"),
            LinkRequest.set(.name("wan0"), up: true, action: "bring wan0 up"),
        ])
        guard let link = try socket.link("wan0") else { throw UrsaError(.io, "the link wan0 went away at once") }
        let any = AddressPrefix(address: .v4(IPv4Address(0)), prefix: 0)
        var requests = [
            RouteRequest.addAddress(.v4(address), prefix: 24, link: link.index),
            RouteRequest.addRoute(any, link: link.index, gateway: .v4(gateway), source: nil),
        ]
        if hasIPv6 {
            let any6 = AddressPrefix(address: .v6(IPv6Address(high: 0, low: 0)), prefix: 0)
            requests += [
                RouteRequest.addAddress(.v6(address6), prefix: 64, link: link.index),
                RouteRequest.addAddress(
                    .v6(IPv6Address(high: 0xfe80_0000_0000_0000, low: 15)), prefix: 64, link: link.index),
                RouteRequest.addRoute(any6, link: link.index, gateway: .v6(gateway6), source: nil),
            ]
        }
        try socket.transact(requests)
        return OwnedFD(try check(clinux_packet_socket("wire0"), "open a packet socket"))
    }
}
