import CLinux
import Glibc
import UrsaBase

/// A routing rule: which table is asked for which packets (ip-rule(8)).
struct RoutingRule: Sendable, Hashable {
    /// IPv6 instead of IPv4.
    var isIPv6: Bool
    /// Lower ones are asked first.
    var priority: UInt32
    /// The table that is asked.
    var table: UInt32
    /// Packets with this mark under this mask; nil: all.
    var mark: UInt32?
    var mask: UInt32?
    /// Packets from this address; nil: all.
    var source: AddressPrefix?
    /// Answers of the table with a prefix of at most this length don't count; nil: all do.
    var ignoredPrefix: UInt32?

    /// The number that says who made a rule or a route (`/etc/iproute2/rt_protos`): 85, `U`, is Ursa's.
    static let owner: UInt8 = 85

    init(
        isIPv6: Bool, priority: UInt32, table: UInt32, mark: UInt32? = nil, mask: UInt32? = nil,
        source: AddressPrefix? = nil, ignoredPrefix: UInt32? = nil
    ) {
        self.isIPv6 = isIPv6
        self.priority = priority
        self.table = table
        self.mark = mark
        self.mask = mask
        self.source = source
        self.ignoredPrefix = ignoredPrefix
    }

    /// Reads RTM_NEWRULE: struct fib_rule_hdr (12 bytes: family, dst len, src len, tos, table, two reserved, action,
    /// u32 flags), then FRA_ attributes of <linux/fib_rules.h>. Nil for rules that are none of Ursa's.
    init?(_ reply: NetlinkReply) {
        guard reply.type == Int(RTM_NEWRULE) || reply.type == Int(RTM_DELRULE) else { return nil }
        let attributes = reply.attributes(after: 12)
        func number(_ type: Int) -> UInt32? { attributes[type]?.number(at: 0, as: UInt32.self) }
        guard attributes[Int(FRA_PROTOCOL)]?.first == RoutingRule.owner else { return nil }
        let family = Int32(reply.payload.number(at: 0, as: UInt8.self))
        guard family == AF_INET || family == AF_INET6 else { return nil }
        isIPv6 = family == AF_INET6
        priority = number(Int(FRA_PRIORITY)) ?? 0
        table = number(Int(FRA_TABLE)) ?? UInt32(reply.payload.number(at: 4, as: UInt8.self))
        mark = number(Int(FRA_FWMARK))
        mask = mark == nil ? nil : number(Int(FRA_FWMASK))
        source = attributes[Int(FRA_SRC)].flatMap { IPAddress(wire: $0) }.map {
            AddressPrefix(address: $0, prefix: Int(reply.payload.number(at: 2, as: UInt8.self)))
        }
        // The kernel writes -1 for "none".
        ignoredPrefix = number(Int(FRA_SUPPRESS_PREFIXLEN)).flatMap { $0 == UInt32.max ? nil : $0 }
    }

    /// The rule in words: `rule 10001: mark 0x00010000 → table 5001`.
    var words: String {
        var what = source.map { "from \($0.address)" } ?? "all"
        if let mark { what = "mark 0x\(hexadecimal(mark.bigEndianBytes))" }
        let name = table == UInt32(RT_TABLE_MAIN.rawValue) ? "main" : String(table)
        let rest = ignoredPrefix == nil ? "" : " without its default route"
        return "\(isIPv6 ? "IPv6 rule" : "rule") \(priority): \(what) → table \(name)\(rest)"
    }

    private func message(_ type: Int, flags: Int32, _ action: String) -> NetlinkMessage {
        var request = NetlinkMessage(type, flags: flags, action: "\(action) the \(words)")
        var header = fib_rule_hdr()
        header.family = isIPv6 ? UInt8(AF_INET6) : UInt8(AF_INET)
        header.src_len = UInt8(truncatingIfNeeded: source?.prefix ?? 0)
        header.action = UInt8(FR_ACT_TO_TBL)
        request.put(fixed: header)
        request.attribute(Int(FRA_PRIORITY), priority)
        request.attribute(Int(FRA_TABLE), table)
        request.attribute(Int(FRA_PROTOCOL), RoutingRule.owner)
        if let source { request.attribute(Int(FRA_SRC), source.address.wire) }
        if let mark { request.attribute(Int(FRA_FWMARK), mark) }
        if let mask { request.attribute(Int(FRA_FWMASK), mask) }
        if let ignoredPrefix { request.attribute(Int(FRA_SUPPRESS_PREFIXLEN), ignoredPrefix) }
        return request
    }

    /// Makes the rule; one that is there already is fine.
    var addition: NetlinkMessage {
        var request = message(Int(RTM_NEWRULE), flags: NLM_F_CREATE | NLM_F_EXCL, "add")
        request.tolerated = [EEXIST]
        return request
    }

    /// Takes the rule away; a missing one is fine.
    var removal: NetlinkMessage {
        var request = message(Int(RTM_DELRULE), flags: 0, "remove")
        request.tolerated = [ENOENT, EAFNOSUPPORT]
        return request
    }
}

extension UInt32 {
    /// Four bytes, the highest first.
    var bigEndianBytes: [UInt8] { [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: self >> $0) } }
}

extension NetlinkSocket {
    /// Rules of both families that carry Ursa's number.
    func ownRules() throws(UrsaError) -> [RoutingRule] {
        var result: [RoutingRule] = []
        for family in [AF_INET, AF_INET6] {
            var request = NetlinkMessage(Int(RTM_GETRULE), action: "list the routing rules")
            var header = fib_rule_hdr()
            header.family = UInt8(truncatingIfNeeded: family)
            request.put(fixed: header)
            request.tolerated = [EAFNOSUPPORT, EOPNOTSUPP]
            result += (try self.request(request, dump: true) ?? []).compactMap { RoutingRule($0) }
        }
        return result
    }
}
