/// Whether machines may send larger frames than the way outside carries.
struct FrameSizeCheck: Check {
    let topic = "mtu"

    func examine(_ host: HostFacts) -> [Finding] {
        var uplinks: [String] = []
        for route in host.defaultRoutes where !uplinks.contains(route.link) { uplinks.append(route.link) }
        func size(_ link: String) -> Int? { host.link(link, "mtu").flatMap { Int($0) } }
        guard
            let (narrow, least) = uplinks.compactMap({ link in size(link).map { (link, $0) } }).min(by: { $0.1 < $1.1 })
        else { return [ok("there is no default route")] }
        let wide = host.links.filter { link in
            (host.link(link, "ifalias")?.hasPrefix("ursa:") ?? false) && (size(link) ?? 0) > least
        }
        if !wide.isEmpty {
            return [
                warning(
                    "\(narrow) carries \(least) bytes, \(wide.joined(separator: ", ")) more: large packets of machines "
                        + "depend on ICMP that many firewalls drop; say `mtu: \(least)` in the spec")
            ]
        }
        if least < 1500 {
            return [
                note(
                    "\(narrow) carries \(least) bytes (a tunnel or PPPoE?): say `mtu: \(least)` for networks in the spec"
                )
            ]
        }
        return [ok("the way outside carries \(least) bytes")]
    }
}
