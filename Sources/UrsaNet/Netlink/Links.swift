import CLinux
import Glibc
import UrsaBase

/// A link (network interface) as the kernel describes it.
struct Link: Sendable, Hashable {
    var index: Int32
    var name: String
    /// `bridge`, `veth`, `tun`; nil for real hardware.
    var kind: String?
    /// Free text that Ursa's mark is written to.
    var alias: String?
    /// Index of the bridge that it is a port of.
    var master: Int32?
    /// As a port of a bridge: kept from other isolated ports.
    var isIsolated: Bool
    var mac: [UInt8]
    var mtu: UInt32
    var isUp: Bool
    var counters: LinkCounters

    /// Reads RTM_NEWLINK: struct ifinfomsg (16 bytes), then IFLA_ attributes.
    init?(_ reply: NetlinkReply) {
        guard reply.type == Int(RTM_NEWLINK) else { return nil }
        let attributes = reply.attributes(after: 16)
        guard let name = attributes[Int(IFLA_IFNAME)] else { return nil }
        self.name = name.terminatedText
        index = reply.payload.number(at: 4, as: Int32.self)
        isUp = reply.payload.number(at: 8, as: UInt32.self) & UInt32(IFF_UP) != 0
        alias = attributes[Int(IFLA_IFALIAS)]?.terminatedText
        master = attributes[Int(IFLA_MASTER)]?.number(at: 0, as: Int32.self)
        mac = Array(attributes[Int(IFLA_ADDRESS)] ?? [])
        mtu = attributes[Int(IFLA_MTU)]?.number(at: 0, as: UInt32.self) ?? 0
        // struct rtnl_link_stats64: packets in, packets out, bytes in, bytes out, …
        let statistics = attributes[Int(IFLA_STATS64)]
        counters = LinkCounters(
            received: statistics?.number(at: 16, as: UInt64.self) ?? 0,
            sent: statistics?.number(at: 24, as: UInt64.self) ?? 0)
        let information = attributes[Int(IFLA_LINKINFO)].map { netlinkAttributes($0) } ?? [:]
        kind = information[Int(IFLA_INFO_KIND)]?.terminatedText
        isIsolated =
            information[Int(IFLA_INFO_SLAVE_DATA)].flatMap {
                netlinkAttributes($0)[Int(IFLA_BRPORT_ISOLATED)]?.first
            } == 1
    }
}

/// What a link is named by in a request.
enum LinkName: Sendable {
    case index(Int32)
    case name(String)
}

/// Requests about links, as of rtnetlink(7) and <linux/if_link.h>.
enum LinkRequest {
    private static func message(
        _ type: Int, _ link: LinkName?, flags: Int32 = 0, up: Bool? = nil, action: String
    ) -> NetlinkMessage {
        var message = NetlinkMessage(type, flags: flags, action: action)
        var header = ifinfomsg()
        if case .index(let index) = link { header.ifi_index = index }
        if let up {
            header.ifi_change = UInt32(IFF_UP)
            header.ifi_flags = up ? UInt32(IFF_UP) : 0
        }
        message.put(fixed: header)
        if case .name(let name) = link { message.attribute(Int(IFLA_IFNAME), text: name) }
        return message
    }

    /// All links of the namespace.
    static func dump() -> NetlinkMessage { message(Int(RTM_GETLINK), nil, action: "list the links") }

    /// One link; `.notFound` is tolerated.
    static func get(_ name: String) -> NetlinkMessage {
        var request = message(Int(RTM_GETLINK), .name(name), action: "look at the link \(name)")
        request.tolerated = [ENODEV]
        return request
    }

    /// A bridge without STP (no 30 s of silence at start) and without multicast snooping (which, with no querier
    /// about, makes IPv6 neighbour discovery fail after minutes); its Ethernet address is given, so that it does not
    /// change with its ports.
    static func addBridge(_ name: String, mac: [UInt8], mtu: UInt32) -> NetlinkMessage {
        var request = message(
            Int(RTM_NEWLINK), .name(name), flags: NLM_F_CREATE | NLM_F_EXCL, action: "make the bridge \(name)")
        request.attribute(Int(IFLA_ADDRESS), mac)
        request.attribute(Int(IFLA_MTU), mtu)
        request.nest(Int(IFLA_LINKINFO)) {
            $0.attribute(Int(IFLA_INFO_KIND), text: "bridge")
            $0.nest(Int(IFLA_INFO_DATA)) {
                $0.attribute(Int(IFLA_BR_FORWARD_DELAY), UInt32(0))
                $0.attribute(Int(IFLA_BR_STP_STATE), UInt32(0))
                $0.attribute(Int(IFLA_BR_MCAST_SNOOPING), UInt8(0))
            }
        }
        request.tolerated = [EEXIST]
        return request
    }

