import Glibc

/// Whether network cards can be served inside the kernel.
struct VhostCheck: Check {
    let topic = "vhost"
    private let device = "/dev/vhost-net"

    func examine(_ host: HostFacts) -> [Finding] {
        if host.exists(device) {
            return access(host.path(device), R_OK | W_OK) == 0
                ? [ok("\(device) can be opened")] : [note("\(device) can be opened by root only")]
        }
        let state = host.module("vhost_net")
        let remedy = state == .available ? host.command("modprobe", "vhost_net") : nil
        return [
            note(
                "no \(device): network cards are served by QEMU itself, which costs more processor time", remedy: remedy
            )
        ]
    }
}
