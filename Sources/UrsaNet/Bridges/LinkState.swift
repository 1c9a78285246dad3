import CLinux
import Glibc
import UrsaBase

/// What a link has that moves to a bridge with it and back: addresses and routes.
struct LinkState: Sendable, Hashable {
    /// In the kernel's order: a subnet's first address is the one that packets are sent from.
    var addresses: [SavedAddress] = []
    /// Of all tables, those without a router first.
    var routes: [SavedRoute] = []

    init() {}

    /// What the link has now.
    init(of link: Int32, _ socket: NetlinkSocket) throws(UrsaError) {
        let now = bootSeconds()
        var request = NetlinkMessage(Int(RTM_GETADDR), action: "list the addresses")
        request.put(fixed: ifaddrmsg())
        addresses = (try socket.request(request, dump: true) ?? []).compactMap {
            SavedAddress($0, link: link, now: now)
        }
        for family in [AF_INET, AF_INET6] {
            var request = NetlinkMessage(Int(RTM_GETROUTE), action: "list the routes")
            var header = rtmsg()
            header.rtm_family = UInt8(truncatingIfNeeded: family)
            request.put(fixed: header)
            request.tolerated = [EAFNOSUPPORT, EOPNOTSUPP]
            routes += (try socket.request(request, dump: true) ?? []).compactMap {
                SavedRoute($0, link: link, now: now)
            }
        }
        routes = routes.filter(\.isDirect) + routes.filter { !$0.isDirect }
    }

    var isEmpty: Bool { addresses.isEmpty && routes.isEmpty }

    /// This state and what another has besides; routes of the other are led over `link` instead of `old`.
    func joined(with other: LinkState, link: Int32, insteadOf old: Int32) -> LinkState {
        var result = self
        let keys = Set(addresses.compactMap(\.key))
        result.addresses += other.addresses.filter { $0.key.map { !keys.contains($0) } ?? false }
        let routes = Set(routes.map(\.identity))
        result.routes += other.routes.map { $0.over(link, insteadOf: old) }.filter { !routes.contains($0.identity) }
        result.routes = result.routes.filter(\.isDirect) + result.routes.filter { !$0.isDirect }
        return result
    }

    /// Without what has expired.
    func living(now: Double) -> LinkState {
        var result = self
        result.addresses.removeAll { $0.expires.map { $0 <= now } ?? false }
        result.routes.removeAll { $0.expires.map { $0 <= now } ?? false }
        return result
    }

    /// The requests that give all of it, now `old`'s, to the link `new`. `between` are requests that come when the
    /// new link has its addresses and before the routes move.
    ///
    /// The order leaves no moment without a default route for IPv4: each route is replaced in one go, and a link loses
    /// its addresses only after they are on the other.
    func move(
        from old: (index: Int32, name: String), to new: (index: Int32, name: String), between: [NetlinkMessage]
    ) -> [NetlinkMessage] {
        let now = bootSeconds()
        let living = living(now: now)
        var requests = living.addresses.map {
            $0.addition(to: new.index, name: new.name, from: old.name, now: now)
        }
        requests += between
        for route in living.routes {
            if route.isIPv6 { requests.append(route.removal) }
            requests.append(route.over(new.index, insteadOf: old.index).addition(now: now))
        }
        // A subnet's first address last: its removal takes the others along.
        requests += addresses.reversed().map { $0.removal(from: old.index) }
        // The kernel leaves the route to a subnet for as long as an address there was to live.
        let subnets = Set(addresses.compactMap(\.key).filter { $0.address.isIPv6 && $0.prefix < 128 }.map(\.subnet))
        return requests + subnets.map { RouteRequest.deleteRoute($0, link: old.index) }
    }
}

extension AddressPrefix {
    /// The subnet alone, of an IPv6 address.
    fileprivate var subnet: AddressPrefix {
        guard case .v6(let address) = address else { return self }
        return AddressPrefix(address: .v6(IPv6Network(address, prefix: prefix).address), prefix: prefix)
    }
}

extension SavedRoute {
    /// A route without its remaining life.
    fileprivate var identity: SavedRoute {
        var copy = self
        copy.expires = nil
        return copy
    }
}

/// Seconds since the system was started, sleep included.
func bootSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_BOOTTIME, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}