    /// A veth pair with one end here and the other, named `peer`, in the namespace of the descriptor.
    static func addVeth(
        _ name: String, mac: [UInt8], peer: String, peerMAC: [UInt8], peerNamespace: Int32, mtu: UInt32
    ) -> NetlinkMessage {
        var request = message(
            Int(RTM_NEWLINK), .name(name), flags: NLM_F_CREATE | NLM_F_EXCL, action: "make the link \(name)")
        request.attribute(Int(IFLA_ADDRESS), mac)
        request.attribute(Int(IFLA_MTU), mtu)
        request.nest(Int(IFLA_LINKINFO)) {
            $0.attribute(Int(IFLA_INFO_KIND), text: "veth")
            $0.nest(Int(IFLA_INFO_DATA)) {
                $0.nest(Int(VETH_INFO_PEER)) {
                    $0.put(fixed: ifinfomsg())
                    $0.attribute(Int(IFLA_IFNAME), text: peer)
                    $0.attribute(Int(IFLA_ADDRESS), peerMAC)
                    $0.attribute(Int(IFLA_MTU), mtu)
                    $0.attribute(Int(IFLA_NET_NS_FD), UInt32(bitPattern: peerNamespace))
                }
            }
        }
        return request
    }

    /// Writes the mark, without a change of anything else.
    static func setAlias(_ link: LinkName, _ alias: String) -> NetlinkMessage {
        var request = message(Int(RTM_SETLINK), link, action: "mark a link with \(alias)")
        request.attribute(Int(IFLA_IFALIAS), Array(alias.utf8))
        return request
    }

    /// Gives the link no automatic link-local address: Ursa adds its own, without the second that duplicate address
    /// detection takes. Must come before `up`.
    static func noAutomaticIPv6(_ link: LinkName) -> NetlinkMessage {
        var request = message(Int(RTM_SETLINK), link, action: "set the IPv6 address mode")
        request.nest(Int(IFLA_AF_SPEC)) {
            $0.nest(Int(AF_INET6)) { $0.attribute(Int(IFLA_INET6_ADDR_GEN_MODE), UInt8(1)) }  // IN6_ADDR_GEN_MODE_NONE
        }
        // The host was booted without IPv6.
        request.tolerated = [EAFNOSUPPORT, EOPNOTSUPP]
        return request
    }

    /// Changes properties of a link; nil leaves one alone.
    static func set(
        _ link: LinkName, up: Bool? = nil, mac: [UInt8]? = nil, mtu: UInt32? = nil, master: Int32? = nil,
        group: UInt32? = nil, action: String
    ) -> NetlinkMessage {
        var request = message(Int(RTM_SETLINK), link, up: up, action: action)
        if let mac { request.attribute(Int(IFLA_ADDRESS), mac) }
        if let mtu { request.attribute(Int(IFLA_MTU), mtu) }
        if let master { request.attribute(Int(IFLA_MASTER), master) }
        if let group { request.attribute(Int(IFLA_GROUP), group) }
        return request
    }

    /// Deletes a link; a missing one is fine.
    static func delete(_ link: LinkName) -> NetlinkMessage {
        var request = message(Int(RTM_DELLINK), link, action: "delete a link")
        request.tolerated = [ENODEV]
        return request
    }

    /// Deletes all links of a group in one go: each deletion by itself waits some 15 ms for the kernel's readers.
    static func delete(group: UInt32) -> NetlinkMessage {
        var request = message(Int(RTM_DELLINK), nil, action: "delete links")
        request.attribute(Int(IFLA_GROUP), group)
        request.tolerated = [ENODEV]
        return request
    }
}

extension NetlinkSocket {
    /// All links of the socket's namespace.
    func links() throws(UrsaError) -> [Link] {
        (try request(LinkRequest.dump(), dump: true) ?? []).compactMap { Link($0) }
    }

    /// The link of that name, or nil.
    func link(_ name: String) throws(UrsaError) -> Link? {
        try request(LinkRequest.get(name), dump: false)?.compactMap { Link($0) }.first
    }

    /// Deletes several links together; see `LinkRequest.delete(group:)`. Missing ones are fine.
    func deleteLinks(_ indices: [Int32]) throws(UrsaError) {
        guard indices.count > 1 else {
            return try transact(indices.map { LinkRequest.delete(.index($0)) })
        }
        // A group number of this thread's own, from a range that people hardly use.
        let group = 0x7572_0000 | UInt32(truncatingIfNeeded: clinux_gettid()) & 0xffff
        var requests = indices.map { index in
            LinkRequest.set(.index(index), group: group, action: "gather links for deletion")
        }
        for index in requests.indices { requests[index].tolerated = [ENODEV] }
        try transact(requests + [LinkRequest.delete(group: group)])
    }
}
