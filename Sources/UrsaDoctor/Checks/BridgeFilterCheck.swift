/// Whether frames between ports of one bridge are sent through iptables (br_netfilter).
struct BridgeFilterCheck: Check {
    let topic = "bridges"

    func examine(_ host: HostFacts) -> [Finding] {
        switch host.peek("/proc/sys/net/bridge/bridge-nf-call-iptables") {
        case "1":
            [
                note(
                    "br_netfilter: frames between machines on one bridge of the host also pass iptables, and its drops "
                        + "hit them (Kubernetes needs it so)",
                    remedy: host.command("sysctl", "-w", "net.bridge.bridge-nf-call-iptables=0"))
            ]
        case nil: [ok("br_netfilter is not loaded")]
        default: [ok("br_netfilter leaves bridged frames alone")]
        }
    }
}
