/// Which links are Wi-Fi: an access point takes frames of its own stations' addresses only, so a bridge can't work.
struct WirelessCheck: Check {
    let topic = "wireless"

    func examine(_ host: HostFacts) -> [Finding] {
        let wireless = host.links.filter { host.exists("/sys/class/net/\($0)/phy80211") }
        guard !wireless.isEmpty else { return [ok("no link is Wi-Fi")] }
        return wireless.map { link in
            if host.exists("/sys/class/net/\(link)/brport") {
                return warning(
                    "\(link) is Wi-Fi and a port of a bridge: machines' frames don't get past the access point",
                    remedy: host.command("ip", "link", "set", link, "nomaster"))
            }
            return note("\(link) is Wi-Fi: it can't be bridged, machines get on its LAN by `model: lan`")
        }
    }
}
