import CLinux
import Glibc
public import UrsaBase

extension HostNetworks {
    /// Opens a tap on a network: a new link of that name beside the network's bridge, attached to it, up.
    ///
    /// Frames carry a virtio_net_hdr (IFF_VNET_HDR, 10 bytes until TUNSETVNETHDRSZ says otherwise). The link lives as
    /// long as the descriptor: it is never made persistent, so no crash leaves one behind. The descriptor works for
    /// the process that it is passed to, whatever its namespace and rights.
    /// - Parameters:
    ///   - queues: how many queues it has, 1…8, each a descriptor; frames of one connection keep to one of them.
    ///   - name: 1–15 bytes, the link's name, unique on the network (on the host for networks with a bridge there).
    ///   - isIsolated: whether the port is kept from other isolated ones.
    ///   - bridge: an existing bridge of the host that the network joins; nil for networks that Ursa makes.
    /// - Throws: `.notFound` when the network is not up, `.conflict` when the name is taken.
    public func openTap(
        network: String, name: String, queues: Int, isIsolated: Bool = false, bridge: String? = nil
    ) throws(UrsaError) -> [SharedFD] {
        guard NetworkWish.isLink(name), name != BridgeName.bridge, name != BridgeName.stem, name != "lo" else {
            throw UrsaError(.usage, "\(name) can't be the name of a tap")
        }
        let place = TapPlace(
            home: home, network: network, tap: name, queues: max(1, min(queues, 8)), isIsolated: isIsolated)
        let namespace = home.namespace(network)
        if bridge == nil, namespace.exists {
            return try namespace.run { () throws(UrsaError) -> [SharedFD] in
                try place.open(on: BridgeName.bridge, alias: place.home.alias(network))
            }
        }
        if let bridge { return try place.open(on: bridge, alias: home.bridgedAlias(network)) }
        let own = home.bridgeName(network)
        // A stem has the same name and mark, and outlives its namespace by a moment.
        if let link = try NetlinkSocket().link(own), link.kind == "bridge" {
            for mark in [home.alias(network), home.bridgedAlias(network)] where link.alias == mark {
                return try place.open(on: own, alias: mark)
            }
        }
        throw UrsaError(.notFound, "the network \(network) is not up", remedy: "run `ursa up`")
    }

    /// Opens a tap with one queue; see the other `openTap`.
    public func openTap(
        network: String, name: String, isIsolated: Bool = false, bridge: String? = nil
    ) throws(UrsaError) -> OwnedFD {
        let queues = try openTap(network: network, name: name, queues: 1, isIsolated: isIsolated, bridge: bridge)
        guard let queue = queues.first else { throw UrsaError(.bug, "a tap has no queue") }
        return try withExtendedLifetime(queue) { () throws(UrsaError) in
            OwnedFD(try retrying("duplicate a descriptor") { fcntl(queue.raw, F_DUPFD_CLOEXEC, 3) })
        }
    }

    /// Largest frame payload in bytes that a tap of the network takes, as `openTap` has set it; nil when there is none.
    public func mtu(ofTap name: String, network: String) -> Int? {
        let home = home
        let look: @Sendable () throws(UrsaError) -> Int? = { () throws(UrsaError) in
            try NetlinkSocket().link(name).flatMap { link in
                let isOurs =
                    home.network(alias: link.alias) == network || home.bridgedNetwork(alias: link.alias) == network
                return isOurs ? Int(link.mtu) : nil
            }
        }
        let namespace = home.namespace(network)
        let found = namespace.exists ? try? namespace.run(look) : try? look()
        return found ?? nil
    }
}

private struct TapPlace: Sendable {
    let home: HomeMark
    let network: String
    let tap: String
    let queues: Int
    let isIsolated: Bool

    /// Opens the tap in the calling thread's namespace.
    func open(on bridgeName: String, alias: String) throws(UrsaError) -> [SharedFD] {
        let socket = try NetlinkSocket()
        guard let bridge = try socket.link(bridgeName) else {
            throw UrsaError(.notFound, "the network \(network) has lost its bridge", remedy: "run `ursa up`")
        }
        let taken = UrsaError(.conflict, "the network \(network) has a link \(tap) already")
        if try socket.link(tap) != nil { throw taken }
        let several: Int32 = queues > 1 ? 1 : 0
        let result = clinux_tap_open_queue(tap, 1, several)
        if result == -EBUSY { throw taken }
        if result == -ENOENT || result == -ENODEV {
            throw UrsaError(
                .unsupported, "the kernel has no taps", place: "/dev/net/tun", remedy: "load the module: modprobe tun")
        }
        var all = [SharedFD(OwnedFD(try check(result, "open the tap \(tap)")))]
        while all.count < queues {
            let next = clinux_tap_open_queue(tap, 1, several)
            all.append(SharedFD(OwnedFD(try check(next, "open queue \(all.count) of the tap \(tap)"))))
        }
        guard let made = try socket.link(tap) else { throw UrsaError(.io, "the tap \(tap) went away at once") }
        let link = LinkName.index(made.index)
        var requests = [
            LinkRequest.setAlias(link, alias),
            LinkRequest.set(
                link, mac: home.mac("tap \(network) \(tap)"), mtu: bridge.mtu, action: "set up the tap \(tap)"),
            LinkRequest.noAutomaticIPv6(link),
            LinkRequest.set(link, up: true, master: bridge.index, action: "attach \(tap) to \(network)"),
        ]
        if isIsolated { requests.append(PortRequest.isolate(made.index, true, name: tap)) }
        try socket.transact(requests)
        return all
    }
}
