import UrsaBase

extension [UplinkWish] {
    /// The same uplinks with what the host says of each.
    func found(_ seen: RoutingSeen) -> [UplinkWish] {
        map { uplink in
            var uplink = uplink
            uplink.found = UplinkFound(uplink, seen, isAlone: !contains { $0.shares(uplink) })
            return uplink
        }
    }

    /// Uplinks by which packets can leave, those of a family where one is given.
    func usable(isIPv6: Bool) -> [UplinkWish] { filter { $0.found.reaches(isIPv6: isIPv6) } }
}

extension UplinkWish {
    /// Whether two uplinks are on one interface, so that only the gateway tells them apart.
    func shares(_ other: UplinkWish) -> Bool { name != other.name && interface == other.interface }
}

extension UplinkFound {
    init(_ uplink: UplinkWish, _ seen: RoutingSeen, isAlone: Bool) {
        link = uplink.interface
        guard let own = seen.interfaces[uplink.interface] else {
            problem = "this host has no interface \(uplink.interface)"
            return
        }
        // An interface that is a port of our bridge to its LAN has given its addresses and routes to the bridge.
        if let bridge = own.bridge { link = bridge }
        guard let interface = seen.interfaces[link], own.isUp, interface.isUp else {
            problem = "the interface \(uplink.interface) is down"
            return
        }
        index = interface.index
        isDefault = seen.defaultLinks.contains(interface.index)
        for gateway in interface.gateways {
            switch gateway {
            case .v4(let address): if self.gateway == nil { self.gateway = address }
            case .v6(let address): if gateway6 == nil { gateway6 = address }
            }
        }
        if let said = uplink.gateway { gateway = said }
        // Of two on one interface, the interface's own IPv6 router belongs to neither unless it was said.
        if uplink.gateway6 != nil || !isAlone { gateway6 = uplink.gateway6 }
        let own4 = interface.addresses.compactMap { prefix -> IPv4Network? in
            if case .v4(let address) = prefix.address { return IPv4Network(address, prefix: prefix.prefix) }
            return nil
        }
        let addresses = interface.addresses.compactMap { prefix -> IPv4Address? in
            if case .v4(let address) = prefix.address { address } else { nil }
        }
        if let said = uplink.address {
            guard addresses.contains(said) else {
                problem = "the interface \(link) does not have the address \(said)"
                return
            }
            address = said
        } else if let gateway {
            address = zip(addresses, own4).first { $0.1.contains(gateway) }?.0 ?? addresses.first
        }
        for router in [gateway.map { IPAddress.v4($0) }, gateway6.map { .v6($0) }] {
            guard let router, let mac = seen.neighbours[.init(link: interface.index, address: router)] else { continue }
            if !macs.contains(mac) { macs.append(mac) }
        }
        if gateway == nil, gateway6 == nil {
            problem = "the interface \(link) has no default route to take a gateway from"
        }
    }
}

extension UplinkWish {
    /// Everything about uplinks that can't be built.
    static func problems(_ uplinks: [UplinkWish], _ networks: [NetworkWish]) -> [UrsaError] {
        var errors: [UrsaError] = []
        var names: Set<String> = []
        var numbers: Set<UInt8> = []
        for uplink in uplinks {
            func bad(_ message: String) {
                errors.append(UrsaError(.invalidSpec, message, place: "uplink \(uplink.name)"))
            }
            if !NetworkWish.isLabel(uplink.name, limit: 32) {
                bad("the name of an uplink must be 1–32 characters of a–z, 0–9 and -")
            }
            if !names.insert(uplink.name).inserted { bad("there are two uplinks of this name") }
            if uplink.number == 0 || !numbers.insert(uplink.number).inserted {
                bad("the number \(uplink.number) is not its own")
            }
            if !isLinkName(uplink.interface) { bad("\(uplink.interface) can't be the name of an interface") }
            if !(0...255).contains(uplink.weight) { bad("the weight \(uplink.weight) must be from 0 to 255") }
            if let other = uplinks.first(where: { $0.shares(uplink) }), uplink.gateway == nil {
                bad("it shares \(uplink.interface) with \(other.name), so its gateway must be said")
            }
            if let other = uplinks.first(where: { $0.shares(uplink) && $0.gateway == uplink.gateway }),
                uplink.gateway != nil, other.name < uplink.name
            {
                bad("it has the same gateway as \(other.name)")
            }
        }
        for network in networks {
            for name in network.uplinks where !names.contains(name) {
                errors.append(
                    UrsaError(.notFound, "there is no uplink \(name)", place: "network \(network.name)"))
            }
        }
        return errors
    }

    /// What the kernel takes as the name of a link, and nft as a text without further marks.
    static func isLinkName(_ name: String) -> Bool {
        (1...15).contains(name.utf8.count) && name != "." && name != ".."
            && name.utf8.allSatisfy { $0 > 32 && $0 < 127 && $0 != 47 && $0 != 34 && $0 != 92 && $0 != 42 }
    }
}
