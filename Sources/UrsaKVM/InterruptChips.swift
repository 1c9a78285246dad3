#if arch(x86_64)
    public import CLinux
    public import UrsaBase

    /// The interrupt chips, timer and clock that the kernel can emulate for a PC.
    extension VirtualMachine {
        /// Makes the two 8259s, the IOAPIC and, for processors made afterwards, the local APICs (KVM_CREATE_IRQCHIP; api.rst, 4.24).
        public func makeInterruptChips() throws(UrsaError) {
            try check(clinux_kvm_ioctl_value(descriptor, CLINUX_KVM_CREATE_IRQCHIP, 0), "KVM_CREATE_IRQCHIP")
        }

        /// Makes the 8254 timer, and its port 0x61 for the speaker without sound (KVM_CREATE_PIT2; api.rst, 4.71).
        public func makeTimer() throws(UrsaError) {
            var configuration = kvm_pit_config()
            configuration.flags = UInt32(CLINUX_KVM_PIT_SPEAKER_DUMMY)
            try check(clinux_ioctl(descriptor, CLINUX_KVM_CREATE_PIT2, &configuration), "KVM_CREATE_PIT2")
        }

        /// The state of the timer (KVM_GET_PIT2; api.rst, 4.73).
        public func timer() throws(UrsaError) -> kvm_pit_state2 {
            var state = kvm_pit_state2()
            try check(clinux_ioctl(descriptor, CLINUX_KVM_GET_PIT2, &state), "KVM_GET_PIT2")
            return state
        }

        /// Sets the state of the timer (KVM_SET_PIT2).
        public func setTimer(_ state: kvm_pit_state2) throws(UrsaError) {
            var state = state
            try check(clinux_ioctl(descriptor, CLINUX_KVM_SET_PIT2, &state), "KVM_SET_PIT2")
        }

        /// The state of an interrupt chip (KVM_GET_IRQCHIP; api.rst, 4.26).
        public func interruptChip(_ number: UInt32) throws(UrsaError) -> kvm_irqchip {
            var state = kvm_irqchip()
            state.chip_id = number
            try check(clinux_ioctl(descriptor, CLINUX_KVM_GET_IRQCHIP, &state), "KVM_GET_IRQCHIP(\(number))")
            return state
        }

        /// Sets the state of an interrupt chip; it names which (KVM_SET_IRQCHIP; api.rst, 4.27).
        public func setInterruptChip(_ state: kvm_irqchip) throws(UrsaError) {
            var state = state
            try check(clinux_ioctl(descriptor, CLINUX_KVM_SET_IRQCHIP, &state), "KVM_SET_IRQCHIP(\(state.chip_id))")
        }

        /// The numbers of the chips: first and second 8259, IOAPIC.
        public static var interruptChips: [UInt32] {
            [
                UInt32(CLINUX_KVM_IRQCHIP_PIC_MASTER), UInt32(CLINUX_KVM_IRQCHIP_PIC_SLAVE),
                UInt32(CLINUX_KVM_IRQCHIP_IOAPIC),
            ]
        }

        /// Nanoseconds of the paravirtual clock (KVM_GET_CLOCK; api.rst, 4.29).
        public func clock() throws(UrsaError) -> UInt64 {
            var data = kvm_clock_data()
            try check(clinux_ioctl(descriptor, CLINUX_KVM_GET_CLOCK, &data), "KVM_GET_CLOCK")
            return data.clock
        }

        /// Sets the paravirtual clock (KVM_SET_CLOCK; api.rst, 4.30).
        public func setClock(_ nanoseconds: UInt64) throws(UrsaError) {
            var data = kvm_clock_data()
            data.clock = nanoseconds
            try check(clinux_ioctl(descriptor, CLINUX_KVM_SET_CLOCK, &data), "KVM_SET_CLOCK")
        }
    }
#endif
