import Glibc
public import UrsaBase

/// What the host says of its interfaces on LANs.
extension HostNetworks {
    /// Whether an interface is a radio, which can't be a port of a bridge.
    public func isWireless(_ interface: String) -> Bool { Radio.isWireless(interface) }

    /// The subnets of the LAN that an interface is on, by the host's own addresses there; nil where it has none. An
    /// interface that is a port of one of the home's bridges is asked through the bridge.
    ///
    /// - Throws: `.notFound` when the host has no such interface.
    public func subnets(of interface: String) throws(UrsaError) -> (v4: IPv4Network?, v6: IPv6Network?) {
        let socket = try NetlinkSocket()
        let links = try socket.links()
        guard let link = links.first(where: { $0.name == interface }) else {
            let names = links.filter { $0.alias?.hasPrefix("ursa:") != true && $0.name != "lo" }.map(\.name).sorted()
            throw UrsaError(
                .notFound, "the host has no interface \(interface)",
                remedy: names.isEmpty ? nil : "its interfaces: \(names.joined(separator: ", "))")
        }
        let master = links.first { $0.index == link.master && home.bridgedNetwork(alias: $0.alias) != nil }
        let index = master?.index ?? link.index
        var v4: IPv4Network?
        var v6: IPv6Network?
        for address in try socket.addresses() where address.link == index {
            switch address.address {
            case .v4(let own):
                if v4 == nil, address.prefix <= 30 { v4 = IPv4Network(own, prefix: address.prefix) }
            case .v6(let own):
                // Link-local ones tell nothing of the subnet.
                if v6 == nil, own.high >> 54 != 0xfe80 >> 6, address.prefix == 64 {
                    v6 = IPv6Network(own, prefix: 64)
                }
            }
        }
        return (v4, v6)
    }

    /// What a subnet that is part of an interface's LAN would collide with on the host, in words, or nil: everything
    /// but the LAN itself.
    public func collision(of subnet: IPv4Network, within interface: String) throws(UrsaError) -> String? {
        let all = try Subnets(home)
        return Subnets(taken: all.taken.filter { !$0.holds(subnet, on: interface) }).collision(subnet)?.what
    }
}

extension Subnets.Taken {
    /// Whether this is the larger subnet on a link, without an address of the host's own inside the smaller one.
    fileprivate func holds(_ subnet: IPv4Network, on interface: String) -> Bool {
        guard link == interface, case .v4(let address) = prefix.address, prefix.prefix < subnet.prefix else {
            return false
        }
        let larger = IPv4Network(address, prefix: prefix.prefix)
        let isOwnAddress = address != larger.address
        return larger.contains(subnet.address) && !(isOwnAddress && subnet.contains(address))
    }
}
