import UrsaBase

extension NetworkWish {
    /// What must hold of the network.
    func facts(_ home: HomeMark) -> Set<Fact> {
        var result: Set<Fact> = []
        func add(_ part: Part, _ text: String) { result.insert(Fact(part: part, text: text)) }
        let bridge = bridgeName(home)
        add(.bridge, FactText.up(bridge, mtu: UInt32(clamping: mtu)))
        for address in bridgeAddresses { add(.bridge, FactText.address(bridge, address)) }
        if isOnHost {
            for setting in StemSettings.all(bridge) { add(.bridge, setting.fact) }
            return result
        }
        for setting in NamespaceSettings.of(self) { add(.namespace, setting.fact) }
        for setting in BridgeSettings.of(self) { add(.bridge, setting.fact) }
        guard hasStem else { return result }
        let stem = home.stemName(name)
        add(.stem, FactText.up(BridgeName.stem, mtu: UInt32(clamping: mtu)))
        add(.stem, FactText.up(stem, mtu: UInt32(clamping: mtu)))
        for setting in StemSettings.all(stem) { add(.stem, setting.fact) }
        for address in stemAddresses { add(.stem, FactText.address(stem, address)) }
        for (destination, gateway) in hostRoutes { add(.stem, FactText.route(destination, gateway, stem)) }
        for (destination, gateway) in insideRoutes { add(.stem, FactText.route(destination, gateway, BridgeName.stem)) }
        for address in publishedAddresses { add(.stem, FactText.publishes(BridgeName.bridge, address)) }
        for address in routedGuests {
            let single = AddressPrefix(address)
            add(.guests, FactText.route(single, nil, BridgeName.bridge))
            add(.guests, FactText.route(single, Self.guestsGateway(address, self), stem))
        }
        return result
    }

    /// Name of the network's bridge: inside a namespace it is always the same.
    func bridgeName(_ home: HomeMark) -> String { isOnHost ? home.stemName(name) : BridgeName.bridge }

    /// The namespace's side of the stem, link-local.
    static let stemInside6 = IPAddress.v6(IPv6Address(high: 0xfe80_0000_0000_0000, low: 1))
    /// The host's side of the stem, link-local.
    static let stemOutside6 = IPAddress.v6(IPv6Address(high: 0xfe80_0000_0000_0000, low: 2))

    /// Addresses of the bridge: the guests' router, under fe80::1 too.
    var bridgeAddresses: [AddressPrefix] {
        var result = [AddressPrefix(address: .v4(gateway), prefix: model == .lan ? 32 : subnet.prefix)]
        if let gateway6 {
            result.append(AddressPrefix(address: .v6(gateway6), prefix: 64))
            result.append(AddressPrefix(address: Self.stemInside6, prefix: 64))
        }
        return result
    }

    /// Whether the bridge's addresses bring no route to their subnet: of a LAN only the guests are behind the bridge.
    var bridgeHasNoSubnet: Bool { model == .lan }

    /// Addresses of the host's end of the stem. They are the host's own ones in the guests' subnet, as single addresses:
    /// the subnet itself lies behind the gateway, so no frame of a guest ever reaches the host's own stack unrouted.
    var stemAddresses: [AddressPrefix] {
        var result = [AddressPrefix(address: .v4(hostEnd), prefix: 32)]
        if let hostEnd6 { result.append(AddressPrefix(address: .v6(hostEnd6), prefix: 128)) }
        if subnet6 != nil { result.append(AddressPrefix(address: Self.stemOutside6, prefix: 64)) }
        return result
    }

    /// Routes of the host over the stem: the guests' subnet.
    var hostRoutes: [(AddressPrefix, IPAddress?)] {
        // Of a LAN each guest has a route of its own.
        if model == .lan { return [(AddressPrefix(.v4(gateway)), nil)] }
        var result: [(AddressPrefix, IPAddress?)] = [
            (AddressPrefix(address: .v4(subnet.address), prefix: subnet.prefix), .v4(gateway))
        ]
        if let subnet6 {
            result.append((AddressPrefix(address: .v6(subnet6.address), prefix: 64), Self.stemInside6))
        }
        return result
    }

    /// Routes of the namespace over the stem: the host's own address, and everything else.
    var insideRoutes: [(AddressPrefix, IPAddress?)] {
        var result: [(AddressPrefix, IPAddress?)] = [
            (AddressPrefix(address: .v4(hostEnd), prefix: 32), nil),
            (AddressPrefix(address: .v4(IPv4Address(0)), prefix: 0), .v4(hostEnd)),
        ]
        if let hostEnd6 {
            result.append((AddressPrefix(address: .v6(hostEnd6), prefix: 128), Self.stemOutside6))
        }
        if subnet6 != nil {
            result.append((AddressPrefix(address: .v6(IPv6Address(high: 0, low: 0)), prefix: 0), Self.stemOutside6))
        }
        return result
    }

    /// The host's own addresses lie in the guests' subnet but not on their bridge: the namespace answers ARP and
    /// neighbour discovery for them.
    var publishedAddresses: [IPAddress] {
        // On a LAN it answers for everything that is not a guest (proxy_arp).
        if model == .lan { return [] }
        return [.v4(hostEnd)] + (hostEnd6.map { [.v6($0)] } ?? [])
    }

    /// Guests with routes of their own, because their subnet is elsewhere.
    var routedGuests: [IPAddress] { model == .lan ? guestAddresses : [] }

    /// Addresses that the host answers for on the LAN where the network is published: the name server asks from its own
    /// one, unless that is known on this host only.
    var addressesOnLAN: [IPAddress] {
        guard model == .routed else { return guestAddresses }
        return guestAddresses + [.v4(gateway)] + (gateway6.map { [.v6($0)] } ?? [])
    }

    /// All addresses of the machines.
    var guestAddresses: [IPAddress] {
        members.map { .v4($0.address) } + members.compactMap { $0.address6.map { .v6($0) } }
    }

    /// By whom the host reaches a guest.
    static func guestsGateway(_ guest: IPAddress, _ wish: NetworkWish) -> IPAddress {
        guest.isIPv6 ? stemInside6 : .v4(wish.gateway)
    }
}

/// The texts of facts.
enum FactText {
    static func up(_ link: String, mtu: UInt32) -> String { "\(link) is up and marked, mtu \(mtu)" }
    static func address(_ link: String, _ address: AddressPrefix) -> String { "\(link) has \(address)" }
    static func route(_ destination: AddressPrefix, _ gateway: IPAddress?, _ link: String) -> String {
        "\(destination) goes\(gateway.map { " by \($0)" } ?? "") over \(link)"
    }
    static func publishes(_ link: String, _ address: IPAddress) -> String { "\(link) answers for \(address)" }
    static func upStart(_ link: String) -> String { "\(link) is up" }
    static func addressStart(_ link: String) -> String { "\(link) has " }
}
