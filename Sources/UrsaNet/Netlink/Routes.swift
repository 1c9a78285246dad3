import CLinux
import Glibc
import UrsaBase

/// An address of a link.
struct LinkAddress: Sendable, Hashable {
    var link: Int32
    var address: IPAddress
    var prefix: Int

    /// Reads RTM_NEWADDR: struct ifaddrmsg (8 bytes: family, prefix length, flags, scope, u32 index), attributes.
    init?(_ reply: NetlinkReply) {
        guard reply.type == Int(RTM_NEWADDR) else { return nil }
        let attributes = reply.attributes(after: 8)
        prefix = Int(reply.payload.number(at: 1, as: UInt8.self))
        link = reply.payload.number(at: 4, as: Int32.self)
        // Of a point-to-point link IFA_ADDRESS is the other side, IFA_LOCAL this one.
        guard let bytes = attributes[Int(IFA_LOCAL)] ?? attributes[Int(IFA_ADDRESS)],
            let address = IPAddress(wire: bytes)
        else { return nil }
        self.address = address
    }
}

/// A route of any table.
struct Route: Sendable, Hashable {
    var destination: AddressPrefix
    var table: UInt32
    var link: Int32?
    var gateway: IPAddress?
    /// RTN_UNICAST and friends.
    var type: UInt8
    /// Who made it: RTPROT_KERNEL, RTPROT_STATIC, ….
    var owner: UInt8

    /// Reads RTM_NEWROUTE: struct rtmsg (12 bytes: family, dst len, src len, tos, table, protocol, scope, type, flags).
    init?(_ reply: NetlinkReply) {
        guard reply.type == Int(RTM_NEWROUTE) else { return nil }
        let family = Int32(reply.payload.number(at: 0, as: UInt8.self))
        guard family == AF_INET || family == AF_INET6 else { return nil }
        let attributes = reply.attributes(after: 12)
        let none: IPAddress = family == AF_INET ? .v4(IPv4Address(0)) : .v6(IPv6Address(high: 0, low: 0))
        destination = AddressPrefix(
            address: attributes[Int(RTA_DST.rawValue)].flatMap { IPAddress(wire: $0) } ?? none,
            prefix: Int(reply.payload.number(at: 1, as: UInt8.self)))
        table =
            attributes[Int(RTA_TABLE.rawValue)]?.number(at: 0, as: UInt32.self)
            ?? UInt32(reply.payload.number(at: 4, as: UInt8.self))
        type = reply.payload.number(at: 7, as: UInt8.self)
        owner = reply.payload.number(at: 5, as: UInt8.self)
        link = attributes[Int(RTA_OIF.rawValue)]?.number(at: 0, as: Int32.self)
        gateway = attributes[Int(RTA_GATEWAY.rawValue)].flatMap { IPAddress(wire: $0) }
    }
}

extension IPAddress {
    /// From 4 or 16 bytes in wire order.
    init?(wire bytes: ArraySlice<UInt8>) {
        if bytes.count == 4 {
            self = .v4(IPv4Address(bytes.reduce(0) { $0 << 8 | UInt32($1) }))
        } else if let address = IPv6Address(bytes: Array(bytes)) {
            self = .v6(address)
        } else {
            return nil
        }
    }
    /// 4 or 16 bytes in wire order.
    var wire: [UInt8] {
        switch self {
        case .v4(let address): address.bytes
        case .v6(let address): address.bytes
        }
    }
    /// AF_INET or AF_INET6.
    var family: UInt8 {
        switch self {
        case .v4: UInt8(AF_INET)
        case .v6: UInt8(AF_INET6)
        }
    }
    /// 32 or 128.
    var width: Int { wire.count * 8 }
}

/// Requests about addresses, routes and neighbours, as of rtnetlink(7).
enum RouteRequest {
    /// Adds an address to a link. IPv6 ones skip duplicate address detection: nobody else can have them.
    ///
    /// - Parameter withoutRoute: the address brings no route to its subnet.
    static func addAddress(
        _ address: IPAddress, prefix: Int, link: Int32, withoutRoute: Bool = false
    ) -> NetlinkMessage {
        var request = NetlinkMessage(
            Int(RTM_NEWADDR), flags: NLM_F_CREATE | NLM_F_EXCL, action: "add the address \(address)/\(prefix)")
        var header = ifaddrmsg()
        header.ifa_family = address.family
        header.ifa_prefixlen = UInt8(truncatingIfNeeded: prefix)
        header.ifa_index = UInt32(bitPattern: link)
        if case .v6 = address { header.ifa_flags = UInt8(IFA_F_NODAD) }
        request.put(fixed: header)
        request.attribute(Int(IFA_LOCAL), address.wire)
        request.attribute(Int(IFA_ADDRESS), address.wire)
        if withoutRoute {
            request.attribute(Int(IFA_FLAGS), UInt32(header.ifa_flags) | UInt32(IFA_F_NOPREFIXROUTE))
        }
        request.tolerated = [EEXIST]
        return request
    }

    /// Takes an address away; a missing one is fine.
    static func deleteAddress(_ address: IPAddress, prefix: Int, link: Int32) -> NetlinkMessage {
        var request = NetlinkMessage(Int(RTM_DELADDR), action: "remove the address \(address)/\(prefix)")
        var header = ifaddrmsg()
        header.ifa_family = address.family
        header.ifa_prefixlen = UInt8(truncatingIfNeeded: prefix)
        header.ifa_index = UInt32(bitPattern: link)
        request.put(fixed: header)
        request.attribute(Int(IFA_LOCAL), address.wire)
        request.tolerated = [EADDRNOTAVAIL]
        return request
    }

