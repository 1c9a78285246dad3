/// Whether the host forwards packets.
struct ForwardingCheck: Check {
    let topic = "forwarding"

    func examine(_ host: HostFacts) -> [Finding] {
        let switches = [
            ("IPv4", "/proc/sys/net/ipv4/ip_forward"), ("IPv6", "/proc/sys/net/ipv6/conf/all/forwarding"),
        ]
        let off = switches.filter { host.peek($0.1) != "1" }
        let missing = off.filter { host.peek($0.1) == nil }
        var findings = missing.map { note("this kernel has no \($0.0)") }
        let closed = off.filter { entry in !missing.contains { $0.0 == entry.0 } }.map(\.0)
        if closed.isEmpty {
            if missing.count < switches.count {
                let who = HostFacts.forwardingOwners.filter { host.exists($0.path) }.map(\.name)
                findings.append(ok("on" + (who.isEmpty ? "" : ", perhaps by \(who.joined(separator: ", "))")))
            }
        } else {
            findings.append(
                note(
                    "\(closed.joined(separator: " and ")) off: ursa switches it on with the first NAT network and back off after the last"
                ))
        }
        return findings
    }
}

extension HostFacts {
    /// Who is known to switch forwarding on, by a path that shows their presence.
    fileprivate static let forwardingOwners: [(name: String, path: String)] = [
        ("Docker", "/sys/class/net/docker0"), ("libvirt", "/sys/class/net/virbr0"),
        ("LXD or Incus", "/sys/class/net/lxdbr0"), ("Incus", "/sys/class/net/incusbr0"),
        ("Kubernetes", "/sys/class/net/cni0"),
    ]
}
