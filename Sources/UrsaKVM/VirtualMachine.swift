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
        let memory = Locked<[any AnyObject & Sendable]>([])
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

    /// What a memory slot is besides memory.
    public struct SlotOptions: OptionSet, Sendable {
        /// The bits (`KVM_MEM_…`).
        public let rawValue: UInt32
        /// From bits.
        public init(rawValue: UInt32) { self.rawValue = rawValue }
        /// Writes of the guest are exits (KVM_CAP_READONLY_MEM). Can't be changed while the slot is there.
        public static let readOnly = SlotOptions(rawValue: UInt32(CLINUX_KVM_MEM_READONLY))
        /// Written pages are noted; see `takeDirtyLog`.
        public static let logsDirtyPages = SlotOptions(rawValue: UInt32(CLINUX_KVM_MEM_LOG_DIRTY_PAGES))
    }

    /// Puts memory into a new slot.
    ///
    /// - Parameters:
    ///   - memory: owned by the machine from now on.
    ///   - slot: number of a slot that is not in use.
    ///   - address: guest-physical address, a multiple of 4096; must not overlap another slot.
    public func add(_ memory: GuestMemory, slot: UInt32, at address: UInt64) throws(UrsaError) {
        try setSlot(slot, at: address, memory.base, UInt64(memory.size), owner: memory)
    }

    /// Defines a memory slot, or changes the options of one that has the same place and size
    /// (KVM_SET_USER_MEMORY_REGION; api.rst, 4.35).
    ///
    /// - Parameters:
    ///   - slot: its number.
    ///   - address: guest-physical address, a multiple of 4096; must not overlap another slot.
    ///   - base: start of the memory in this process, on a page border. KVM maps large pages only where `base` and
    ///     `address` agree in their low 21 bits.
    ///   - size: bytes, a multiple of 4096.
    ///   - owner: keeps the memory mapped; is kept until the machine and its processors are gone.
    public func setSlot(
        _ slot: UInt32, at address: UInt64, _ base: UnsafeMutableRawPointer, _ size: UInt64, options: SlotOptions = [],
        owner: any AnyObject & Sendable
    ) throws(UrsaError) {
        var region = kvm_userspace_memory_region()
        region.slot = slot
        region.flags = options.rawValue
        region.guest_phys_addr = address
        region.memory_size = size
        region.userspace_addr = UInt64(UInt(bitPattern: base))
        try check(
            clinux_ioctl(shared.fd.raw, CLINUX_KVM_SET_USER_MEMORY_REGION, &region),
            "KVM_SET_USER_MEMORY_REGION (slot \(slot), \(size) bytes at 0x\(String(address, radix: 16)))")
        shared.memory.withLock { kept in
            if !kept.contains(where: { $0 === owner }) { kept.append(owner) }
        }
    }

    /// The pages of a slot that were written since the last call, a bit each, lowest first (KVM_GET_DIRTY_LOG; api.rst,
    /// 4.8). Knows of the guest's writes only, not of those by this process or by vhost.
    ///
    /// - Parameter size: the slot's size in bytes, as it was given to `setSlot` with `.logsDirtyPages`.
    public func takeDirtyLog(slot: UInt32, size: UInt64) throws(UrsaError) -> [UInt64] {
        guard size <= 1 << 46 else { throw UrsaError(.usage, "no slot has \(size) bytes") }
        var bitmap = [UInt64](repeating: 0, count: Int((size / 4096 + 63) / 64))
        let result = bitmap.withUnsafeMutableBytes { bytes in
            var request = kvm_dirty_log()
            request.slot = slot
            request.dirty_bitmap = bytes.baseAddress
            return clinux_ioctl(shared.fd.raw, CLINUX_KVM_GET_DIRTY_LOG, &request)
        }
        try check(result, "KVM_GET_DIRTY_LOG (slot \(slot))")
        return bitmap
    }

    /// Switches a capability of the machine on (KVM_ENABLE_CAP; api.rst, 4.37).
    public func enable(_ capability: KVM.Capability, _ argument: UInt64 = 0) throws(UrsaError) {
        var request = kvm_enable_cap()
        request.cap = capability.number
        request.args.0 = argument
        try check(
            clinux_ioctl(shared.fd.raw, CLINUX_KVM_ENABLE_CAP, &request), "KVM_ENABLE_CAP(\(capability.number))")
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
