/// Root or not, and what that allows.
struct PrivilegeCheck: Check {
    let topic = "rights"

    func examine(_ host: HostFacts) -> [Finding] {
        let account = host.account
        if account.canAdministerNetwork, account.canAdministerSystem {
            return [ok("\(account.name) may make bridges, taps, namespaces and firewall rules")]
        }
        if account.uid == 0 {
            let missing = account.canAdministerNetwork ? "CAP_SYS_ADMIN" : "CAP_NET_ADMIN"
            return [warning("root without \(missing) (a container?): only networks of the model \"user\" work")]
        }
        let firstPort = host.peek("/proc/sys/net/ipv4/ip_unprivileged_port_start") ?? "1024"
        return [
            note(
                "without root: networks live in a private host of your own, ports from \(firstPort) up can be published; "
                    + "bridging to the LAN and names on the host need root",
                remedy: "sudo ursa doctor")
        ]
    }
}
