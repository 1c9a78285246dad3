public import UrsaBase

extension HostNetworks {
    /// A private /24 that overlaps no address and no route (of any table) of the host, nor any of `taken`.
    public func freeSubnet(taken: [IPv4Network]) throws(UrsaError) -> IPv4Network { try Subnets(home).free(taken) }

    /// A /64 of the home's own prefix for local use (RFC 4193) that overlaps nothing on the host nor `taken`.
    public func freeSubnet6(taken: [IPv6Network]) throws(UrsaError) -> IPv6Network {
        try Subnets(home).free6(home, taken)
    }

    /// What a subnet would collide with on the host, in words (`the route 10.0.0.0/8 over tun0`), or nil. The home's
    /// own running network with just this subnet is no collision.
    public func collision(of subnet: IPv4Network) throws(UrsaError) -> String? {
        try Subnets(home).collision(subnet)?.what
    }

    /// The same for IPv6.
    public func collision(of subnet: IPv6Network) throws(UrsaError) -> String? {
        let own = IPAddress.v6(subnet.address(low: 0))
        let subnets = try Subnets(home)
        let mine = Set(
            subnets.taken.filter { $0.prefix == AddressPrefix(address: own, prefix: subnet.prefix) }.compactMap(
                \.network))
        return Subnets(taken: subnets.taken.filter { $0.network.map { !mine.contains($0) } ?? true })
            .collision(subnet)?.what
    }
}
