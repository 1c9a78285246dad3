/// Whether a user without rights can make namespaces: rootless networks and image builds need them.
struct UserNamespacesCheck: Check {
    let topic = "userns"

    func examine(_ host: HostFacts) -> [Finding] {
        // Each name is a sysctl below /proc/sys, with the value that forbids.
        let switches = [
            ("user.max_user_namespaces", "0", "15000"), ("kernel.unprivileged_userns_clone", "0", "1"),
            ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
        ]
        for (name, forbids, allows) in switches {
            let path = "/proc/sys/" + name.split(separator: ".").joined(separator: "/")
            guard host.peek(path) == forbids else { continue }
            return [
                note(
                    "\(name) is \(forbids): users without root can't build images or have networks of their own",
                    remedy: host.command("sysctl", "-w", "\(name)=\(allows)"))
            ]
        }
        let account = host.account
        if account.uid != 0, !host.lines("/etc/subuid").contains(where: { $0.hasPrefix(account.name + ":") }) {
            return [
                note(
                    "\(account.name) has no range in /etc/subuid: images can't be built without root",
                    remedy: host.command(
                        "usermod", "--add-subuids", "100000-165535", "--add-subgids", "100000-165535", account.name))
            ]
        }
        return [ok("users may make namespaces")]
    }
}
