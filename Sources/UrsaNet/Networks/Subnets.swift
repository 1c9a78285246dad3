import CLinux
import Glibc
import UrsaBase

/// Subnets that the host uses, and choosing free ones.
struct Subnets: Sendable {
    /// A range that is taken on the host, with the words for it.
    struct Taken: Sendable, Hashable {
        var prefix: AddressPrefix
        var what: String
        /// The home's network whose stem it is on.
        var network: String?
        /// The link that it is on.
        var link: String?
    }
    let taken: [Taken]

    /// Looks at all addresses and the routes of all tables. Default routes take nothing, nor do routes that only say
    /// that something can't be reached.
    init(_ home: HomeMark) throws(UrsaError) {
        let socket = try NetlinkSocket()
        let links = try socket.links()
        var taken: [Taken] = []
        func link(_ index: Int32?) -> Link? { links.first { $0.index == index } }
        for address in try socket.addresses() {
            guard let owner = link(address.link) else { continue }
            taken.append(
                Taken(
                    prefix: AddressPrefix(address: address.address, prefix: address.prefix),
                    what: "the address \(address.address)/\(address.prefix) of \(owner.name)",
                    network: home.network(alias: owner.alias), link: owner.name))
        }
        for route in try socket.routes(AF_INET) + socket.routes(AF_INET6)
        where route.type == UInt8(RTN_UNICAST) && route.destination.prefix > 0 {
            let owner = link(route.link)
            let table = route.table == 254 ? "" : " of table \(route.table)"
            taken.append(
                Taken(
                    prefix: route.destination,
                    what: "the route \(route.destination)\(owner.map { " over \($0.name)" } ?? "")\(table)",
                    network: home.network(alias: owner?.alias), link: owner?.name))
        }
        self.taken = taken
    }

    init(taken: [Taken]) { self.taken = taken }

    /// What on the host overlaps the subnet; a network of the home's own that has exactly this subnet does not count.
    func collision(_ subnet: IPv4Network) -> Taken? {
        let own = Set(
            taken.filter { $0.prefix == AddressPrefix(address: .v4(subnet.address), prefix: subnet.prefix) }
                .compactMap(\.network))
        return taken.first { entry in
            guard case .v4(let address) = entry.prefix.address else { return false }
            if let network = entry.network, own.contains(network) { return false }
            return IPv4Network(address, prefix: min(32, entry.prefix.prefix)).overlaps(subnet)
        }
    }

    /// What on the host overlaps the IPv6 subnet.
    func collision(_ subnet: IPv6Network) -> Taken? {
        taken.first { entry in
            guard case .v6(let address) = entry.prefix.address else { return false }
            return IPv6Network(address, prefix: min(128, entry.prefix.prefix)).overlaps(subnet)
        }
    }

    /// The /24s to choose from, in order. 10.77… first: far from what routers, VPNs and other tools take.
    static var candidates: some Sequence<IPv4Network> {
        let tens = (77...126).lazy.flatMap { second in (0...255).lazy.map { (10, second, $0) } }
        let others = (20...30).lazy.flatMap { second in (0...255).lazy.map { (172, second, $0) } }
        let homes = (200...254).lazy.map { (192, 168, $0) }
        return [AnySequence(tens), AnySequence(others), AnySequence(homes)].lazy.joined().map { first, second, third in
            IPv4Network(IPv4Address(UInt32(first << 24 | second << 16 | third << 8)), prefix: 24)
        }
    }

    func free(_ given: [IPv4Network]) throws(UrsaError) -> IPv4Network {
        for candidate in Self.candidates
        where !given.contains(where: { $0.overlaps(candidate) }) && collision(candidate) == nil {
            return candidate
        }
        throw UrsaError(
            .conflict, "every private subnet that Ursa knows overlaps an address or a route of the host",
            remedy: "give the network a `subnet:` of your own choice")
    }

    /// The home's prefix for local use (RFC 4193): fd00::/8 and 40 bits that stand for the home.
    static func localPrefix(_ home: HomeMark) -> IPv6Network {
        let bits = SHA256.digest("ula \(home.id)").prefix(5).reduce(UInt64(0xfd)) { $0 << 8 | UInt64($1) }
        return IPv6Network(IPv6Address(high: bits << 16, low: 0), prefix: 48)
    }

    func free6(_ home: HomeMark, _ given: [IPv6Network]) throws(UrsaError) -> IPv6Network {
        let base = Self.localPrefix(home).address.high
        for number in UInt64(1)...0xffff {
            let candidate = IPv6Network(IPv6Address(high: base | number, low: 0), prefix: 64)
            if !given.contains(where: { $0.overlaps(candidate) }), collision(candidate) == nil { return candidate }
        }
        throw UrsaError(.conflict, "no IPv6 subnet is free", remedy: "give the network a `subnet6:` of your own choice")
    }
}
