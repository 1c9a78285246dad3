/// What bridges of the host do to machines that are plugged into them.
struct BridgePortsCheck: Check {
    let topic = "bridges"

    func examine(_ host: HostFacts) -> [Finding] {
        host.links.filter { host.exists("/sys/class/net/\($0)/bridge") }.flatMap { examine(bridge: $0, host) }
    }

    private func examine(bridge: String, _ host: HostFacts) -> [Finding] {
        var findings: [Finding] = []
        if let state = host.link(bridge, "bridge/stp_state"), state != "0" {
            // In hundredths of a second; a port listens and learns for one each.
            let delay = (host.link(bridge, "bridge/forward_delay").flatMap { Int($0) } ?? 1500) / 100 * 2
            findings.append(
                note(
                    "bridge \(bridge) speaks STP: a machine that is plugged in hears nothing for \(delay) s",
                    remedy: host.command("ip", "link", "set", bridge, "type", "bridge", "stp_state", "0")))
        }
        if host.link(bridge, "bridge/multicast_snooping") == "1", host.link(bridge, "bridge/multicast_querier") == "0",
            !host.list("/sys/class/net/\(bridge)/brif").isEmpty
        {
            findings.append(
                note(
                    "bridge \(bridge) snoops multicast and asks nobody: where no router does, IPv6 neighbours are lost after minutes",
                    remedy: host.command("ip", "link", "set", bridge, "type", "bridge", "mcast_snooping", "0")))
        }
        return findings
    }
}
