public import CLinux
import Glibc
public import UrsaBase

/// A virtual processor. Its requests must come from one thread at a time; the kernel serves the thread that made it best.
public struct VCPU: ~Copyable, @unchecked Sendable {
    // SAFETY: what is mutable is the kernel's, which allows one request at a time; `requestExit` is atomic.

    /// Why the guest stopped running.
    public enum Exit: Hashable, Sendable {
        /// An access to an I/O port; `data` is what the guest wrote (empty for a read).
        case port(UInt16, size: Int, isWrite: Bool, data: [UInt8])
        /// An access to an address without memory; `data` is what the guest wrote (empty for a read).
        case memory(UInt64, size: Int, isWrite: Bool, data: [UInt8])
        /// HLT without an interrupt controller in the kernel.
        case halt
        /// A triple fault, or the processor was reset.
        case shutdown
        /// The time given to `run` was up, or a signal came.
        case interrupted
        /// KVM can't go on (`KVM_INTERNAL_ERROR_…`); 1 is an instruction that it can't emulate.
        case internalError(UInt32)
        /// The processor refused the guest's state; the value is its own reason code.
        case entryFailed(UInt64)
        /// Another `KVM_EXIT_…` number.
        case other(UInt32)
    }

    let fd: OwnedFD
    private let shared: VirtualMachine.Shared
    /// The page(s) that the kernel and we share for this processor.
    private let state: UnsafeMutableRawPointer
    private let stateSize: Int

    init(_ fd: consuming OwnedFD, runSize: Int, of shared: VirtualMachine.Shared) throws(UrsaError) {
        guard runSize >= MemoryLayout<kvm_run>.size else {
            throw UrsaError(.unsupported, "KVM_GET_VCPU_MMAP_SIZE gave \(runSize) bytes, too few for struct kvm_run")
        }
        let mapped = mmap(nil, runSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd.raw, 0)
        guard let mapped, mapped != MAP_FAILED else { throw UrsaError.system(.current, "map struct kvm_run") }
        self.fd = fd
        self.shared = shared
        state = mapped
        stateSize = runSize
    }

    deinit { munmap(state, stateSize) }

    /// Runs the guest until it needs us.
    ///
    /// - Parameter limit: longest time in seconds; nil lets it run until a signal comes.
    /// - Throws: the reason of a failing KVM_RUN.
    public func run(limit: Double? = nil) throws(UrsaError) -> Exit {
        // At least one nanosecond: 0 would mean no limit.
        let result = clinux_kvm_run(fd.raw, limit.map { max(1, Int64(max(0, min($0, 1e6)) * 1e9)) } ?? 0)
        if result == -EINTR || result == -EAGAIN { return .interrupted }
        try check(result, "KVM_RUN")
        return exit()
    }

    /// Runs the guest and hands every exit to `handle`, until that returns false.
    public func run(_ handle: (Exit) throws(UrsaError) -> Bool) throws(UrsaError) {
        while try handle(try run()) {}
    }

    /// Copies the exit out of the shared page: its fields are the kernel's, but offsets and counts are checked anyway.
    private func exit() -> Exit {
        let run = state.bindMemory(to: kvm_run.self, capacity: 1)
        switch run.pointee.exit_reason {
        case UInt32(KVM_EXIT_IO):
            let io = run.pointee.io
            let isWrite = Int32(io.direction) == KVM_EXIT_IO_OUT
            let length = Int(io.size) * Int(io.count)
            let offset = Int(clamping: io.data_offset)
            let inside = length <= stateSize && offset <= stateSize - length
            let data = isWrite && inside ? Array(UnsafeRawBufferPointer(start: state + offset, count: length)) : []
            return .port(io.port, size: Int(io.size), isWrite: isWrite, data: data)
        case UInt32(KVM_EXIT_MMIO):
            let access = run.pointee.mmio
            let isWrite = access.is_write != 0
            let data = withUnsafeBytes(of: access.data) { Array($0.prefix(Int(min(access.len, 8)))) }
            return .memory(access.phys_addr, size: Int(access.len), isWrite: isWrite, data: isWrite ? data : [])
        case UInt32(KVM_EXIT_HLT): return .halt
        case UInt32(KVM_EXIT_SHUTDOWN): return .shutdown
        case UInt32(KVM_EXIT_INTR): return .interrupted
        case UInt32(KVM_EXIT_INTERNAL_ERROR): return .internalError(run.pointee.internal.suberror)
        case UInt32(KVM_EXIT_FAIL_ENTRY): return .entryFailed(run.pointee.fail_entry.hardware_entry_failure_reason)
        case let reason: return .other(reason)
        }
    }
}

extension VCPU {
    /// How `enter` came back.
    public enum Entry: Sendable {
        /// The guest needs us: see `exitReason`.
        case exited
        /// A signal came, or an exit was requested.
        case interrupted
    }

