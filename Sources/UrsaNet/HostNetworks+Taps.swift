import CLinux
import Glibc
public import UrsaBase

extension HostNetworks {
    /// Opens a tap on a network: a new link of that name in the network's namespace, attached to its bridge, up.
    ///
    /// Frames carry a virtio_net_hdr (IFF_VNET_HDR, 10 bytes until TUNSETVNETHDRSZ says otherwise). The link lives as
    /// long as the descriptor: it is never made persistent, so no crash leaves one behind. The descriptor works for
    /// the process that it is passed to, whatever its namespace and rights.
    /// - Parameter name: 1–15 bytes, the link's name, unique on the network.
    /// - Throws: `.notFound` when the network is not up, `.conflict` when the name is taken.
    public func openTap(network: String, name: String) throws(UrsaError) -> OwnedFD {
        guard (1...15).contains(name.utf8.count), name != ".", name != "..",
            name.utf8.allSatisfy({ $0 > 32 && $0 < 127 && $0 != 47 && $0 != 58 && $0 != 37 }),
            name != BridgeName.bridge, name != BridgeName.stem, name != "lo"
        else { throw UrsaError(.usage, "\(name) can't be the name of a tap") }
        let home = home
        let namespace = home.namespace(network)
        guard namespace.exists else {
            throw UrsaError(.notFound, "the network \(network) is not up", remedy: "run `ursa up`")
        }
        let raw = try namespace.run { () throws(UrsaError) -> Int32 in
            let socket = try NetlinkSocket()
            guard let bridge = try socket.link(BridgeName.bridge) else {
                throw UrsaError(.notFound, "the network \(network) has lost its bridge", remedy: "run `ursa up`")
            }
            if try socket.link(name) != nil {
                throw UrsaError(.conflict, "the network \(network) has a link \(name) already")
            }
            let result = clinux_tap_open(name, 1)
            if result == -EBUSY { throw UrsaError(.conflict, "the network \(network) has a link \(name) already") }
            if result == -ENOENT || result == -ENODEV {
                throw UrsaError(
                    .unsupported, "the kernel has no taps", place: "/dev/net/tun",
                    remedy: "load the module: modprobe tun")
            }
            let tap = OwnedFD(try check(result, "open the tap \(name)"))
            let link = LinkName.name(name)
            try socket.transact([
                LinkRequest.setAlias(link, home.alias(network)),
                LinkRequest.set(
                    link, mac: home.mac("tap \(network) \(name)"), mtu: bridge.mtu, action: "set up the tap \(name)"),
                LinkRequest.noAutomaticIPv6(link),
                LinkRequest.set(link, up: true, master: bridge.index, action: "attach \(name) to \(network)"),
            ])
            return tap.release()
        }
        return OwnedFD(raw)
    }
}
