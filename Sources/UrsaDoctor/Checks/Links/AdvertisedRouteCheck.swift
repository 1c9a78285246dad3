/// Whether the host keeps the IPv6 default route that a router advertises: with forwarding on, the kernel takes no
/// advertisements any more unless `accept_ra` is 2 (Documentation/networking/ip-sysctl.rst).
struct AdvertisedRouteCheck: Check {
    let topic = "routes"

    func examine(_ host: HostFacts) -> [Finding] {
        let advertised = host.defaultRoutes.filter { $0.isIPv6 && $0.isAdvertised }
        let findings = advertised.compactMap { route -> Finding? in
            let folder = "/proc/sys/net/ipv6/conf/\(route.link)"
            guard host.peek("\(folder)/forwarding") == "1", host.peek("\(folder)/accept_ra") == "1" else { return nil }
            return warning(
                "\(route.link) has its IPv6 default route by advertisement, but forwards, so it takes no further ones: "
                    + "the route ends with its lifetime",
                remedy: host.command("sysctl", "-w", "net.ipv6.conf.\(route.link).accept_ra=2"))
        }
        if !findings.isEmpty { return findings }
        guard let route = advertised.first else { return [ok("no IPv6 default route hangs on advertisements")] }
        return [ok("the advertised IPv6 default route stays (\(route.link))")]
    }
}
