import UrsaKVM

/// Whether /dev/kvm is there, may be opened, and runs a guest's kernel mode.
struct KVMDeviceCheck: Check {
    let topic = "kvm"

    func examine(_ host: HostFacts) -> [Finding] {
        switch host.probe() {
        case .ok:
            let engine =
                host.hasOwnProgram("ursa-vmm") ? "" : "; the native engine, ursa-vmm, is not installed: QEMU runs all"
            return [ok("/dev/kvm runs guest kernels at full speed\(engine)")]
        case .unusable(let reason): return [warning("\(reason): machines are emulated (accelerator tcg)")]
        case .slow(let speed):
            return [
                warning(
                    "/dev/kvm runs guest kernels at \(Int(speed.rounded())) million instructions a second: machines "
                        + "are emulated (accelerator tcg), which is faster")
            ]
        case .missing: return [missing(host)]
        case .noRights(let mode, let group): return [refused(host, mode: mode, group: group)]
        }
    }

    private func missing(_ host: HostFacts) -> Finding {
        guard let virtualization = host.processor.virtualization else {
            return warning("no /dev/kvm: machines are emulated")
        }
        let module = virtualization.module
        switch host.module(module) {
        case .absent:
            return warning(
                "no /dev/kvm, and the kernel \(host.kernelRelease) has no module \(module): machines are emulated")
        case .loaded, .builtIn:
            return problem(
                "no /dev/kvm although \(module) is loaded (a container without the device?)",
                remedy: host.command("mknod", "-m", "660", "/dev/kvm", "c", "10", "232"))
        case .available, .unknown:
            return problem("no /dev/kvm: \(module) is not loaded", remedy: host.command("modprobe", module))
        }
    }

    private func refused(_ host: HostFacts, mode: UInt32, group: String) -> Finding {
        let account = host.account
        let rights = "mode 0\(String(mode, radix: 8)), group \(group)"
        if account.uid == 0 {
            return problem("root may not open /dev/kvm (\(rights)): a container's device rule forbids it")
        }
        let groupMayUse = mode & 0o060 == 0o060 && group != "root"
        guard groupMayUse, let entry = host.group(named: group) else {
            return problem(
                "\(account.name) may not open /dev/kvm (\(rights))",
                remedy: host.command("setfacl", "-m", "u:\(account.name):rw", "/dev/kvm"))
        }
        if entry.members.contains(account.name), !account.groups.contains(entry.gid) {
            return problem(
                "\(account.name) is in the group \(group) since after this login",
                remedy: "newgrp \(HostFacts.quoted(group))")
        }
        return problem(
            "\(account.name) may not open /dev/kvm (\(rights)); log in again after the command",
            remedy: host.command("usermod", "-aG", group, account.name))
    }
}
