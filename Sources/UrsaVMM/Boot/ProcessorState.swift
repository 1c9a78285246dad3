import CLinux

/// The registers with which the first processor enters a kernel.
struct ProcessorState {
    var general = kvm_regs()
    var system: kvm_sregs

    /// For a kernel's entry.
    ///
    /// - Parameter fresh: the system registers of a processor after its reset.
    init(_ entry: LoadedKernel.Entry, fresh: kvm_sregs) {
        system = fresh
        general.rflags = 2
        general.rsp = BootPlace.stack
        system.gdt.base = BootPlace.gdt
        system.gdt.limit = 0x1f
        system.idt.base = 0
        system.idt.limit = 0
        var code = kvm_segment()
        code.limit = 0xffff_ffff
        code.selector = 0x10
        code.type = 11
        code.present = 1
        code.s = 1
        code.g = 1
        var data = code
        data.selector = 0x18
        data.type = 3
        data.db = 1
        switch entry {
        case .linux64(let address):
            general.rip = address
            general.rsi = BootPlace.zeroPage
            code.l = 1
            system.cr3 = BootPlace.pageTables
            system.cr4 = 0x20  // PAE
            system.cr0 = 0x8000_0011  // PG, ET, PE
            system.efer = 0x500  // LME, LMA
        case .pvh(let address):
            general.rip = address
            general.rbx = BootPlace.startInfo
            code.db = 1
            system.cr3 = 0
            system.cr4 = 0
            system.cr0 = 0x11  // ET, PE
            system.efer = 0
        }
        system.cs = code
        (system.ds, system.es, system.fs, system.gs, system.ss) = (data, data, data, data, data)
        var task = kvm_segment()
        task.limit = 0x67
        task.type = 11
        task.present = 1
        system.tr = task
    }
}
