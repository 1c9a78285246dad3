import CLinux
import Glibc
import UrsaBase

/// A default route of an uplink's own table: by a router, or a refusal.
struct TableRoute: Sendable, Hashable {
    /// By whom packets go.
    struct Router: Sendable, Hashable {
        var gateway: IPAddress
        /// The link that it is on.
        var link: Int32
        /// The host's address for packets that have none yet; nil: the kernel chooses.
        var source: IPAddress?
    }
    /// The table.
    var table: UInt32
    /// IPv6 instead of IPv4.
    var isIPv6: Bool
    /// Nil: the sender is told that there is no way (the last resort of a table whose router is gone, so that what
    /// belongs to one uplink never leaves by another).
    var router: Router?

    init(table: UInt32, router: Router) {
        self.table = table
        isIPv6 = router.gateway.isIPv6
        self.router = router
    }

    init(refusalIn table: UInt32, isIPv6: Bool) {
        self.table = table
        self.isIPv6 = isIPv6
    }

    /// The route in words: `default route by 192.0.2.1 in table 5001`.
    var words: String {
        let way = router.map { "by \($0.gateway)" } ?? "to nowhere"
        return "\(isIPv6 ? "IPv6 default" : "default") route \(way) in table \(table)"
    }

    /// Reads RTM_NEWROUTE (see `Route`). Nil unless it is a default route that carries Ursa's number.
    init?(_ reply: NetlinkReply) {
        guard reply.type == Int(RTM_NEWROUTE), reply.payload.number(at: 1, as: UInt8.self) == 0,
            reply.payload.number(at: 5, as: UInt8.self) == RoutingRule.owner
        else { return nil }
        let attributes = reply.attributes(after: 12)
        guard let table = attributes[Int(RTA_TABLE.rawValue)] else { return nil }
        self.table = table.number(at: 0, as: UInt32.self)
        isIPv6 = Int32(reply.payload.number(at: 0, as: UInt8.self)) == AF_INET6
        guard reply.payload.number(at: 7, as: UInt8.self) == UInt8(RTN_UNICAST) else { return }
        guard let gateway = attributes[Int(RTA_GATEWAY.rawValue)].flatMap({ IPAddress(wire: $0) }),
            let link = attributes[Int(RTA_OIF.rawValue)]
        else { return nil }
        router = Router(
            gateway: gateway, link: link.number(at: 0, as: Int32.self),
            source: attributes[Int(RTA_PREFSRC.rawValue)].flatMap { IPAddress(wire: $0) })
    }

    private func message(_ type: Int, flags: Int32, _ action: String) -> NetlinkMessage {
        var request = NetlinkMessage(type, flags: flags, action: "\(action) the \(words)")
        var header = rtmsg()
        header.rtm_family = UInt8(isIPv6 ? AF_INET6 : AF_INET)
        header.rtm_table = UInt8(RT_TABLE_UNSPEC.rawValue)
        header.rtm_protocol = RoutingRule.owner
        header.rtm_scope = UInt8(RT_SCOPE_UNIVERSE.rawValue)
        header.rtm_type = UInt8(router == nil ? RTN_UNREACHABLE : RTN_UNICAST)
        // Providers hand out gateways outside the address's own subnet; which link it is on was said.
        if router != nil { header.rtm_flags = UInt32(RTNH_F_ONLINK) }
        request.put(fixed: header)
        request.attribute(Int(RTA_TABLE.rawValue), table)
        // The last resort comes after every router.
        request.attribute(Int(RTA_PRIORITY.rawValue), router == nil ? UInt32.max : 1)
        guard let router else { return request }
        request.attribute(Int(RTA_OIF.rawValue), router.link)
        request.attribute(Int(RTA_GATEWAY.rawValue), router.gateway.wire)
        if let source = router.source { request.attribute(Int(RTA_PREFSRC.rawValue), source.wire) }
        return request
    }

    /// Makes the route, or puts it in the place of the one of its kind in this table.
    var addition: NetlinkMessage {
        message(Int(RTM_NEWROUTE), flags: NLM_F_CREATE | NLM_F_REPLACE, "add")
    }

    /// Takes the route away; a missing one is fine.
    var removal: NetlinkMessage {
        var request = message(Int(RTM_DELROUTE), flags: 0, "remove")
        request.tolerated = [ESRCH, ENODEV, EAFNOSUPPORT]
        return request
    }
}

extension NetlinkSocket {
    /// Default routes of tables of Ursa's, of both families.
    func ownRoutes() throws(UrsaError) -> [TableRoute] {
        var result: [TableRoute] = []
        for family in [AF_INET, AF_INET6] {
            var request = NetlinkMessage(Int(RTM_GETROUTE), action: "list the routes")
            var header = rtmsg()
            header.rtm_family = UInt8(truncatingIfNeeded: family)
            request.put(fixed: header)
            request.tolerated = [EAFNOSUPPORT, EOPNOTSUPP]
            result += (try self.request(request, dump: true) ?? []).compactMap { TableRoute($0) }
        }
        return result
    }
}
