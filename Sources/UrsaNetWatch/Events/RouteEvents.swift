import CLinux
import Glibc
import UrsaBase

/// Tells damage from the kernel's news about links, addresses, routes, rules and neighbours.
struct RouteEvents {
    /// The groups of rtnetlink(7) that are listened to, from <linux/rtnetlink.h>.
    static let groups: [Int32] = [
        Int32(RTNLGRP_LINK.rawValue), Int32(RTNLGRP_NEIGH.rawValue), Int32(RTNLGRP_IPV4_IFADDR.rawValue),
        Int32(RTNLGRP_IPV4_ROUTE.rawValue), Int32(RTNLGRP_IPV4_RULE.rawValue), Int32(RTNLGRP_IPV6_IFADDR.rawValue),
        Int32(RTNLGRP_IPV6_ROUTE.rawValue), Int32(RTNLGRP_IPV6_RULE.rawValue), Int32(RTNLGRP_IPV4_NETCONF.rawValue),
        Int32(RTNLGRP_IPV6_NETCONF.rawValue),
    ]
    /// Routes and rules of uplinks carry this protocol number, in tables 5001…5255.
    private static let owner: UInt8 = 85

    /// Names of links by index, and whether they are up, as last told.
    private var names: [Int32: String] = [:]
    private var states: [String: UInt32] = [:]

    /// The home's links that are down, as far as was told.
    func down(_ orders: WatchOrders) -> [String] {
        orders.links.filter { states[$0].map { $0 & UInt32(IFF_UP) == 0 } ?? false }
    }

    /// What a message means: in words when something must be looked at, else nil.
    mutating func meaning(_ message: KernelMessage, _ orders: WatchOrders) -> String? {
        switch message.type {
        case Int(RTM_NEWLINK), Int(RTM_DELLINK): return link(message, orders)
        case Int(RTM_NEWADDR), Int(RTM_DELADDR):
            let name = name(message.number(at: 4, as: Int32.self))
            let isGone = message.type == Int(RTM_DELADDR)
            if orders.interfaces.contains(name) { return "the addresses of \(name) changed" }
            return isGone && orders.links.contains(name) ? "an address of \(name) was removed" : nil
        case Int(RTM_NEWROUTE), Int(RTM_DELROUTE): return route(message, orders)
        case Int(RTM_DELRULE):
            // struct fib_rule_hdr is 12 bytes.
            let owner = message.attribute(Int(FRA_PROTOCOL), after: 12)?.first
            return owner == RouteEvents.owner && !orders.uplinks.isEmpty ? "a routing rule was removed" : nil
        case Int(RTM_NEWNEIGH): return neighbour(message, orders)
        case Int(RTM_NEWNETCONF): return setting(message, orders)
        default: return nil
        }
    }

    private mutating func link(_ message: KernelMessage, _ orders: WatchOrders) -> String? {
        // struct ifinfomsg: family, pad, u16 type, i32 index, u32 flags, u32 change.
        guard let name = message.attribute(Int(IFLA_IFNAME), after: 16)?.terminatedText else { return nil }
        let index = message.number(at: 4, as: Int32.self)
        guard message.type == Int(RTM_NEWLINK) else {
            // A port that leaves its bridge is told as RTM_DELLINK of family AF_BRIDGE.
            guard message.number(at: 0, as: UInt8.self) == 0 else { return nil }
            names[index] = nil
            states[name] = nil
            if orders.links.contains(name) { return "the link \(name) was removed" }
            return orders.interfaces.contains(name) ? "the interface \(name) was removed" : nil
        }
        guard message.number(at: 0, as: UInt8.self) == 0 else { return nil }
        // IFF_LOWER_UP, whether there is a carrier.
        let state = message.number(at: 8, as: UInt32.self) & (UInt32(IFF_UP) | UInt32(IFF_RUNNING) | 0x10000)
        let before = states[name]
        let isRenamed = names[index] != name
        names[index] = name
        states[name] = state
        if orders.links.contains(name), state & UInt32(IFF_UP) == 0, before != nil { return "the link \(name) is down" }
        return orders.interfaces.contains(name) && (before != state || isRenamed)
            ? "the interface \(name) changed" : nil
    }

    private mutating func name(_ index: Int32) -> String {
        if let name = names[index] { return name }
        var buffer = [CChar](repeating: 0, count: 16)
        guard if_indextoname(UInt32(bitPattern: index), &buffer) != nil else { return "" }
        let name = String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        names[index] = name
        return name
    }

    private mutating func route(_ message: KernelMessage, _ orders: WatchOrders) -> String? {
        // struct rtmsg: family, dst len, src len, tos, table, protocol, scope, type, u32 flags.
        let table =
            message.attribute(Int(RTA_TABLE.rawValue), after: 12)?.number(at: 0, as: UInt32.self)
            ?? UInt32(message.number(at: 4, as: UInt8.self))
        let isGone = message.type == Int(RTM_DELROUTE)
        if (5001...5255).contains(table) {
            let isOurs = message.number(at: 5, as: UInt8.self) == RouteEvents.owner
            return isGone && isOurs && !orders.uplinks.isEmpty ? "a route of table \(table) was removed" : nil
        }
        guard table == UInt32(RT_TABLE_MAIN.rawValue) else { return nil }
        if message.number(at: 1, as: UInt8.self) == 0, !orders.uplinks.isEmpty { return "a default route changed" }
        guard isGone, let link = message.attribute(Int(RTA_OIF.rawValue), after: 12)?.number(at: 0, as: Int32.self)
        else { return nil }
        let name = name(link)
        return orders.links.contains(name) ? "a route over \(name) was removed" : nil
    }

    private func neighbour(_ message: KernelMessage, _ orders: WatchOrders) -> String? {
        guard let address = message.attribute(Int(NDA_DST), after: 12), address.count == 4,
            let mac = message.attribute(Int(NDA_LLADDR), after: 12), mac.count == 6
        else { return nil }
        let value = IPv4Address(address.reduce(0) { $0 << 8 | UInt32($1) })
        let seen = MACAddress(mac.reduce(UInt64(0)) { $0 << 8 | UInt64($1) })
        for uplink in orders.uplinks {
            guard let router = uplink.router, router.address == value, router.mac != seen else { continue }
            return "the gateway \(value) of uplink \(uplink.name) has another Ethernet address, \(seen)"
        }
        return nil
    }

    /// Forwarding was turned off: NETCONFA_IFINDEX (1) -1 is "all", NETCONFA_FORWARDING (2), <linux/netconf.h>.
    private func setting(_ message: KernelMessage, _ orders: WatchOrders) -> String? {
        guard orders.needsForwarding, message.attribute(1, after: 1)?.number(at: 0, as: Int32.self) == -1,
            message.attribute(2, after: 1)?.number(at: 0, as: Int32.self) == 0
        else { return nil }
        return "forwarding was turned off"
    }
}
