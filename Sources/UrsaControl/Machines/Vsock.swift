import CLinux
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
    /// it. A socket that is made there gets the machine's group and is writable for it, whatever the umask of the program
    /// that listens is, where the filesystem has access control lists (acl(5)).
    ///
    /// - Parameter user: the machine's user; nil when that is the caller's own.
    func prepare(_ user: Program.User?) throws(UrsaError) {
        try File.makeDirectory(folder, mode: 0o700)
        guard let user else { return }
        try retrying("give \(folder) to the machine's group") { chown(folder, 0, user.gid) }
        // With the set-group-ID bit what is made inside has the folder's group.
        try retrying("set the mode of \(folder)") { chmod(folder, 0o2710) }
        _ = clinux_set_attribute(
            folder, "system.posix_acl_default", VsockView.defaultList, UInt64(VsockView.defaultList.count))
    }

    /// What owner, group and others may do with what is made in the folder: all, all, nothing. The form is that of
    /// linux/posix_acl_xattr.h: version 2, then tag, rights and an id that is not used, all little-endian.
    private static let defaultList: [UInt8] = {
        var bytes: [UInt8] = [2, 0, 0, 0]
        for (tag, rights) in [(0x01, 7), (0x04, 7), (0x20, 0)] as [(UInt8, UInt8)] {
            bytes += [tag, 0, rights, 0, 0xff, 0xff, 0xff, 0xff]
        }
        return bytes
    }()
}
