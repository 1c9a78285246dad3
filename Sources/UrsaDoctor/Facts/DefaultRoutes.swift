/// A link that a default route of the host leads over.
struct DefaultRoute: Sendable, Hashable {
    /// The link's name.
    var link: String
    /// Whether it is of IPv6.
    var isIPv6: Bool
    /// Whether a router's advertisement made it.
    var isAdvertised: Bool
}

extension HostFacts {
    /// The host's default routes, from /proc/net/route and /proc/net/ipv6_route.
    var defaultRoutes: [DefaultRoute] {
        // Iface Destination Gateway Flags RefCnt Use Metric Mask …; flag 1 is RTF_UP.
        let four = networkTable("route").dropFirst().compactMap { line -> DefaultRoute? in
            let fields = line.split(whereSeparator: \.isWhitespace)
            guard fields.count > 7, fields[1] == "00000000", fields[7] == "00000000",
                let flags = UInt32(fields[3], radix: 16), flags & 1 != 0
            else { return nil }
            return DefaultRoute(link: String(fields[0]), isIPv6: false, isAdvertised: false)
        }
        // Destination, its prefix length, source, its length, gateway, metric, references, use, flags, link. RTF_UP,
        // RTF_REJECT 0x0200, RTF_ADDRCONF 0x00040000.
        let six = networkTable("ipv6_route").compactMap { line -> DefaultRoute? in
            let fields = line.split(whereSeparator: \.isWhitespace)
            guard fields.count > 9, fields[0].allSatisfy({ $0 == "0" }), fields[1] == "00",
                let flags = UInt32(fields[8], radix: 16), flags & 1 != 0, flags & 0x200 == 0, fields[9] != "lo"
            else { return nil }
            return DefaultRoute(link: String(fields[9]), isIPv6: true, isAdvertised: flags & 0x40000 != 0)
        }
        return four + six
    }

    /// Names of the host's links.
    var links: [String] { list("/sys/class/net").filter { $0 != "bonding_masters" } }

    /// A link's attribute below /sys/class/net.
    func link(_ name: String, _ attribute: String) -> String? { peek("/sys/class/net/\(name)/\(attribute)") }
}
