import CLinux
import Glibc
public import UrsaBase

/// A machine's port on a network where taps can't be had.
@frozen
public struct FramePort: ~Copyable, Sendable {
    /// For the engine: each packet of the socket is a frame.
    public let engine: OwnedFD
    /// The other end, for who carries the frames.
    public let carrier: OwnedFD
    /// The network's end: a packet socket at the port's link.
    public let link: OwnedFD
    /// The network's namespace, in which the link is taken away at the end.
    public let namespace: OwnedFD
}

extension HostNetworks {
    /// Whether taps can be opened: an ordinary user's private host may find the tun node closed.
    public static var hasTaps: Bool { access("/dev/net/tun", R_OK | W_OK) == 0 }

    /// Makes a port without a tap: a veth pair, one end on the network's bridge, the other end's frames at a packet
    /// socket. Slower than a tap: each frame is copied twice more, and checksums and segmentation are done in software.
    ///
    /// The link stays until somebody deletes it (`removeFramePort`).
    /// - Throws: `.notFound` when the network is not up.
    public func openFramePort(
        network: String, name: String, isIsolated: Bool = false
    ) throws(UrsaError) -> FramePort {
        let home = home
        let namespace = home.namespace(network)
        guard let entered = try namespace.open() else {
            throw UrsaError(.notFound, "the network \(network) is not up", remedy: "run `ursa up`")
        }
        let peer = FramePortName.carrier(name)
        let space = entered.raw
        let raw = try namespace.run { () throws(UrsaError) -> Int32 in
            let socket = try NetlinkSocket()
            guard let bridge = try socket.link(BridgeName.bridge) else {
                throw UrsaError(.notFound, "the network \(network) has lost its bridge", remedy: "run `ursa up`")
            }
            // One that is left of an engine which was killed together with its carrier.
            if let old = try socket.link(name) { try socket.deleteLinks([old.index]) }
            try socket.transact([
                LinkRequest.addVeth(
                    name, mac: home.mac("tap \(network) \(name)"), peer: peer,
                    peerMAC: home.mac("carrier \(network) \(name)"), peerNamespace: space, mtu: bridge.mtu),
                LinkRequest.setAlias(.name(name), home.alias(network)),
                LinkRequest.noAutomaticIPv6(.name(name)), LinkRequest.noAutomaticIPv6(.name(peer)),
            ])
            try check(clinux_disable_offloads(name), "switch the offloads of \(name) off")
            try socket.transact([
                LinkRequest.set(.name(peer), up: true, action: "bring \(peer) up"),
                LinkRequest.set(.name(name), up: true, master: bridge.index, action: "attach \(name) to \(network)"),
            ])
            if isIsolated, let port = try socket.link(name) {
                try socket.transact([PortRequest.isolate(port.index, true, name: name)])
            }
            return try check(clinux_packet_socket(peer), "open a packet socket")
        }
        let link = OwnedFD(raw)
        var pair: [Int32] = [-1, -1]
        try check(clinux_frame_pair(&pair), "make a pair of sockets")
        return FramePort(engine: OwnedFD(pair[0]), carrier: OwnedFD(pair[1]), link: link, namespace: entered)
    }

    /// Takes a port's link away, in the namespace of the descriptor; a missing one is fine.
    public static func removeFramePort(name: String, namespace: borrowing OwnedFD) throws(UrsaError) {
        let raw = namespace.raw
        try OSThread.run { () throws(UrsaError) in
            try check(clinux_setns_network(raw), "enter a network namespace")
            let socket = try NetlinkSocket()
            if let link = try socket.link(name) { try socket.deleteLinks([link.index]) }
        }
    }
}

/// Names of the ends of ports without a tap.
enum FramePortName {
    /// The end at which the frames are carried: 15 bytes at most, as the port's own name.
    static func carrier(_ name: String) -> String { "f" + name.dropFirst() }
}
