/// Whether the running kernel has the modules that machines and networks need.
struct KernelModulesCheck: Check {
    let topic = "modules"

    /// Modules and what for.
    private static let needed: [(name: String, purpose: String, isVital: Bool)] = [
        ("tun", "network cards of machines", true),
        ("bridge", "networks of several machines", true),
        ("veth", "joining networks to the host", true),
        ("nf_tables", "NAT and published ports", true),
        ("vhost_net", "fast network cards", false),
    ]

    func examine(_ host: HostFacts) -> [Finding] {
        var wanted = KernelModulesCheck.needed
        if let module = host.processor.virtualization?.module {
            wanted.append((module, "hardware virtualization", false))
        }
        let loadable = host.exists("/proc/modules")
        if loadable, !host.kernelRelease.isEmpty, !host.exists(host.modulesFolder) {
            return [
                warning(
                    "the modules of the running kernel \(host.kernelRelease) are not on the disk (upgraded since?): "
                        + "nothing more can be loaded until the next start",
                    remedy: host.command("systemctl", "reboot"))
            ]
        }
        var findings: [Finding] = []
        var present: [String] = []
        var untold: [String] = []
        for module in wanted {
            switch host.module(module.name) {
            case .loaded, .builtIn: present.append(module.name)
            case .available: present.append("\(module.name) (loaded when needed)")
            case .unknown: untold.append(module.name)
            case .absent:
                let message = "the kernel \(host.kernelRelease) has no module \(module.name): \(module.purpose)"
                findings.append(module.isVital ? problem(message) : note(message))
            }
        }
        if !present.isEmpty { findings.append(ok(present.joined(separator: ", "))) }
        if !untold.isEmpty {
            findings.append(
                note("this kernel does not tell whether it has \(untold.joined(separator: ", ")); their first use will")
            )
        }
        return findings
    }
}
