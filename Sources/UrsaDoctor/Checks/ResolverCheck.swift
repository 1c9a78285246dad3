/// Where names of the outside are resolved, for machines too.
struct ResolverCheck: Check {
    let topic = "resolver"

    func examine(_ host: HostFacts) -> [Finding] {
        let servers = ResolverCheck.servers(host.lines("/etc/resolv.conf"))
        guard !servers.isEmpty else {
            return [warning("/etc/resolv.conf names no server: machines resolve only each other's names")]
        }
        let outside = servers.filter { !$0.hasPrefix("127.") && $0 != "::1" }
        if !outside.isEmpty { return [ok("names of the outside by \(outside.joined(separator: ", "))")] }
        let stub = servers[0]
        let behind = ResolverCheck.servers(host.lines("/run/systemd/resolve/resolv.conf")).filter {
            !$0.hasPrefix("127.")
        }
        if !behind.isEmpty {
            return [
                ok(
                    "the stub \(stub) of systemd-resolved; machines are sent to \(behind.joined(separator: ", ")) behind it"
                )
            ]
        }
        let isServed = ["udp", "udp6"].contains { table in
            host.boundSockets(table).contains { $0.port == 53 && ($0.isWildcard || $0.isLoopback) }
        }
        if isServed {
            return [note("the resolver \(stub) serves this host only; machines reach it through their network's DNS")]
        }
        let unit = host.exists("/lib/systemd/system/systemd-resolved.service") ? "systemd-resolved" : nil
        return [
            warning(
                "/etc/resolv.conf names only \(stub), and nothing answers there",
                remedy: unit.map { host.command("systemctl", "enable", "--now", $0) })
        ]
    }

    /// The `nameserver` lines of resolv.conf(5).
    static func servers(_ lines: [Substring]) -> [String] {
        lines.compactMap { line in
            let words = line.split(whereSeparator: \.isWhitespace)
            return words.count > 1 && words[0] == "nameserver" ? String(words[1]) : nil
        }
    }
}
