import UrsaBase

extension NetworkWish {
    /// Everything about a set of wishes that can't be built: bad names and numbers, overlaps, addresses and ports given
    /// out twice. All texts that later reach a configuration file are held to their alphabet here.
    static func problems(_ wishes: [NetworkWish]) -> [UrsaError] {
        var errors: [UrsaError] = []
        var names: Set<String> = []
        var ports: [String: String] = [:]
        for (index, wish) in wishes.enumerated() {
            let place = "network \(wish.name)"
            func bad(_ message: String) { errors.append(UrsaError(.invalidSpec, message, place: place)) }
            if !isLabel(wish.name, limit: 32) { bad("the network name must be 1–32 characters of a–z, 0–9 and -") }
            if !names.insert(wish.name).inserted { bad("there are two networks of this name") }
            if !(8...29).contains(wish.subnet.prefix) { bad("the subnet \(wish.subnet) must be from /8 to /29") }
            if let subnet6 = wish.subnet6, subnet6.prefix != 64 { bad("the IPv6 subnet \(subnet6) must be a /64") }
            if !(1280...65535).contains(wish.mtu) { bad("the MTU \(wish.mtu) must be from 1280 to 65535") }
            if wish.isOnHost, wish.model == .isolated || wish.model == .lan {
                bad("a network of the model \(wish.model.rawValue) has its bridge in a namespace, not on the host")
            }
            if wish.model == .lan, wish.publishedOn == nil { bad("it does not say on which interface its LAN is") }
            if let link = wish.publishedOn, !isLink(link) { bad("\(link) can't be the name of an interface") }
            for other in wishes[..<index] {
                // Several networks may share a LAN; addresses given out twice are found below.
                if other.model == .lan, wish.model == .lan { continue }
                if other.isPart(of: wish) || wish.isPart(of: other) { continue }
                if other.subnet.overlaps(wish.subnet) {
                    bad("\(wish.subnet) overlaps \(other.subnet) of \(other.name)")
                }
                if let mine = wish.subnet6, let theirs = other.subnet6, mine.overlaps(theirs) {
                    bad("\(mine) overlaps \(theirs) of \(other.name)")
                }
            }
            guard (8...29).contains(wish.subnet.prefix) else { continue }
            errors += wish.memberProblems(place)
            for port in wish.ports {
                let address = port.hostAddress.map { "\($0)" } ?? port.uplink ?? "*"
                let key = "\(address) \(port.hostPort)/\(port.isUDP ? "udp" : "tcp")"
                if port.hostPort == 0 || port.guestPort == 0 { bad("port 0 can't be published") }
                if let owner = ports.updateValue(port.machine, forKey: key) {
                    bad("port \(key) is published for \(owner) and for \(port.machine)")
                }
                if !wish.subnet.contains(port.guestAddress) { bad("\(port.guestAddress) is outside \(wish.subnet)") }
                if case .v6 = port.hostAddress, port.guestAddress6 == nil {
                    bad("port \(key) is on IPv6, but \(port.machine) has no IPv6 address")
                }
            }
        }
        return errors
    }

    private func memberProblems(_ place: String) -> [UrsaError] {
        var errors: [UrsaError] = []
        func bad(_ message: String) { errors.append(UrsaError(.invalidSpec, message, place: place)) }
        var machines: Set<String> = []
        var macs: [MACAddress: String] = [:]
        var addresses: [IPAddress: String] = [:]
        for member in members {
            if !Self.isLabel(member.machine, limit: 63) {
                bad("the machine name must be 1–63 characters of a–z, 0–9, -")
            }
            if !machines.insert(member.machine).inserted { bad("\(member.machine) is on the network twice") }
            if let other = macs.updateValue(member.machine, forKey: member.mac) {
                bad("\(other) and \(member.machine) have the same Ethernet address \(member.mac)")
            }
            if member.mac.isMulticast { bad("\(member.mac) is a group address, no card can have it") }
            if !isFreeForMachines(member.address) { bad("\(member.machine) can't have the address \(member.address)") }
            if let address = member.address6 {
                if !(subnet6?.contains(address) ?? false) || address == gateway6 || address == hostEnd6 {
                    bad("\(member.machine) can't have the address \(address)")
                }
            }
            for address in [.v4(member.address), member.address6.map { .v6($0) }].compactMap({ $0 as IPAddress? }) {
                if let other = addresses.updateValue(member.machine, forKey: address) {
                    bad("\(other) and \(member.machine) have the same address \(address)")
                }
            }
        }
        return errors
    }

    /// Whether the network is published on a LAN whose subnet holds its own.
    private func isPart(of lan: NetworkWish) -> Bool {
        lan.model == .lan && model == .routed && publishedOn == lan.publishedOn
    }

    /// A name that a link of the host can have: 1–15 bytes without blanks, slashes and colons. (The kernel allows
    /// more; what is left out could end a line of a configuration.)
    static func isLink(_ name: String) -> Bool {
        (1...15).contains(name.utf8.count) && name != "." && name != ".."
            && name.utf8.allSatisfy { $0 > 32 && $0 < 127 && ![34, 37, 39, 44, 47, 58, 59, 92].contains($0) }
    }

    /// A DNS label (RFC 1123) in lower case.
    static func isLabel(_ text: String, limit: Int) -> Bool {
        let bytes = Array(text.utf8)
        return !bytes.isEmpty && bytes.count <= limit && bytes.first != 45 && bytes.last != 45
            && bytes.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || $0 == 45 }
    }
}

extension BridgeWish {
    /// What of a wish's bridges can't be built.
    static func problems(_ wish: HostWish) -> [UrsaError] {
        var errors: [UrsaError] = []
        var names = Set(wish.networks.map(\.name))
        for bridge in wish.bridges {
            func bad(_ message: String) {
                errors.append(UrsaError(.invalidSpec, message, place: "network \(bridge.name)"))
            }
            if !NetworkWish.isLabel(bridge.name, limit: 32) {
                bad("the network name must be 1–32 characters of a–z, 0–9 and -")
            }
            if !names.insert(bridge.name).inserted { bad("there are two networks of this name") }
            for link in [bridge.interface, bridge.bridge].compactMap({ $0 }) where !NetworkWish.isLink(link) {
                bad("\(link) can't be the name of an interface")
            }
            if let mtu = bridge.mtu, !(1280...65535).contains(mtu) { bad("the MTU \(mtu) must be from 1280 to 65535") }
            var macs: [MACAddress: String] = [:]
            for member in bridge.members {
                if !NetworkWish.isLabel(member.machine, limit: 63) {
                    bad("the machine name must be 1–63 characters of a–z, 0–9, -")
                }
                if let other = macs.updateValue(member.machine, forKey: member.mac) {
                    bad("\(other) and \(member.machine) have the same Ethernet address \(member.mac)")
                }
            }
        }
        return errors
    }
}
