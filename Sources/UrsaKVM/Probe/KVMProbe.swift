import CLinux
import Glibc
import UrsaBase

/// Finds out what `/dev/kvm` is worth by running a tiny guest in it.
///
/// The device file proves little: a host may emulate guest kernel mode in software (`kvm_pvm` does), where stock kernels
/// stop at the first instruction that is missing, or take hours. So a guest in long mode, ring 0, with paging and an
/// interrupt table runs the privileged instructions that every kernel's boot needs, then a counted loop long enough to
/// tell its speed. Nested KVM costs tens of microseconds per exit and passes, because the loop makes none.
public enum KVMProbe {
    /// Guest kernel code slower than this counts as emulated: software emulation in the kernel reaches 3–10, nested
    /// KVM below an emulated processor (the slowest that is real) over 100.
    static let slowest = 30.0

    /// Judges the device: 1–10 ms, more only where KVM itself is slow to make a machine or runs below an emulated
    /// processor. Leaves nothing open. The verdict does not change while the host runs with the same modules and rights:
    /// cache it.
    public static func run(_ device: String = "/dev/kvm") -> KVMVerdict {
        let kvm: KVM
        do throws(UrsaError) {
            kvm = try KVM(device)
        } catch {
            return refused(device, error)
        }
        do throws(UrsaError) {
            let version = try kvm.apiVersion()
            guard version == 12 else { return .unusable(reason: "/dev/kvm speaks version \(version), not 12") }
            guard try kvm.value(of: .userMemory) > 0 else { return .unusable(reason: "KVM has no memory slots") }
            #if arch(x86_64)
                return try judge(try ProbeGuest(kvm))
            #else
                _ = try kvm.makeVirtualMachine()
                return .ok
            #endif
        } catch {
            return .unusable(reason: words("KVM makes no machine: \(error.message)"))
        }
    }

    private static func refused(_ device: String, _ error: UrsaError) -> KVMVerdict {
        switch error.code {
        case .notFound: return .missing
        case .permission:
            let status = File.status(device)
            let group = status.map { Accounts.groupName($0.st_gid) ?? "\($0.st_gid)" } ?? "unknown"
            return .noRights(mode: (status?.st_mode ?? 0) & 0o777, group: group)
        default:
            // A device file without a driver behind it (ENODEV, ENXIO) is as good as none.
            return File.status("/sys/class/misc/kvm") == nil && File.status("/sys/module/kvm") == nil
                ? .missing : .unusable(reason: error.message)
        }
    }

    #if arch(x86_64)
        private static func judge(_ guest: consuming ProbeGuest) throws(UrsaError) -> KVMVerdict {
            if let fault = try guest.runPrivilegedInstructions() { return .unusable(reason: words(fault)) }
            let speed = try guest.speed(enough: slowest, until: .after(seconds: 0.3))
            return speed < slowest ? .slow(millionsPerSecond: speed) : .ok
        }
    #endif

    /// A known culprit among the modules, as further words; never the reason for a verdict.
    private static func words(_ reason: String) -> String {
        File.exists("/sys/module/kvm_pvm") ? reason + " (kvm_pvm emulates guest kernels)" : reason
    }
}