    /// KVM_RUN without limit and without any copying, for a monitor's loop. What the guest waits for (data of a read) must be in
    /// `runState` before the next call, which completes the access (api.rst, 5, KVM_EXIT_IO).
    @inline(__always)
    public func enter() throws(UrsaError) -> Entry {
        let result = clinux_kvm_enter(fd.raw)
        if result == 0 { return .exited }
        if result == -EINTR || result == -EAGAIN { return .interrupted }
        throw UrsaError.system(Errno(-result), "KVM_RUN")
    }

    /// Why `enter` returned `.exited` (`KVM_EXIT_…`).
    @inline(__always)
    public var exitReason: UInt32 { clinux_kvm_exit_reason(runState) }

    /// The kernel's and our view of the processor, valid while this value lives. Read it by the functions of CLinux
    /// (`clinux_kvm_port_exit`, …), which copy nothing.
    @inline(__always)
    public var runState: UnsafeMutablePointer<kvm_run> { state.assumingMemoryBound(to: kvm_run.self) }

    /// The data of a port exit: where it lies and that it fits, or nil.
    @inline(__always)
    public func portData(_ exit: clinux_port_exit) -> UnsafeMutableRawPointer? {
        let length = UInt64(exit.size) &* UInt64(exit.count)
        guard length <= UInt64(stateSize), exit.offset <= UInt64(stateSize) &- length else { return nil }
        return state + Int(exit.offset)
    }

    /// Makes KVM_RUN return: the next one, or, together with a signal to its thread, the one that is under way (api.rst, 5,
    /// immediate_exit). From any thread.
    public func requestExit() { clinux_kvm_request_exit(runState) }

    /// Takes the request back. What it was for must be looked at after this, not before.
    public func clearExitRequest() { clinux_kvm_clear_exit_request(runState) }

    /// Runnable, halted, waiting for INIT … (`KVM_MP_STATE_…`; KVM_GET_MP_STATE, api.rst, 4.38).
    public func multiprocessorState() throws(UrsaError) -> UInt32 {
        try get(CLINUX_KVM_GET_MP_STATE, kvm_mp_state(), "KVM_GET_MP_STATE").mp_state
    }

    /// Sets whether the processor runs (KVM_SET_MP_STATE).
    public func setMultiprocessorState(_ state: UInt32) throws(UrsaError) {
        try set(CLINUX_KVM_SET_MP_STATE, kvm_mp_state(mp_state: state), "KVM_SET_MP_STATE")
    }

    func get<T>(_ request: UInt64, _ empty: T, _ name: String) throws(UrsaError) -> T {
        var value = empty
        let result = withUnsafeMutablePointer(to: &value) { clinux_ioctl(fd.raw, request, $0) }
        try check(result, name)
        return value
    }

    func set<T>(_ request: UInt64, _ value: T, _ name: String) throws(UrsaError) {
        var value = value
        let result = withUnsafeMutablePointer(to: &value) { clinux_ioctl(fd.raw, request, $0) }
        try check(result, name)
    }
}

#if arch(x86_64)
    extension VCPU {
        /// The general registers, instruction pointer and flags (KVM_GET_REGS).
        public func registers() throws(UrsaError) -> kvm_regs {
            var registers = kvm_regs()
            try check(clinux_ioctl(fd.raw, CLINUX_KVM_GET_REGS, &registers), "KVM_GET_REGS")
            return registers
        }

        /// Sets the general registers, instruction pointer and flags (KVM_SET_REGS).
        public func setRegisters(_ registers: kvm_regs) throws(UrsaError) {
            var registers = registers
            try check(clinux_ioctl(fd.raw, CLINUX_KVM_SET_REGS, &registers), "KVM_SET_REGS")
        }

        /// Segments, control registers and EFER (KVM_GET_SREGS).
        public func systemRegisters() throws(UrsaError) -> kvm_sregs {
            var registers = kvm_sregs()
            try check(clinux_ioctl(fd.raw, CLINUX_KVM_GET_SREGS, &registers), "KVM_GET_SREGS")
            return registers
        }

        /// Sets segments, control registers and EFER (KVM_SET_SREGS).
        public func setSystemRegisters(_ registers: kvm_sregs) throws(UrsaError) {
            var registers = registers
            try check(clinux_ioctl(fd.raw, CLINUX_KVM_SET_SREGS, &registers), "KVM_SET_SREGS")
        }

        /// Sets what the guest's CPUID instruction tells (KVM_SET_CPUID2); before the first run.
        public func setCPUID(_ table: CPUIDTable) throws(UrsaError) {
            try table.withRaw { raw throws(UrsaError) in
                _ = try check(clinux_ioctl(fd.raw, CLINUX_KVM_SET_CPUID2, raw), "KVM_SET_CPUID2")
            }
        }
    }
#endif
