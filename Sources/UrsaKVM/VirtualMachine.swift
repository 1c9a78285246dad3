import CLinux
public import UrsaBase

/// A virtual machine of the kernel: memory slots and virtual processors.
///
/// The kernel's object and the memory in its slots live until this value and every `VCPU` made from it are gone.
public struct VirtualMachine: ~Copyable, Sendable {
    /// What machine and processors share. Memory is owned here, so that it can't be unmapped, and its addresses reused
    /// by something else, while a guest still runs on them.
    final class Shared: Sendable {
        let fd: OwnedFD
        let memory = Locked<[GuestMemory]>([])
        init(_ fd: consuming OwnedFD) { self.fd = fd }
    }

    private let shared: Shared
    private let runSize: Int

    init(_ fd: consuming OwnedFD, runSize: Int) {
        shared = Shared(fd)
        self.runSize = runSize
    }

    /// The descriptor, valid while this value lives, for requests that have no function here yet.
    public var descriptor: Int32 { shared.fd.raw }

    /// Puts memory into a new slot.
    ///
    /// - Parameters:
    ///   - memory: owned by the machine from now on.
    ///   - slot: number of a slot that is not in use.
    ///   - address: guest-physical address, a multiple of 4096; must not overlap another slot.
    public func add(_ memory: GuestMemory, slot: UInt32, at address: UInt64) throws(UrsaError) {
        var region = kvm_userspace_memory_region()
        region.slot = slot
        region.guest_phys_addr = address
        region.memory_size = UInt64(memory.size)
        region.userspace_addr = UInt64(UInt(bitPattern: memory.base))
        try check(
            clinux_ioctl(shared.fd.raw, CLINUX_KVM_SET_USER_MEMORY_REGION, &region),
            "KVM_SET_USER_MEMORY_REGION (slot \(slot), \(memory.size) bytes at 0x\(String(address, radix: 16)))")
        shared.memory.withLock { $0.append(memory) }
    }

    #if arch(x86_64)
        /// Names the three pages below 4 GiB and the one page that Intel processors need for running real mode; they must
        /// not be memory of a slot. Call before the first processor is made (api.rst, 4.35 and 4.39).
        public func reserveRealModePages(tss: UInt64 = 0xfffb_d000, identityMap: UInt64 = 0xfffb_c000) throws(UrsaError)
        {
            try check(clinux_kvm_ioctl_value(shared.fd.raw, CLINUX_KVM_SET_TSS_ADDR, tss), "KVM_SET_TSS_ADDR")
            var address = identityMap
            try check(
                clinux_ioctl(shared.fd.raw, CLINUX_KVM_SET_IDENTITY_MAP_ADDR, &address), "KVM_SET_IDENTITY_MAP_ADDR")
        }
    #endif

    /// Makes a virtual processor.
    ///
    /// - Parameter id: its number, unique in the machine; on x86 also its APIC id.
    public func makeVCPU(id: UInt32 = 0) throws(UrsaError) -> VCPU {
        let fd = try check(
            clinux_kvm_ioctl_value(shared.fd.raw, CLINUX_KVM_CREATE_VCPU, UInt64(id)), "KVM_CREATE_VCPU(\(id))")
        return try VCPU(OwnedFD(fd), runSize: runSize, of: shared)
    }
}
