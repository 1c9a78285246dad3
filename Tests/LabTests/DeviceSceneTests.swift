import TestSupport
import Testing
import UrsaBase

/// Devices that a stock kernel drives, by whole machines of `ursa`.
@Suite(
    .enabled(if: Lab.obstacle == nil, "\(Lab.obstacle ?? "")"),
    .enabled(if: Path.program("socat") != nil, "needs socat: scripts/install-packages lab"), .timeLimit(.minutes(120)))
struct DeviceSceneTests {
    @Test func `a stock kernel uses vsock both ways and several pairs of queues, and sets its clock`() throws {
        try Lab.scene("devices", [], modules: Lab.networkModules)
    }

    @Test func `the kernel's half of virtio-net serves several pairs of queues`() throws {
        try Lab.scene("devices", ["vhost"], modules: Lab.networkModules + " vhost_net")
    }
}
