/// The formats of disk images, by the names that `qemu-img` gives them.
public enum DiskFormat: String, Sendable, CaseIterable {
    case raw, qcow2, qcow, vmdk, vdi, vpc, vhdx, parallels, dmg, cloop, bochs

    /// Whether `UrsaDisk` writes this format itself.
    public var isWritable: Bool { self == .raw || self == .qcow2 }
}
