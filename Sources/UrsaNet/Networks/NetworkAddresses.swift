public import UrsaBase

/// Addresses that follow from a network's subnet and model.
extension NetworkWish {
    /// The network's DNS domain. `.internal` is reserved for private use.
    public var domain: String { "\(name).ursa.internal" }

    /// Whether a link joins the network's namespace to the host.
    var hasStem: Bool { model != .isolated && !isOnHost }

    /// Whether the host can speak to its guests by IP.
    public var isReachable: Bool { model != .isolated }

    /// The namespace's (or host bridge's) own address on the network: name server, and but for `lan` the guests' router.
    ///
    /// The first address of the subnet. Of a LAN no address is free for us to take, so there it is link-local
    /// (RFC 3927): guests reach it over their default route.
    public var gateway: IPv4Address { model == .lan ? linkLocal : subnet[1] }

    /// The host's own address by which guests reach it: the last one before broadcast; with a bridge on the host it is
    /// the gateway itself.
    public var hostEnd: IPv4Address {
        if isOnHost { return gateway }
        return model == .lan
            ? IPv4Address(linkLocal.value &+ 1) : IPv4Address(subnet.broadcast.value &- 1)
    }

    /// The same for IPv6: `::1` in the subnet. On a LAN's subnet it is one that nobody there will ever form.
    public var gateway6: IPv6Address? {
        model == .lan ? subnet6.map { $0.address(low: privateIdentifier) } : subnet6?.address(low: 1)
    }

    /// The host's own IPv6 address in the subnet, `::ffff`; nil where the host has others of the same network already.
    public var hostEnd6: IPv6Address? {
        if isOnHost { return gateway6 }
        return model == .lan ? nil : subnet6?.address(low: 0xffff)
    }

    /// The router that DHCP tells guests of. On a LAN the namespace answers ARP for every address but the guests' own,
    /// so any one that no guest has leads there; the conventional first one it is where it can.
    var router: IPv4Address? {
        switch model {
        case .isolated: return nil
        case .nat, .routed: return gateway
        case .lan:
            let taken = Set(members.map(\.address))
            let last = UInt32(clamping: subnet.count) &- 2
            return (1...max(1, last)).lazy.map { subnet[$0] }.first { !taken.contains($0) }
        }
    }

    /// Whether a machine may have this address: inside the subnet and none of network, broadcast, gateway, host.
    public func isFreeForMachines(_ address: IPv4Address) -> Bool {
        subnet.contains(address) && address != subnet.address && address != subnet.broadcast && address != gateway
            && address != hostEnd
    }

    /// A pair of link-local addresses of the network's own, the first of them; .0 and .255 of the third byte are
    /// reserved.
    private var linkLocal: IPv4Address {
        let hash = SHA256.digest("link-local \(name)")
        let third = 1 + UInt32(hash[0]) % 254
        return IPv4Address(0xa9fe_0000 | third << 8 | UInt32(hash[1] & 0xfc) | 1)
    }

    /// An interface identifier that is neither formed from an Ethernet address (no `ff:fe` in the middle) nor small.
    private var privateIdentifier: UInt64 {
        let bits = SHA256.digest("identifier \(name)").prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        // Bit 57 clear: not globally unique (RFC 4291, appendix A).
        return bits & 0xfdff_ff00_00ff_ffff | 0x0000_0055_0000_0000 | 1
    }

    /// The same network for a kernel without IPv6.
    var withoutIPv6: NetworkWish {
        var copy = self
        copy.subnet6 = nil
        for index in copy.members.indices { copy.members[index].address6 = nil }
        for index in copy.ports.indices { copy.ports[index].guestAddress6 = nil }
        copy.ports.removeAll { if case .v6 = $0.hostAddress { true } else { false } }
        return copy
    }

    /// The same network with an MTU that fits a way out, unless it was asked for another.
    func fitting(mtu limit: Int?) -> NetworkWish {
        guard !isMTUFixed, let limit, limit < mtu else { return self }
        var copy = self
        copy.mtu = max(1280, limit)
        return copy
    }
}
