import CLinux
import Glibc
public import UrsaBase

/// The system side of `/dev/kvm`: version, capabilities, and the maker of virtual machines.
///
/// Needs read and write access to the device (usually membership of the group `kvm`). Every failing request is thrown
/// with the name of its ioctl. Source: the kernel's Documentation/virt/kvm/api.rst.
public struct KVM: ~Copyable, Sendable {
    /// A capability number (`KVM_CAP_…` of <linux/kvm.h>).
    public struct Capability: Sendable, Hashable {
        /// The number.
        public let number: UInt32
        /// A capability by its number.
        public init(_ number: UInt32) { self.number = number }
        /// KVM_CAP_USER_MEMORY: memory slots of user memory.
        public static let userMemory = Capability(3)
        /// KVM_CAP_NR_VCPUS: recommended count of virtual processors.
        public static let recommendedProcessors = Capability(9)
        /// KVM_CAP_NR_MEMSLOTS: how many memory slots a machine may have.
        public static let memorySlots = Capability(10)
        /// KVM_CAP_IRQFD: interrupts by eventfd.
        public static let irqfd = Capability(32)
        /// KVM_CAP_IOEVENTFD: doorbells by eventfd.
        public static let ioeventfd = Capability(36)
        /// KVM_CAP_MAX_VCPUS: largest count of virtual processors.
        public static let maximumProcessors = Capability(66)
        /// KVM_CAP_IRQ_ROUTING: lines of the table of interrupt routes.
        public static let interruptRoutes = Capability(25)
        /// KVM_CAP_TSC_CONTROL: the guest's time stamp counter can have another frequency.
        public static let timeStampControl = Capability(60)
        /// KVM_CAP_TSC_DEADLINE_TIMER: the local APIC's timer can have a deadline of the time stamp counter.
        public static let deadlineTimer = Capability(72)
        /// KVM_CAP_READONLY_MEM: slots that the guest can only read.
        public static let readOnlyMemory = Capability(81)
        /// KVM_CAP_IOEVENTFD_ANY_LENGTH: doorbells of every size.
        public static let doorbellsOfAnySize = Capability(122)
        /// KVM_CAP_IMMEDIATE_EXIT: a run can be refused without losing a signal.
        public static let immediateExit = Capability(136)
    }

    /// The device, open for reading and writing.
    let fd: OwnedFD

    /// Opens the device.
    ///
    /// - Throws: `.notFound` when there is no device, `.permission` when the caller may not open it.
    public init(_ device: String = "/dev/kvm") throws(UrsaError) {
        fd = try File.open(device, O_RDWR)
    }

    /// Takes over a descriptor of the device that somebody else opened for reading and writing.
    public init(adopting descriptor: consuming OwnedFD) { fd = descriptor }

    /// The interface version; 12 on every kernel since 2.6.22. Other versions must be refused (api.rst, 4.1).
    public func apiVersion() throws(UrsaError) -> Int {
        Int(try check(clinux_kvm_ioctl_value(fd.raw, CLINUX_KVM_GET_API_VERSION, 0), "KVM_GET_API_VERSION"))
    }

    /// The value of a capability: 0 when absent, else 1 or a count.
    public func value(of capability: Capability) throws(UrsaError) -> Int {
        let number = UInt64(capability.number)
        return Int(
            try check(
                clinux_kvm_ioctl_value(fd.raw, CLINUX_KVM_CHECK_EXTENSION, number), "KVM_CHECK_EXTENSION(\(number))"))
    }

    /// Makes an empty virtual machine of the default type.
    public func makeVirtualMachine() throws(UrsaError) -> VirtualMachine {
        // KVM_CREATE_VM gives EINTR when a signal comes at the wrong moment; it is made again then.
        var raw: Int32
        repeat { raw = clinux_kvm_ioctl_value(fd.raw, CLINUX_KVM_CREATE_VM, 0) } while raw == -EINTR
        let machine = OwnedFD(try check(raw, "KVM_CREATE_VM"))
        let size = try check(
            clinux_kvm_ioctl_value(fd.raw, CLINUX_KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE")
        return VirtualMachine(machine, runSize: Int(size))
    }
}
