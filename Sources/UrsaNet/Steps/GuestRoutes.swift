import CLinux
import Glibc
import UrsaBase

/// Routes to single guests whose subnet is elsewhere: over the stem on the host, over the bridge in the namespace.
struct GuestRoutes: NetStep {
    let home: HomeMark
    let wish: NetworkWish
    let missing: [String]
    let strange: [String]
    let phase = Phase.make
    var network: String? { wish.name }

    var line: String {
        let sign = strange.isEmpty ? "+" : missing.isEmpty ? "-" : "~"
        // Each route is there twice.
        let shown = wish.guestAddresses.filter { address in
            missing.contains { $0.hasPrefix("\(AddressPrefix(address)) ") }
        }
        let gone = Set(strange.compactMap { $0.split(separator: " ").first.map(String.init) }).sorted()
        let words =
            (shown.isEmpty ? [] : ["to " + shown.map(\.description).joined(separator: ", ")])
            + (gone.isEmpty ? [] : ["not to " + gone.joined(separator: ", ")])
        return "\(sign) routes of \(wish.name) \(words.joined(separator: "; "))"
    }

    func apply() throws(UrsaError) {
        let (home, wish) = (home, wish)
        try home.namespace(wish.name).run { () throws(UrsaError) in
            try Self.bring(wish, on: BridgeName.bridge, source: wish.gateway, wish.gateway6) { _ in nil }
        }
        // From which address the host speaks to its guests is the kernel's choice by its usual rules.
        try Self.bring(wish, on: home.stemName(wish.name), source: nil, nil) {
            NetworkWish.guestsGateway($0, wish)
        }
    }

    private static func bring(
        _ wish: NetworkWish, on name: String, source: IPv4Address?, _ source6: IPv6Address?,
        by gateway: (IPAddress) -> IPAddress?
    ) throws(UrsaError) {
        let socket = try NetlinkSocket()
        guard let link = try socket.link(name) else {
            throw UrsaError(.io, "the link \(name) of \(wish.name) went away while it was set up")
        }
        let wanted = Set(wish.routedGuests.map { AddressPrefix($0) })
        let routes = try socket.routes(AF_INET) + socket.routes(AF_INET6)
        // The stem has a route of its own to the namespace: that one has no gateway.
        let guests = routes.filter {
            $0.isGuestRoute && $0.link == link.index && ($0.gateway != nil || name == BridgeName.bridge)
        }
        var requests = guests.filter { !wanted.contains($0.destination) }
            .map { RouteRequest.deleteRoute($0.destination, link: link.index) }
        for guest in wish.routedGuests {
            let from: IPAddress? = guest.isIPv6 ? source6.map { .v6($0) } : source.map { .v4($0) }
            requests.append(
                RouteRequest.addRoute(
                    AddressPrefix(guest), link: link.index, gateway: gateway(guest), source: from))
        }
        try socket.transact(requests)
    }

    // They go with their links.
    func undo() throws(UrsaError) {}
}

extension Route {
    /// Whether it is one that leads to a single guest and was made for it.
    var isGuestRoute: Bool {
        owner == UInt8(RTPROT_STATIC) && table == 254 && destination.prefix == destination.address.width
    }
}
