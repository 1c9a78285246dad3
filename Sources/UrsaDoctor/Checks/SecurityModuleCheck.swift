/// AppArmor or SELinux: which of them may refuse a machine its files.
struct SecurityModuleCheck: Check {
    let topic = "security"

    func examine(_ host: HostFacts) -> [Finding] {
        var findings: [Finding] = []
        if host.peek("/sys/module/apparmor/parameters/enabled") == "Y" {
            let hasProfile = host.exists("/etc/apparmor.d/usr.sbin.dnsmasq")
            findings.append(
                hasProfile
                    ? note(
                        "AppArmor confines dnsmasq, which may then not read \(host.run)",
                        remedy: host.command("aa-complain", "/usr/sbin/dnsmasq"))
                    : ok("AppArmor, without a profile for the programs that Ursa starts"))
        }
        switch host.peek("/sys/fs/selinux/enforce") {
        case "1":
            findings.append(
                note(
                    "SELinux enforces: `ausearch -m AVC -ts recent` shows what it refused, if a machine can't open a file"
                ))
        case "0": findings.append(ok("SELinux only logs"))
        default: break
        }
        return findings.isEmpty ? [ok("neither AppArmor nor SELinux")] : findings
    }
}
