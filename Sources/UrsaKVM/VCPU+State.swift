#if arch(x86_64)
    public import CLinux
    public import UrsaBase

    /// A model-specific register and its value.
    public struct ModelRegister: Sendable, Hashable {
        /// Its number (Intel SDM 4; AMD APM 2, appendix A).
        public var index: UInt32
        /// Its value.
        public var value: UInt64

        /// A register with a value.
        public init(_ index: UInt32, _ value: UInt64 = 0) {
            self.index = index
            self.value = value
        }
    }

    /// The parts of a processor's state besides the general registers. To save a processor take the multiprocessor state first and the events
    /// last; to restore: CPUID, multiprocessor state, registers, system registers, floating point, XCRs, debug registers, local APIC,
    /// MSRs (the deadline of the TSC after the local APIC), events.
    extension VCPU {
        /// Sets model-specific registers (KVM_SET_MSRS; api.rst, 4.19).
        ///
        /// - Throws: `.unsupported` naming the first register that KVM refused; those before it are set.
        public func setModelRegisters(_ registers: [ModelRegister]) throws(UrsaError) {
            let done = try trySetModelRegisters(registers)
            guard done == registers.count else {
                let index = String(registers[done].index, radix: 16)
                throw UrsaError(.unsupported, "KVM_SET_MSRS refuses the register 0x\(index)")
            }
        }

        /// Sets registers in order until KVM refuses one; returns how many were set.
        public func trySetModelRegisters(_ registers: [ModelRegister]) throws(UrsaError) -> Int {
            let raw = registers.map { kvm_msr_entry(index: $0.index, reserved: 0, data: $0.value) }
            let done = try check(clinux_kvm_set_msrs(fd.raw, raw, UInt32(clamping: raw.count)), "KVM_SET_MSRS")
            return min(Int(done), registers.count)
        }

        /// Reads model-specific registers (KVM_GET_MSRS; api.rst, 4.18).
        ///
        /// - Throws: `.unsupported` naming the first register that KVM does not have.
        public func modelRegisters(_ indices: [UInt32]) throws(UrsaError) -> [ModelRegister] {
            var raw = indices.map { kvm_msr_entry(index: $0, reserved: 0, data: 0) }
            let done = try check(clinux_kvm_get_msrs(fd.raw, &raw, UInt32(clamping: raw.count)), "KVM_GET_MSRS")
            guard Int(done) == indices.count else {
                let index = String(indices[Int(done)], radix: 16)
                throw UrsaError(.unsupported, "KVM_GET_MSRS does not know the register 0x\(index)")
            }
            return raw.map { ModelRegister($0.index, $0.data) }
        }

        /// Registers of the local APIC (KVM_GET_LAPIC; api.rst, 4.57); only with the kernel's interrupt chips.
        public func localAPIC() throws(UrsaError) -> kvm_lapic_state {
            try get(CLINUX_KVM_GET_LAPIC, kvm_lapic_state(), "KVM_GET_LAPIC")
        }

        /// Sets the registers of the local APIC (KVM_SET_LAPIC); after the system registers, which have its base.
        public func setLocalAPIC(_ state: kvm_lapic_state) throws(UrsaError) {
            try set(CLINUX_KVM_SET_LAPIC, state, "KVM_SET_LAPIC")
        }

        /// Exceptions, interrupts and NMIs on their way (KVM_GET_VCPU_EVENTS; api.rst, 4.31).
        public func events() throws(UrsaError) -> kvm_vcpu_events {
            try get(CLINUX_KVM_GET_VCPU_EVENTS, kvm_vcpu_events(), "KVM_GET_VCPU_EVENTS")
        }

        /// Sets what is on its way (KVM_SET_VCPU_EVENTS); last of all state.
        public func setEvents(_ events: kvm_vcpu_events) throws(UrsaError) {
            try set(CLINUX_KVM_SET_VCPU_EVENTS, events, "KVM_SET_VCPU_EVENTS")
        }

        /// x87 and SSE registers (KVM_GET_FPU; api.rst, 4.22).
        public func floatingPoint() throws(UrsaError) -> kvm_fpu {
            try get(CLINUX_KVM_GET_FPU, kvm_fpu(), "KVM_GET_FPU")
        }

        /// Sets x87 and SSE registers (KVM_SET_FPU).
        public func setFloatingPoint(_ state: kvm_fpu) throws(UrsaError) {
            try set(CLINUX_KVM_SET_FPU, state, "KVM_SET_FPU")
        }

        /// Extended control registers (KVM_GET_XCRS; api.rst, 4.44).
        public func extendedControl() throws(UrsaError) -> kvm_xcrs {
            try get(CLINUX_KVM_GET_XCRS, kvm_xcrs(), "KVM_GET_XCRS")
        }

        /// Sets extended control registers (KVM_SET_XCRS).
        public func setExtendedControl(_ state: kvm_xcrs) throws(UrsaError) {
            try set(CLINUX_KVM_SET_XCRS, state, "KVM_SET_XCRS")
        }

        /// Debug registers (KVM_GET_DEBUGREGS; api.rst, 4.33).
        public func debugRegisters() throws(UrsaError) -> kvm_debugregs {
            try get(CLINUX_KVM_GET_DEBUGREGS, kvm_debugregs(), "KVM_GET_DEBUGREGS")
        }

        /// Sets debug registers (KVM_SET_DEBUGREGS).
        public func setDebugRegisters(_ state: kvm_debugregs) throws(UrsaError) {
            try set(CLINUX_KVM_SET_DEBUGREGS, state, "KVM_SET_DEBUGREGS")
        }

        /// Frequency of the guest's time stamp counter in kHz (KVM_GET_TSC_KHZ; api.rst, 4.56).
        public func timeStampFrequency() throws(UrsaError) -> UInt32 {
            UInt32(try check(clinux_kvm_ioctl_value(fd.raw, CLINUX_KVM_GET_TSC_KHZ, 0), "KVM_GET_TSC_KHZ"))
        }

        /// Sets the frequency of the time stamp counter in kHz (KVM_SET_TSC_KHZ; api.rst, 4.55); without KVM_CAP_TSC_CONTROL
        /// only what the host has.
        public func setTimeStampFrequency(_ kHz: UInt32) throws(UrsaError) {
            try check(clinux_kvm_ioctl_value(fd.raw, CLINUX_KVM_SET_TSC_KHZ, UInt64(kHz)), "KVM_SET_TSC_KHZ(\(kHz))")
        }

        /// Tells the guest's watchdog, through its paravirtual clock, that it was stopped (KVM_KVMCLOCK_CTRL; api.rst, 4.71). Before a
        /// stopped machine goes on; false when the guest uses no such clock.
        @discardableResult
        public func noteClockPause() throws(UrsaError) -> Bool {
            let result = clinux_kvm_ioctl_value(fd.raw, CLINUX_KVM_KVMCLOCK_CTRL, 0)
            if result == -22 { return false }  // EINVAL: no clock page
            try check(result, "KVM_KVMCLOCK_CTRL")
            return true
        }

        /// Raises a non-maskable interrupt (KVM_NMI; api.rst, 4.64).
        public func raiseNMI() throws(UrsaError) {
            try check(clinux_kvm_ioctl_value(fd.raw, CLINUX_KVM_NMI, 0), "KVM_NMI")
        }
    }
#endif
