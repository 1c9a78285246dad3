import CLinux
import Glibc
import Testing
import UrsaBase

@testable import UrsaKVM

@Suite struct StateTests {
    @Test(.enabled(if: hasKVM, "needs /dev/kvm")) func `errors name the request`() throws {
        let guest = try BareGuest([0xf4])
        func words(_ body: () throws(UrsaError) -> Void) -> String {
            do throws(UrsaError) { try body() } catch { return error.message }
            return "no error"
        }
        #expect(words { () throws(UrsaError) in _ = try guest.processor.localAPIC() }.contains("KVM_GET_LAPIC"))
        #expect(
            words { () throws(UrsaError) in
                try guest.processor.setModelRegisters([ModelRegister(0x174, 1), ModelRegister(0x7777_0000)])
            }.contains("0x77770000"))
        #expect(
            words { () throws(UrsaError) in _ = try guest.machine.takeDirtyLog(slot: 9, size: 4096) }
                .contains("KVM_GET_DIRTY_LOG (slot 9)"))
        #expect(
            words { () throws(UrsaError) in try guest.machine.add(GuestMemory(size: 4096), slot: 1, at: 0x1000) }
                .contains("KVM_SET_USER_MEMORY_REGION (slot 1"))
    }

    @Test(.enabled(if: hasKVM, "needs /dev/kvm")) func `state that was read can be set again`() throws {
        let guest = try BareGuest([0xf4], withChips: true)
        let processor = try guest.machine.makeVCPU(id: 1)
        #expect(try processor.multiprocessorState() != guest.processor.multiprocessorState(), "only the first one runs")
        try guest.processor.setLocalAPIC(try guest.processor.localAPIC())
        try guest.processor.setFloatingPoint(try guest.processor.floatingPoint())
        try guest.processor.setDebugRegisters(try guest.processor.debugRegisters())
        try guest.processor.setEvents(try guest.processor.events())
        try guest.processor.setModelRegisters(try guest.processor.modelRegisters([0x174, 0x277]))
        for chip in VirtualMachine.interruptChips {
            try guest.machine.setInterruptChip(try guest.machine.interruptChip(chip))
        }
        #expect(try guest.processor.timeStampFrequency() > 0)
        #expect(try guest.processor.noteClockPause() == false, "this guest has no clock page")
        let clock = try guest.machine.clock()
        try guest.machine.setClock(clock + 1_000_000_000)
        #expect(try guest.machine.clock() >= clock + 1_000_000_000)
    }

    @Test func `each processor's table tells its own id and the same topology`() {
        let host = CPUIDTable([
            .init(function: 0, index: 0, flags: 0, eax: 0x1f, ebx: 0, ecx: 0, edx: 0),
            .init(function: 1, index: 0, flags: 0, eax: 0x800f12, ebx: 0x0702_0800, ecx: 0, edx: 0x1000_0001),
            .init(function: 4, index: 3, flags: 1, eax: 0xfc00_4163, ebx: 0, ecx: 0, edx: 0),
            .init(function: 0xa, index: 0, flags: 0, eax: 0x0730_0404, ebx: 0, ecx: 0, edx: 0x603),
            .init(function: 0xb, index: 0, flags: 1, eax: 1, ebx: 2, ecx: 0x100, edx: 7),
        ])
        for count in [UInt32(1), 2, 3, 8, 254] {
            var ids: Set<UInt32> = []
            for processor in 0..<count {
                let table = host.forGuest(processor: processor, count: count)
                #expect(table[1].map { $0.ebx >> 24 } == processor)
                #expect(table[1].map { $0.ebx >> 16 & 0xff } == count)
                #expect(table[1].map { $0.ecx >> 31 } == 1, "a guest knows that it is one")
                #expect(table[1].map { $0.edx >> 28 & 1 } == (count > 1 ? 1 : 0))
                #expect(table[0xa].map { $0.eax } == 0, "no performance counters")
                #expect(table[0xb, 1].map { $0.ebx } == count && table[0xb, 0].map { $0.ebx } == 1)
                if let bits = table[0xb, 1]?.eax { #expect(processor >> bits == 0 && 1 << bits >= count) }
                #expect(table[4, 3].map { $0.eax >> 14 & 0xfff } == count - 1, "the last cache is everybody's")
                if let id = table[0xb, 0]?.edx { ids.insert(id) }
            }
            #expect(ids.count == Int(count))
        }
    }

    @Test func `the routes of a PC lead to every pin`() throws {
        let pins = InterruptRoute.pc.compactMap { route -> UInt32? in
            if case .ioAPIC(let pin) = route.target, pin == route.gsi { pin } else { nil }
        }
        #expect(pins == Array(0..<24))
        #expect(InterruptRoute.pc.count == 24 + 16)
    }
}
