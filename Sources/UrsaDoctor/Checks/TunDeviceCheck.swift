import Glibc
import UrsaBase

/// Whether taps can be opened.
struct TunDeviceCheck: Check {
    let topic = "tun"
    private let device = "/dev/net/tun"

    func examine(_ host: HostFacts) -> [Finding] {
        guard host.exists(device) else {
            switch host.module("tun") {
            case .loaded, .builtIn:
                return [
                    problem(
                        "no \(device) although the kernel has tun (a container?)",
                        remedy: host.command("mknod", "-m", "666", device, "c", "10", "200"))
                ]
            case .absent:
                return [problem("no \(device), and the kernel has no module tun: machines get user networking only")]
            case .available, .unknown:
                return [problem("no \(device): tun is not loaded", remedy: host.command("modprobe", "tun"))]
            }
        }
        guard access(host.path(device), R_OK | W_OK) == 0 else {
            return [
                note(
                    "\(host.account.name) may not open \(device): without root, frames go by sockets, slower than by taps",
                    remedy: host.command("chmod", "666", device))
            ]
        }
        return [ok("\(device) can be opened")]
    }
}
