/// What `/dev/kvm` of this host is good for.
public enum KVMVerdict: Hashable, Sendable, CustomStringConvertible {
    /// There is no device, or no driver behind it.
    case missing
    /// The caller may not open it: the device's permission bits, and the name of its group.
    case noRights(mode: UInt32, group: String)
    /// It opens, but can't run the kernel mode of a stock guest; the reason in words.
    case unusable(reason: String)
    /// It runs guest kernel code, but so slowly that emulation is better: millions of instructions per second.
    case slow(millionsPerSecond: Double)
    /// It runs guest kernel code at the processor's speed.
    case ok

    /// Whether stock kernels should be run by KVM here; otherwise QEMU's translator is the better choice.
    public var isUsable: Bool { self == .ok }

    /// One clause, to follow "KVM: ".
    public var description: String {
        switch self {
        case .missing: "there is no /dev/kvm"
        case .noRights(let mode, let group):
            "no rights for /dev/kvm (mode \(String(mode, radix: 8)), group \(group))"
        case .unusable(let reason): reason
        case .slow(let speed):
            "guest kernel code runs at only \(Int(speed.rounded())) million instructions per second"
        case .ok: "runs guest kernel code at full speed"
        }
    }
}
