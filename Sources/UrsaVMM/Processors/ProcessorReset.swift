import CLinux
import UrsaBase
import UrsaKVM

/// A processor's state as KVM makes it, kept to put a processor back to it.
struct FreshProcessor {
    private let general: kvm_regs
    let system: kvm_sregs
    private let floatingPoint: kvm_fpu
    private let extended: kvm_xcrs
    private let debug: kvm_debugregs
    private let localAPIC: kvm_lapic_state
    private let events: kvm_vcpu_events
    private let state: UInt32

    /// Takes the state of a processor that has not run yet, with its CPUID set.
    init(_ processor: borrowing VCPU) throws(UrsaError) {
        state = try processor.multiprocessorState()
        general = try processor.registers()
        system = try processor.systemRegisters()
        floatingPoint = try processor.floatingPoint()
        extended = try processor.extendedControl()
        debug = try processor.debugRegisters()
        localAPIC = try processor.localAPIC()
        events = try processor.events()
    }

    /// Puts a processor back. The time stamp counter goes on, as over a reset of some hardware.
    func restore(_ processor: borrowing VCPU) throws(UrsaError) {
        try processor.setMultiprocessorState(state)
        try processor.setRegisters(general)
        try processor.setSystemRegisters(system)
        try processor.setFloatingPoint(floatingPoint)
        // Without XSAVE there are no extended registers to set.
        if extended.nr_xcrs > 0 { try processor.setExtendedControl(extended) }
        try processor.setDebugRegisters(debug)
        try processor.setLocalAPIC(localAPIC)
        for register in FreshProcessor.modelRegisters {
            // One by one: not every host has all of them, and KVM stops at the first that it refuses.
            _ = try processor.trySetModelRegisters([register])
        }
        try processor.setEvents(events)
    }

    /// What the first kernel code finds: caching on (MTRRdefType: enabled, write-back), quick string operations.
    static func prepare(_ processor: borrowing VCPU) throws(UrsaError) {
        try processor.setModelRegisters([ModelRegister(0x2ff, 0x806)])
        _ = try processor.trySetModelRegisters([ModelRegister(0x1a0, 1)])
    }

    /// Registers that a guest may have changed, with their values after a reset (Intel SDM 3A, table 9-1; 4), and those by which a guest
    /// gave KVM pages of its memory to write to (Documentation/virt/kvm/x86/msr.rst), which must not be written to any more.
    private static let modelRegisters: [ModelRegister] = [
        ModelRegister(0x4b56_4d00), ModelRegister(0x4b56_4d01), ModelRegister(0x11), ModelRegister(0x12),
        ModelRegister(0x4b56_4d02), ModelRegister(0x4b56_4d03), ModelRegister(0x4b56_4d04),
        ModelRegister(0x4b56_4d05, 1), ModelRegister(0x4b56_4d06),
        ModelRegister(0x174), ModelRegister(0x175), ModelRegister(0x176),
        ModelRegister(0xc000_0081), ModelRegister(0xc000_0082), ModelRegister(0xc000_0083), ModelRegister(0xc000_0084),
        ModelRegister(0xc000_0102), ModelRegister(0xc000_0103),
        ModelRegister(0x277, 0x0007_0406_0007_0406),
        ModelRegister(0x48), ModelRegister(0x1d9), ModelRegister(0xda0), ModelRegister(0x6e0),
    ]
}
