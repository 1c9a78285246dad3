#if arch(x86_64)
    import CLinux
    import UrsaBase

    /// The probe's guest: one processor in long mode, ring 0, the first 2 MiB mapped to themselves.
    struct ProbeGuest: ~Copyable {
        /// Where things lie in the guest's memory.
        private enum Place {
            static let gdt = 0x500
            static let pageMap = 0x1000, directoryPointers = 0x2000, directory = 0x3000
            static let stackTop = 0x4ff0
            static let scratch = 0x5000
            static let idt = 0x6000
            static let handler = 0x7000
            static let instructions = 0x8000
            static let loop = 0x9000
        }

        /// The port by which the guest says that it is done; QEMU's debug port, no device of KVM's own is there.
        private static let donePort: UInt16 = 0xe9

        /// A run that takes longer, in seconds, never ends. Generous: under nested emulation the very first takes 0.3 s.
        private static let hangs = 1.0

        private let processor: VCPU
        private let program: [ProbeInstruction]

        init(_ kvm: borrowing KVM) throws(UrsaError) {
            let machine = try kvm.makeVirtualMachine()
            try machine.reserveRealModePages()
            let memory = try GuestMemory(size: 0x10000)
            let cpuid = try kvm.supportedCPUID()
            let program = ProbeInstruction.all.filter { $0.isOffered(by: cpuid) }
            try ProbeGuest.fill(memory, program)
            try machine.add(memory, slot: 0, at: 0)
            let processor = try machine.makeVCPU()
            try processor.setCPUID(cpuid)
            try ProbeGuest.enterLongMode(processor, xsave: cpuid[1].map { $0.ecx & 1 << 26 != 0 } ?? false)
            self.program = program
            self.processor = processor
        }

        private static func fill(_ memory: GuestMemory, _ program: [ProbeInstruction]) throws(UrsaError) {
            // Segment descriptors (Intel SDM 3A, 3.4.5): 0x10 is 64-bit code, 0x18 is data, both of ring 0.
            try memory.store(0x00af_9b00_0000_ffff, at: Place.gdt + 0x10)
            try memory.store(0x00cf_9300_0000_ffff, at: Place.gdt + 0x18)
            // Four-level paging (4.5): one page of 2 MiB, present and writable.
            try memory.store(UInt64(Place.directoryPointers) | 0x3, at: Place.pageMap)
            try memory.store(UInt64(Place.directory) | 0x3, at: Place.directoryPointers)
            try memory.store(0x83, at: Place.directory)
            // Interrupt gate (6.14.1) for vector 3, the breakpoint; its handler only returns.
            try memory.store(UInt64(Place.handler) | 0x10 << 16 | 0x8e00 << 32, at: Place.idt + 3 * 16)
            try memory.store([0x48, 0xcf], at: Place.handler)  // iretq
            // The operand of lidt: limit and base.
            try memory.store([0xff, 0x0f, UInt8(Place.idt & 0xff), UInt8(Place.idt >> 8)], at: Place.scratch + 0x40)
            try memory.store(program.flatMap(\.code) + done, at: Place.instructions)
            // 1: dec rcx; jnz 1b
            try memory.store([0x48, 0xff, 0xc9, 0x75, 0xfb] + done, at: Place.loop)
        }

        /// mov dx, port; out dx, al; hlt
        private static let done: [UInt8] = [
            0x66, 0xba, UInt8(truncatingIfNeeded: donePort), UInt8(truncatingIfNeeded: donePort >> 8), 0xee, 0xf4,
        ]

        private static func enterLongMode(_ processor: borrowing VCPU, xsave: Bool) throws(UrsaError) {
            var system = try processor.systemRegisters()
            var code = kvm_segment()
            code.limit = 0xffff_ffff
            code.selector = 0x10
            code.type = 11
            code.present = 1
            code.s = 1
            code.l = 1
            code.g = 1
            var data = code
            data.selector = 0x18
            data.type = 3
            data.l = 0
            data.db = 1
            system.cs = code
            system.ds = data
            system.es = data
            system.fs = data
            system.gs = data
            system.ss = data
            system.gdt.base = UInt64(Place.gdt)
            system.gdt.limit = 0x1f
            system.idt.base = UInt64(Place.idt)
            system.idt.limit = 0xfff
            system.cr3 = UInt64(Place.pageMap)
            // PAE, PGE, OSFXSR, OSXMMEXCPT and, where the processor has it, OSXSAVE.
            system.cr4 = 0x20 | 0x80 | 0x200 | 0x400 | (xsave ? 1 << 18 : 0)
            system.cr0 = 0x8005_0033  // PG, AM, WP, NE, ET, MP, PE
            system.efer = 0x500  // long mode enabled and active
            try processor.setSystemRegisters(system)
        }

        private func registers(at place: Int, count: UInt64 = 0) -> kvm_regs {
            var registers = kvm_regs()
            registers.rip = UInt64(place)
            registers.rsp = UInt64(Place.stackTop)
            registers.rsi = UInt64(Place.scratch)
            registers.rcx = count
            registers.rflags = 2
            return registers
        }

        /// Runs what a kernel's boot needs in ring 0, each instruction once.
        ///
        /// - Returns: nil when all of it worked, else what did not, in words.
        func runPrivilegedInstructions() throws(UrsaError) -> String? {
            try processor.setRegisters(registers(at: Place.instructions))
            let exit = try processor.run(limit: ProbeGuest.hangs)
            if case .port(ProbeGuest.donePort, _, true, _) = exit { return nil }
            var offset = Int(clamping: try processor.registers().rip) - Place.instructions
            var name: String?
            for instruction in program where offset >= 0 {
                name = instruction.name
                offset -= instruction.code.count
            }
            let what =
                name.map { "KVM can't run \($0) in a guest's kernel mode" } ?? "KVM can't run a guest's kernel mode"
            switch exit {
            case .internalError(let number): return "\(what) (internal error \(number))"
            case .shutdown: return "\(what) (the guest fell into a triple fault)"
            case .interrupted: return "\(what) within a second"
            case .entryFailed(let reason): return "\(what) (entry refused, reason 0x\(String(reason, radix: 16)))"
            case .port, .memory, .halt, .other: return "\(what) (unexpected exit: \(exit))"
            }
        }

        /// Millions of instructions per second of a ring-0 loop, at least up to `enough`.
        ///
        /// A run costs more than its instructions: nested, the way in and out takes up to a millisecond, and the first runs
        /// more, until pages are mapped and code is translated. So each length is run three times and the quickest counts,
        /// which also forgives another process that took the processor away; and a low speed is believed only when four
        /// times the length takes at least twice as long, that is when the loop itself and not the way costs the time.
        func speed(enough: Double, until deadline: Deadline) throws(UrsaError) -> Double {
            var best = 0.0
            var before = Double.infinity
            var count: UInt64 = 250
            while true {
                var quickest = Double.infinity
                for _ in 0..<3 { quickest = min(quickest, try seconds(looping: count)) }
                best = max(best, Double(count) * 2 / quickest / 1e6)
                let isBelievable = quickest > 0.001 && quickest > 2 * before
                if best >= enough || isBelievable || count > 1 << 30 || deadline.isPast { return best }
                before = quickest
                count *= 4
            }
        }

        /// How long `count` turns of two instructions take.
        private func seconds(looping count: UInt64) throws(UrsaError) -> Double {
            try processor.setRegisters(registers(at: Place.loop, count: count))
            let start = Deadline.now
            let exit = try processor.run(limit: ProbeGuest.hangs)
            guard case .port(ProbeGuest.donePort, _, true, _) = exit else {
                throw UrsaError(.unsupported, "a counted loop in a guest's kernel mode ended by \(exit)")
            }
            return max(Deadline.now.seconds(since: start), 1e-9)
        }
    }

    /// One instruction (with what it needs to be set up) that kernels use in ring 0.
    struct ProbeInstruction {
        /// Its mnemonic.
        let name: String
        /// Machine code; RSI points to scratch memory.
        let code: [UInt8]
        /// The CPUID bit that must be offered, or nil for what every 64-bit processor has.
        let feature: Feature?

        /// A bit of a CPUID leaf (index 0).
        struct Feature {
            let function: UInt32
            let register: any KeyPath<CPUIDTable.Leaf, UInt32> & Sendable
            let bit: UInt32
        }

        private init(_ name: String, _ code: [UInt8], _ feature: Feature? = nil) {
            self.name = name
            self.code = code
            self.feature = feature
        }

        /// Whether a guest with this CPUID table may use the instruction.
        func isOffered(by table: CPUIDTable) -> Bool {
            guard let feature else { return true }
            return table[feature.function].map { $0[keyPath: feature.register] & 1 << feature.bit != 0 } ?? false
        }

        /// What the boot of a stock Linux kernel does in ring 0, in order of the opcode maps.
        static let all: [ProbeInstruction] = [
            ProbeInstruction("cpuid", [0x31, 0xc0, 0x31, 0xc9, 0x0f, 0xa2]),
            // ecx = KERNEL_GS_BASE, edx:eax = 0
            ProbeInstruction("wrmsr", [0xb9, 0x02, 0x01, 0x00, 0xc0, 0x31, 0xc0, 0x31, 0xd2, 0x0f, 0x30]),
            ProbeInstruction("rdmsr", [0x0f, 0x32]),
            ProbeInstruction("swapgs", [0x0f, 0x01, 0xf8, 0x0f, 0x01, 0xf8]),
            ProbeInstruction("mov to cr3", [0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8]),
            ProbeInstruction("mov to cr4", [0x0f, 0x20, 0xe0, 0x0f, 0x22, 0xe0]),
            ProbeInstruction("invlpg", [0x0f, 0x01, 0x3e]),
            ProbeInstruction("lidt", [0x0f, 0x01, 0x5e, 0x40]),
            ProbeInstruction("sti and cli", [0xfb, 0x90, 0xfa]),
            ProbeInstruction("lock cmpxchg16b", [0xf0, 0x48, 0x0f, 0xc7, 0x0e], Feature(1, \.ecx, 13)),
            ProbeInstruction("popcnt", [0xf3, 0x48, 0x0f, 0xb8, 0xc3], Feature(1, \.ecx, 23)),
            ProbeInstruction("fxsave", [0x48, 0x0f, 0xae, 0x86, 0x00, 0x01, 0x00, 0x00]),
            ProbeInstruction("fxrstor", [0x48, 0x0f, 0xae, 0x8e, 0x00, 0x01, 0x00, 0x00]),
            // ecx = 0, edx:eax = 3: x87 and SSE state
            ProbeInstruction(
                "xsetbv", [0x31, 0xc9, 0x31, 0xd2, 0xb8, 0x03, 0x00, 0x00, 0x00, 0x0f, 0x01, 0xd1],
                Feature(1, \.ecx, 26)),
            ProbeInstruction("xsave", [0x48, 0x0f, 0xae, 0xa6, 0x00, 0x04, 0x00, 0x00], Feature(1, \.ecx, 26)),
            ProbeInstruction("xrstor", [0x48, 0x0f, 0xae, 0xae, 0x00, 0x04, 0x00, 0x00], Feature(1, \.ecx, 26)),
            ProbeInstruction("clac and stac", [0x0f, 0x01, 0xca, 0x0f, 0x01, 0xcb], Feature(7, \.ebx, 20)),
            ProbeInstruction("int3 and iretq", [0xcc]),
        ]
    }

    extension ProbeInstruction.Feature {
        fileprivate init(_ function: UInt32, _ register: any KeyPath<CPUIDTable.Leaf, UInt32> & Sendable, _ bit: UInt32)
        {
            self.init(function: function, register: register, bit: bit)
        }
    }
#endif
