import UrsaBase

/// Whether somebody holds the ports of DNS or DHCP on every address, so that a network's own service can't have them.
struct ServicePortsCheck: Check {
    let topic = "ports"

    func examine(_ host: HostFacts) -> [Finding] {
        var findings: [Finding] = []
        for (port, service, tables) in [
            (53, "DNS", ["udp", "udp6", "tcp", "tcp6"]), (67, "DHCP", ["udp"]), (547, "DHCPv6", ["udp6"]),
        ] as [(UInt16, String, [String])] {
            let sockets = tables.flatMap { host.boundSockets($0) }
            guard let socket = sockets.first(where: { $0.port == port && $0.isWildcard }) else { continue }
            guard let holder = host.holder(of: socket.inode) else {
                findings.append(warning("port \(port) (\(service)) is held on every address by an unknown process"))
                continue
            }
            let commandLine = host.peek("/proc/\(holder.pid)/cmdline") ?? ""
            // Our own dnsmasq binds the wildcard for DHCP, tied to its bridge by SO_BINDTODEVICE.
            if commandLine.contains(host.run + "/") || commandLine.contains(host.home + "/") { continue }
            findings.append(
                warning(
                    "port \(port) (\(service)) is held on every address by \(holder.name) (pid \(holder.pid)): "
                        + "networks on the host can't serve \(service)",
                    remedy: host.service(of: holder.pid).map { host.command("systemctl", "disable", "--now", $0) }))
        }
        return findings.isEmpty ? [ok("DNS and DHCP ports are free for networks")] : findings
    }
}
