import Glibc
import UrsaBase
import UrsaModel

extension MachineRecord {
    /// Where its vsock is in its folder; nil when it did not ask for it.
    func vsock(folder: String) -> VsockView? {
        guard spec.vsock, let cid else { return nil }
        return VsockView(cid: cid, machineFolder: folder)
    }
}

extension VsockView {
    /// Makes the folder for sockets that listen for the guest, or brings one that is there in line.
    ///
    /// The monitor's broker connects as the machine's own user: it may pass through the folder, but neither list nor change
    /// it. What is made there gets the machine's group, and whoever listens decides by the socket's mode.
    ///
    /// - Parameter user: the machine's user; nil when that is the caller's own.
    func prepare(_ user: Program.User?) throws(UrsaError) {
        try File.makeDirectory(folder, mode: 0o700)
        guard let user else { return }
        try retrying("give \(folder) to the machine's group") { chown(folder, 0, user.gid) }
        // With the set-group-ID bit what is made inside has the folder's group.
        try retrying("set the mode of \(folder)") { chmod(folder, 0o2710) }
    }
}
