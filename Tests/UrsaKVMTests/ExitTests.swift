import CLinux
import Glibc
import Testing
import UrsaBase

@testable import UrsaKVM

/// Bare guests on whatever /dev/kvm there is.
@Suite(.enabled(if: hasKVM, "needs /dev/kvm")) struct ExitTests {
    @Test func `a read of a port gets what was put into the shared page, by the next run`() throws {
        // mov dx, 0x510; in ax, dx; add ax, 1; out dx, ax; hlt
        let guest = try BareGuest([0xba, 0x10, 0x05, 0xed, 0x05, 0x01, 0x00, 0xef, 0xf4])
        #expect(try guest.processor.enter() == .exited && guest.processor.exitReason == UInt32(KVM_EXIT_IO))
        let read = clinux_kvm_port_exit(guest.processor.runState)
        #expect(read.port == 0x510 && read.size == 2 && read.count == 1 && read.is_write == 0)
        let place = guest.processor.portData(read)
        try #require(place).storeBytes(of: 41, as: UInt16.self)
        #expect(try guest.processor.enter() == .exited)
        let write = clinux_kvm_port_exit(guest.processor.runState)
        #expect(write.is_write == 1)
        let answer = guest.processor.portData(write)
        #expect(answer?.load(as: UInt16.self) == 42)
        #expect(try guest.processor.enter() == .exited && guest.processor.exitReason == UInt32(KVM_EXIT_HLT))
    }

    @Test func `a string instruction comes as one exit or several, and all of it comes`() throws {
        // mov si, 0x1100; mov cx, 300; mov dx, 0x3f8; cld; rep outsb; hlt
        let guest = try BareGuest([0xbe, 0x00, 0x11, 0xb9, 0x2c, 0x01, 0xba, 0xf8, 0x03, 0xfc, 0xf3, 0x6e, 0xf4])
        let text = (0..<300).map { UInt8(truncatingIfNeeded: $0) }
        try guest.memory.store(text, at: 0x1100)
        var got: [UInt8] = []
        while try guest.processor.enter() == .exited, guest.processor.exitReason == UInt32(KVM_EXIT_IO) {
            let exit = clinux_kvm_port_exit(guest.processor.runState)
            let data = guest.processor.portData(exit)
            got += UnsafeRawBufferPointer(start: try #require(data), count: Int(exit.size) * Int(exit.count))
        }
        #expect(got == text)
    }

    @Test func `an access without memory behind it is an exit with its address`() throws {
        // mov ax, 0x2000; mov ds, ax; mov ax, [0x10]; mov [0x20], ax; hlt
        let guest = try BareGuest([
            0xb8, 0x00, 0x20, 0x8e, 0xd8, 0xa1, 0x10, 0x00, 0xa3, 0x20, 0x00, 0xf4,
        ])
        #expect(try guest.processor.enter() == .exited && guest.processor.exitReason == UInt32(KVM_EXIT_MMIO))
        let read = clinux_kvm_memory_exit(guest.processor.runState)
        #expect(read.address == 0x20010 && read.size == 2 && read.is_write == 0)
        UnsafeMutableRawPointer(read.data).storeBytes(of: 0xbeef, as: UInt16.self)
        #expect(try guest.processor.enter() == .exited)
        let write = clinux_kvm_memory_exit(guest.processor.runState)
        #expect(write.address == 0x20020 && write.is_write == 1)
        #expect(UnsafeRawPointer(write.data).load(as: UInt16.self) == 0xbeef)
    }

    @Test func `a kick takes a processor out of an endless loop, and one that comes before the run is not lost`() throws
    {
        try check(clinux_kvm_install_kick(), "install the signal handler")
        let guest = try BareGuest([0xeb, 0xfe])
        guest.processor.requestExit()
        #expect(try guest.processor.enter() == .interrupted)
        guest.processor.clearExitRequest()
        let state = guest.processor.runState
        nonisolated(unsafe) let shared = state
        let thread = clinux_gettid()
        let kicker = try OSThread {
            pause(milliseconds: 50)
            clinux_kvm_request_exit(shared)
            _ = clinux_kvm_kick(thread)
        }
        let start = Deadline.now
        #expect(try guest.processor.enter() == .interrupted)
        #expect(Deadline.now.seconds(since: start) < 5)
        kicker.join()
    }

    @Test func `a doorbell counts the guest's writes without an exit, and only those of its value`() throws {
        let bell = OwnedFD(try check(clinux_eventfd(), "make an eventfd"))
        // mov dx, 0x600; mov ax, 7; out dx, ax; out dx, ax; mov ax, 8; out dx, ax; hlt
        let guest = try BareGuest([
            0xba, 0x00, 0x06, 0xb8, 0x07, 0x00, 0xef, 0xef, 0xb8, 0x08, 0x00, 0xef, 0xf4,
        ])
        let place = DoorbellPlace(address: 0x600, size: 2, match: 7, isPort: true)
        try guest.machine.addDoorbell(place, eventFD: bell.raw)
        #expect(try guest.processor.enter() == .exited && guest.processor.exitReason == UInt32(KVM_EXIT_IO))
        let exit = clinux_kvm_port_exit(guest.processor.runState)
        let rung = guest.processor.portData(exit)
        #expect(rung?.load(as: UInt16.self) == 8)
        var count: UInt64 = 0
        #expect(read(bell.raw, &count, 8) == 8 && count == 2)
        try guest.machine.removeDoorbell(place, eventFD: bell.raw)
        #expect(throws: UrsaError.self) { try guest.machine.removeDoorbell(place, eventFD: bell.raw) }
    }

    @Test func `an eventfd raises an interrupt by its route, also one that was signalled before it was attached`()
        throws
    {
        let event = OwnedFD(try check(clinux_eventfd(), "make an eventfd"))
        // Sets the first 8259 up (vectors from 8, all unmasked), enables interrupts and waits; the handler writes a port.
        let guest = try BareGuest(
            [
                0xb0, 0x11, 0xe6, 0x20, 0xb0, 0x08, 0xe6, 0x21, 0xb0, 0x04, 0xe6, 0x21, 0xb0, 0x01, 0xe6, 0x21, 0xb0,
                0x00,
                0xe6, 0x21, 0xfb, 0xf4, 0xeb, 0xfd,
            ], withChips: true)
        // Handler of interrupt 4, vector 12, at 0x2000: out 0xe9, al
        try guest.memory.store([0x00, 0x20, 0x00, 0x00], at: 12 * 4)
        try guest.memory.store([0xe6, 0xe9, 0xf4], at: 0x2000)
        try guest.machine.setRoutes(InterruptRoute.pc)
        clinux_eventfd_signal(event.raw)
        // Held back until the guest is ready, as a masked vector would be.
        #expect(clinux_eventfd_is_set(event.raw) == 1)
        let exit = try withoutHanging(guest.processor) {
            try? guest.machine.attachInterrupt(eventFD: event.raw, gsi: 4)
        }
        #expect(exit == .port(0xe9, size: 1, isWrite: true, data: [0]))
        try guest.machine.detachInterrupt(eventFD: event.raw, gsi: 4)
    }

    /// Runs in slices, with `body` after the first.
    private func withoutHanging(_ processor: borrowing VCPU, _ body: () -> Void) throws -> VCPU.Exit {
        var exit = try processor.run(limit: 0.2)
        body()
        for _ in 0..<20 where exit == .interrupted { exit = try processor.run(limit: 0.2) }
        return exit
    }

    @Test func `the dirty log has the pages that the guest wrote, once`() throws {
        let kvm = try KVM()
        // mov [0x3000], al; mov [0x5000], al; hlt
        let guest = try BareGuest([0xa2, 0x00, 0x30, 0xa2, 0x00, 0x50, 0xf4])
        try guest.machine.setSlot(
            0, at: 0, guest.memory.base, 0x10000, options: .logsDirtyPages, owner: guest.memory)
        #expect(try guest.processor.enter() == .exited)
        let log = try guest.machine.takeDirtyLog(slot: 0, size: 0x10000)
        #expect(log.count == 1 && log[0] & (1 << 3 | 1 << 5) == 1 << 3 | 1 << 5)
        #expect(try guest.machine.takeDirtyLog(slot: 0, size: 0x10000)[0] & (1 << 5) == 0)
        _ = consume kvm
    }
}