    /// Adds or replaces a route of the main table. A `gateway` is taken to be on the link, whatever its number.
    static func addRoute(
        _ destination: AddressPrefix, link: Int32, gateway: IPAddress?, source: IPAddress?
    ) -> NetlinkMessage {
        var request = NetlinkMessage(
            Int(RTM_NEWROUTE), flags: NLM_F_CREATE | NLM_F_REPLACE, action: "add the route to \(destination)")
        request.put(fixed: header(destination, link: gateway == nil, onLink: gateway != nil))
        if destination.prefix > 0 { request.attribute(Int(RTA_DST.rawValue), destination.address.wire) }
        request.attribute(Int(RTA_OIF.rawValue), link)
        if let gateway { request.attribute(Int(RTA_GATEWAY.rawValue), gateway.wire) }
        if let source { request.attribute(Int(RTA_PREFSRC.rawValue), source.wire) }
        return request
    }

    /// Takes a route of the main table over a link away; a missing one is fine.
    static func deleteRoute(_ destination: AddressPrefix, link: Int32) -> NetlinkMessage {
        var request = NetlinkMessage(Int(RTM_DELROUTE), action: "remove the route to \(destination)")
        var header = rtmsg()
        header.rtm_family = destination.address.family
        header.rtm_dst_len = UInt8(truncatingIfNeeded: destination.prefix)
        header.rtm_table = UInt8(RT_TABLE_MAIN.rawValue)
        header.rtm_scope = UInt8(RT_SCOPE_NOWHERE.rawValue)
        request.put(fixed: header)
        if destination.prefix > 0 { request.attribute(Int(RTA_DST.rawValue), destination.address.wire) }
        request.attribute(Int(RTA_OIF.rawValue), link)
        request.tolerated = [ESRCH, ENODEV]
        return request
    }

    private static func header(_ destination: AddressPrefix, link: Bool, onLink: Bool) -> rtmsg {
        var header = rtmsg()
        header.rtm_family = destination.address.family
        header.rtm_dst_len = UInt8(truncatingIfNeeded: destination.prefix)
        header.rtm_table = UInt8(RT_TABLE_MAIN.rawValue)
        header.rtm_protocol = UInt8(RTPROT_STATIC)
        header.rtm_scope = UInt8(link ? RT_SCOPE_LINK.rawValue : RT_SCOPE_UNIVERSE.rawValue)
        header.rtm_type = UInt8(RTN_UNICAST)
        if onLink { header.rtm_flags = UInt32(RTNH_F_ONLINK) }
        return header
    }

    /// Publishes an address on a link: the kernel answers ARP or neighbour discovery for it (proxy entry).
    static func publish(_ address: IPAddress, link: Int32) -> NetlinkMessage {
        var request = NetlinkMessage(
            Int(RTM_NEWNEIGH), flags: NLM_F_CREATE | NLM_F_REPLACE, action: "answer for \(address)")
        var header = ndmsg()
        header.ndm_family = address.family
        header.ndm_ifindex = link
        header.ndm_state = UInt16(NUD_PERMANENT)
        header.ndm_flags = UInt8(NTF_PROXY)
        request.put(fixed: header)
        request.attribute(Int(NDA_DST), address.wire)
        request.attribute(Int(NDA_PROTOCOL), KernelOwner.ursa)
        return request
    }

    /// Takes a proxy entry away; a missing one is fine.
    static func unpublish(_ address: IPAddress, link: Int32) -> NetlinkMessage {
        var request = NetlinkMessage(Int(RTM_DELNEIGH), action: "stop answering for \(address)")
        var header = ndmsg()
        header.ndm_family = address.family
        header.ndm_ifindex = link
        header.ndm_flags = UInt8(NTF_PROXY)
        request.put(fixed: header)
        request.attribute(Int(NDA_DST), address.wire)
        request.tolerated = [ENOENT, ENODEV]
        return request
    }
}

extension NetlinkSocket {
    /// Addresses of all links of the namespace.
    func addresses() throws(UrsaError) -> [LinkAddress] {
        var request = NetlinkMessage(Int(RTM_GETADDR), action: "list the addresses")
        request.put(fixed: ifaddrmsg())
        return (try self.request(request, dump: true) ?? []).compactMap { LinkAddress($0) }
    }

    /// Routes of all tables, of one address family.
    func routes(_ family: Int32) throws(UrsaError) -> [Route] {
        var request = NetlinkMessage(Int(RTM_GETROUTE), action: "list the routes")
        var header = rtmsg()
        header.rtm_family = UInt8(truncatingIfNeeded: family)
        request.put(fixed: header)
        request.tolerated = [EAFNOSUPPORT, EOPNOTSUPP]
        return (try self.request(request, dump: true) ?? []).compactMap { Route($0) }
    }

    /// Addresses that the namespace answers for on a link (proxy entries), of both families.
    func published() throws(UrsaError) -> [ProxyEntry] {
        var request = NetlinkMessage(Int(RTM_GETNEIGH), action: "list the published addresses")
        var header = ndmsg()
        header.ndm_flags = UInt8(NTF_PROXY)
        request.put(fixed: header)
        return (try self.request(request, dump: true) ?? []).compactMap { reply in
            let attributes = reply.attributes(after: 12)
            guard reply.type == Int(RTM_NEWNEIGH), let bytes = attributes[Int(NDA_DST)],
                let address = IPAddress(wire: bytes)
            else { return nil }
            return ProxyEntry(
                link: reply.payload.number(at: 4, as: Int32.self), address: address,
                owner: attributes[Int(NDA_PROTOCOL)]?.first ?? 0)
        }
    }
}

/// An address that the kernel answers ARP or neighbour discovery for on a link.
struct ProxyEntry: Sendable, Hashable {
    var link: Int32
    var address: IPAddress
    /// Who made it; 0: unsaid.
    var owner: UInt8
}
