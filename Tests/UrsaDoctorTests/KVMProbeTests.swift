import CLinux
import Glibc
import Testing
import UrsaBase

@testable import UrsaDoctor
@testable import UrsaKVM

private let hasKVM = access("/dev/kvm", R_OK | W_OK) == 0

@Suite("KVM probe", .serialized)
struct KVMProbeTests {
    @Test(.enabled(if: hasKVM, "needs /dev/kvm")) func realDeviceIsJudgedQuicklyWithoutLeak() {
        func openKVM() -> Int {
            File.list("/proc/self/fd").count { name in
                var buffer = [CChar](repeating: 0, count: 256)
                let count = readlink("/proc/self/fd/" + name, &buffer, buffer.count)
                guard count > 0 else { return false }
                let target = String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
                return target.contains("kvm")
            }
        }
        let before = openKVM()
        var best = Double.infinity
        var verdicts: Set<KVMVerdict> = []
        for _ in 0..<20 {
            let start = Deadline.now
            verdicts.insert(KVMProbe.run())
            best = min(best, Deadline.now.seconds(since: start))
        }
        // Below an emulated processor each request costs a hundred times as much.
        let processor = HostFacts().processor
        #expect(best < (processor.isVirtual && processor.virtualization != nil ? 1 : 0.05))
        #expect(openKVM() == before)
        #expect(verdicts.count == 1, "the same host gets the same verdict: \(verdicts)")
        if File.exists("/sys/module/kvm_pvm") {
            #expect(!KVMProbe.run().isUsable, "kvm_pvm does not run stock kernels")
        } else if File.exists("/sys/module/kvm_intel") || File.exists("/sys/module/kvm_amd") {
            #expect(KVMProbe.run() == .ok)
        }
    }

    @Test func absentDeviceIsMissing() {
        #expect(KVMProbe.run("/nonexistent/kvm") == .missing)
    }

    @Test func otherFileIsUnusableAndNamesTheRequest() {
        guard case .unusable(let reason) = KVMProbe.run("/dev/null") else {
            Issue.record("/dev/null is no KVM")
            return
        }
        #expect(reason.contains("KVM_GET_API_VERSION"))
    }

    @Test func verdictsReadAsWords() {
        #expect(
            KVMVerdict.noRights(mode: 0o660, group: "kvm").description == "no rights for /dev/kvm (mode 660, group kvm)"
        )
        #expect(KVMVerdict.slow(millionsPerSecond: 4.4).description.contains("4 million"))
        #expect(KVMVerdict.ok.isUsable && !KVMVerdict.missing.isUsable)
    }

    #if arch(x86_64)
        @Test(.enabled(if: hasKVM, "needs /dev/kvm")) func ringZeroLoopIsMeasured() throws {
            let guest = try ProbeGuest(try KVM())
            let speed = try guest.speed(enough: KVMProbe.slowest, until: .after(seconds: 0.3))
            #expect(speed > 0.1 && speed < 100_000)
            if File.exists("/sys/module/kvm_pvm") { #expect(speed < KVMProbe.slowest) }
        }

        @Test(.enabled(if: hasKVM, "needs /dev/kvm")) func guestThatLoopsForEverIsStopped() throws {
            let machine = try KVM().makeVirtualMachine()
            let memory = try GuestMemory(size: 4096)
            try memory.store([0xeb, 0xfe], at: 0)  // 1: jmp 1b, in real mode
            try machine.add(memory, slot: 0, at: 0)
            let processor = try machine.makeVCPU()
            var system = try processor.systemRegisters()
            system.cs.base = 0
            system.cs.selector = 0
            try processor.setSystemRegisters(system)
            var registers = try processor.registers()
            registers.rip = 0
            registers.rflags = 2
            try processor.setRegisters(registers)
            let start = Deadline.now
            #expect(try processor.run(limit: 0.02) == .interrupted)
            let seconds = Deadline.now.seconds(since: start)
            #expect(seconds > 0.015 && seconds < 2)
        }

        @Test(.enabled(if: hasKVM, "needs /dev/kvm")) func guestWritesItsMemoryAndPorts() throws {
            let machine = try KVM().makeVirtualMachine()
            let memory = try GuestMemory(size: 4096)
            // mov al, 0x42; mov [0x800], al; out 0x80, al; mov [0x2000], al; hlt, in real mode
            try memory.store([0xb0, 0x42, 0xa2, 0x00, 0x08, 0xe6, 0x80, 0xa2, 0x00, 0x20, 0xf4], at: 0)
            try machine.add(memory, slot: 0, at: 0)
            let processor = try machine.makeVCPU()
            var system = try processor.systemRegisters()
            system.cs.base = 0
            system.cs.selector = 0
            try processor.setSystemRegisters(system)
            var registers = try processor.registers()
            registers.rip = 0
            registers.rflags = 2
            try processor.setRegisters(registers)
            var exits: [VCPU.Exit] = []
            try processor.run { exit in
                exits.append(exit)
                return exit != .halt && exits.count < 10
            }
            #expect(
                exits == [
                    .port(0x80, size: 1, isWrite: true, data: [0x42]),
                    .memory(0x2000, size: 1, isWrite: true, data: [0x42]), .halt,
                ])
            #expect(try memory.load(1, at: 0x800) == [0x42])
        }
    #endif

    @Test(.enabled(if: hasKVM, "needs /dev/kvm")) func refusedRequestsNameTheirIoctl() throws {
        let machine = try KVM().makeVirtualMachine()
        let error = #expect(throws: UrsaError.self) { try machine.add(try GuestMemory(size: 4096), slot: 0, at: 7) }
        #expect(error?.message.contains("KVM_SET_USER_MEMORY_REGION (slot 0, 4096 bytes at 0x7)") == true)
    }

    @Test func guestMemoryChecksItsBounds() throws {
        let memory = try GuestMemory(size: 5000)
        #expect(memory.size == 8192)
        try memory.store([1, 2], at: 8190)
        #expect(try memory.load(2, at: 8190) == [1, 2])
        for offset in [8191, -1, Int.max, Int.min] {
            #expect(throws: UrsaError.self) { try memory.store([1, 2], at: offset) }
            #expect(throws: UrsaError.self) { try memory.load(2, at: offset) }
        }
        #expect(throws: UrsaError.self) { try GuestMemory(size: 0) }
        #expect(throws: UrsaError.self) { try memory.load(-1, at: 0) }
    }
}
