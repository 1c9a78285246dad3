/// Whether the reverse path filter drops what comes in by a second uplink: strict (1), it takes packets only by the link
/// that the answer would leave by (RFC 3704).
struct ReversePathCheck: Check {
    let topic = "uplinks"

    func examine(_ host: HostFacts) -> [Finding] {
        var uplinks: [String] = []
        for route in host.defaultRoutes where !route.isIPv6 && !uplinks.contains(route.link) {
            uplinks.append(route.link)
        }
        guard uplinks.count > 1 else { return [ok("at most one way out, so the reverse path filter loses nothing")] }
        let folder = "/proc/sys/net/ipv4/conf"
        let all = host.peek("\(folder)/all/rp_filter").flatMap { Int($0) } ?? 0
        // The higher one of `all` and the link's own counts.
        let strict = uplinks.filter { max(all, host.peek("\(folder)/\($0)/rp_filter").flatMap { Int($0) } ?? 0) == 1 }
        guard !strict.isEmpty else { return [ok("the reverse path filter lets several uplinks work")] }
        return strict.map { link in
            warning(
                "\(link) is one of \(uplinks.count) uplinks and its reverse path filter is strict: what comes in by it is "
                    + "dropped when answers would leave by another",
                remedy: host.command("sysctl", "-w", "net.ipv4.conf.\(link).rp_filter=2"))
        }
    }
}
