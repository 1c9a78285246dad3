import CLinux
import Glibc
import UrsaBase

@testable import UrsaKVM

/// Whether this machine can run guests at all; bare ones run on every /dev/kvm.
let hasKVM = access("/dev/kvm", R_OK | W_OK) == 0

/// A guest of a few instructions in real mode, at address 0x1000 of 64 KiB, with the kernel's interrupt chips if wanted.
struct BareGuest: ~Copyable {
    let machine: VirtualMachine
    let processor: VCPU
    let memory: GuestMemory

    init(_ code: [UInt8], withChips: Bool = false) throws(UrsaError) {
        let kvm = try KVM()
        let machine = try kvm.makeVirtualMachine()
        try machine.reserveRealModePages()
        if withChips { try machine.makeInterruptChips() }
        let memory = try GuestMemory(size: 0x10000)
        try memory.store(code, at: 0x1000)
        try machine.add(memory, slot: 0, at: 0)
        let processor = try machine.makeVCPU()
        try processor.setCPUID(try kvm.supportedCPUID().forGuest(processor: 0, count: 1))
        var system = try processor.systemRegisters()
        system.cs.base = 0
        system.cs.selector = 0
        try processor.setSystemRegisters(system)
        var registers = kvm_regs()
        registers.rip = 0x1000
        registers.rsp = 0x8000
        registers.rflags = 2
        try processor.setRegisters(registers)
        self.machine = machine
        self.processor = processor
        self.memory = memory
    }
}
