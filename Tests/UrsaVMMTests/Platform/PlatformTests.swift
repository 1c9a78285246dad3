import CLinux
import Glibc
import TestSupport
import Testing
import UrsaBase

@testable import UrsaVMM

@Suite struct PlatformTests {
    final class Requests: LifeCycleRequests {
        let all = Locked<[LifeCycleRequest]>([])
        func request(_ request: LifeCycleRequest) { all.withLock { $0.append(request) } }
    }

    @Test func `the bus finds the device of an address and nothing beside it`() throws {
        final class Echo: BusDevice, @unchecked Sendable {
            override func read(offset: UInt64, size: Int) -> UInt64 { offset }
        }
        let bus = Bus()
        for index in 0..<100 { try bus.add(Echo(), at: 0x1000 + UInt64(index) * 16, count: 8, name: "echo \(index)") }
        #expect(bus.read(0x1007, size: 1) == 7 && bus.read(0x1008, size: 1) == .max && bus.read(0xfff, size: 1) == .max)
        #expect(bus.read(0x1000 + 99 * 16 + 3, size: 4) == 3)
        #expect(throws: UrsaError.self) { try bus.add(Echo(), at: 0x1004, count: 8, name: "other") }
        #expect(throws: UrsaError.self) { try bus.add(Echo(), at: .max, count: 2, name: "wraps") }
        try bus.move(from: 0x1000, to: 0x9000)
        #expect(bus.read(0x1000, size: 1) == .max && bus.read(0x9005, size: 1) == 5)
        #expect(throws: UrsaError.self) { try bus.move(from: 0x9000, to: 0x1010) }
        #expect(bus.read(0x9005, size: 1) == 5, "a move that fails changes nothing")
        #expect(bus.remove(at: 0x9000) && !bus.remove(at: 0x9000))
    }

    @Test func `a reader sees a bus before or after each change, never in between`() throws {
        final class Echo: BusDevice, @unchecked Sendable {
            override func read(offset: UInt64, size: Int) -> UInt64 { 7 }
        }
        let bus = Bus()
        try bus.add(Echo(), at: 0x5000, count: 16, name: "fixed")
        try bus.add(Echo(), at: 0x1000, count: 16, name: "moving")
        let isDone = Locked(false)
        let mover = try OSThread {
            for _ in 0..<20_000 {
                try? bus.move(from: 0x1000, to: 0x9000)
                try? bus.move(from: 0x9000, to: 0x1000)
            }
            isDone.withLock { $0 = true }
        }
        var wrong = 0
        while !isDone.withLock({ $0 }) { for _ in 0..<100 where bus.read(0x5008, size: 1) != 7 { wrong += 1 } }
        mover.join()
        #expect(wrong == 0)
    }

    @Test func `a serial port is found, loops back and sends`() throws {
        let controller = try InterruptController(nil)
        let line = try SerialLine(.none)
        let interrupt = try controller.makeLine(gsi: 4)
        let port = SerialPort(line, interrupt)
        try line.start(for: port)
        func isRaised() -> Bool { clinux_eventfd_take(interrupt.eventFD) != 0 }
        // Scratch, loop-back of the modem lines and FIFO: what drivers look for.
        port.write(offset: 7, size: 1, value: 0x5a)
        #expect(port.read(offset: 7, size: 1) == 0x5a)
        port.write(offset: 4, size: 1, value: 0x1a)
        #expect(port.read(offset: 6, size: 1) & 0xf0 == 0x90)
        port.write(offset: 0, size: 1, value: 0x41)
        #expect(port.read(offset: 5, size: 1) & 1 == 1 && port.read(offset: 0, size: 1) == 0x41)
        port.write(offset: 4, size: 1, value: 0x0b)
        port.write(offset: 2, size: 1, value: 1)
        #expect(port.read(offset: 2, size: 1) & 0xc0 == 0xc0)
        // The divisor's latch hides data.
        port.write(offset: 3, size: 1, value: 0x83)
        port.write(offset: 0, size: 1, value: 1)
        #expect(port.read(offset: 0, size: 1) == 1)
        port.write(offset: 3, size: 1, value: 3)
        for byte in "hi".utf8 { port.write(offset: 0, size: 1, value: UInt64(byte)) }
        #expect(line.takeSent() == Array("hi".utf8))
        // Transmitter: enabling its interrupt raises it once, reading its cause ends it.
        _ = isRaised()
        port.write(offset: 1, size: 1, value: 2)
        #expect(isRaised() && port.read(offset: 2, size: 1) & 0xf == 2 && port.read(offset: 2, size: 1) & 0xf == 1)
        // Receiver.
        port.write(offset: 1, size: 1, value: 1)
        #expect(line.receive(Array("ok".utf8)) == 2 && isRaised())
        #expect(port.read(offset: 2, size: 1) & 0xf == 4)
        #expect(port.read(offset: 0, size: 1) == 0x6f && port.read(offset: 0, size: 1) == 0x6b)
        #expect(port.read(offset: 5, size: 1) == 0x60 && port.read(offset: 2, size: 1) & 0xf == 1)
        #expect(line.receive([UInt8](repeating: 1, count: 40)) == 16, "no more than its FIFO holds")
    }

    @Test func `a line nobody reads fills up, and the guest is held back instead of memory growing`() throws {
        let line = try SerialLine(.none)
        let port = SerialPort(line, try InterruptController(nil).makeLine(gsi: 4))
        for _ in 0..<(SerialLine.capacity + 1000) { port.write(offset: 0, size: 1, value: 0x61) }
        #expect(port.read(offset: 5, size: 1) & 0x60 == 0)
        #expect(line.takeSent().count == SerialLine.capacity)
        #expect(port.read(offset: 5, size: 1) & 0x60 == 0x60)
    }

    @Test func `whoever waits at the console's socket gets every byte, and what they type arrives`() throws {
        let scratch = try Scratch()
        let listener = try UnixSocket.listen(scratch.file("console"))
        let client = try UnixSocket.connect(scratch.file("console"))
        let line = try SerialLine(.listener(listener.release()))
        let port = SerialPort(line, try InterruptController(nil).makeLine(gsi: 4))
        try line.start(for: port)
        let text = (0..<200_000).map { UInt8(truncatingIfNeeded: $0 % 251) }
        let reader = Locked<[UInt8]>([])
        let fd = client.raw
        let thread = try OSThread {
            var buffer = [UInt8](repeating: 0, count: 65536)
            var all: [UInt8] = []
            while all.count < text.count {
                let count = read(fd, &buffer, buffer.count)
                if count <= 0 { break }
                all += buffer[0..<count]
            }
            reader.withLock { $0 = all }
        }
        for byte in text {
            while port.read(offset: 5, size: 1) & 0x20 == 0 { sched_yield() }
            port.write(offset: 0, size: 1, value: UInt64(byte))
        }
        thread.join()
        #expect(reader.withLock { $0 } == text)
        let typed = Array("a longer line than sixteen bytes\r".utf8)
        try client.writeAll(typed, to: "the console")
        var got: [UInt8] = []
        let deadline = Deadline.after(seconds: 10)
        while got.count < typed.count, !deadline.isPast {
            if port.read(offset: 5, size: 1) & 1 == 1 {
                got.append(UInt8(port.read(offset: 0, size: 1)))
            } else {
                sched_yield()
            }
        }
        #expect(got == typed)
        line.stop()
    }

    @Test func `the clock answers at once, in decimal digits, in UTC`() {
        // 2023-11-14 22:13:20, a Tuesday
        let clock = Clock(now: { Clock.Moment(seconds: 1_700_000_000, nanoseconds: 0) })
        func register(_ index: UInt64) -> UInt64 {
            clock.write(offset: 0, size: 1, value: index)
            return clock.read(offset: 1, size: 1)
        }
        #expect([0, 2, 4, 6, 7, 8, 9, 0x32].map(register) == [0x20, 0x13, 0x22, 3, 0x14, 0x11, 0x23, 0x20])
        #expect(register(0x0a) & 0x80 == 0 && register(0x0d) == 0x80)
        clock.write(offset: 0, size: 1, value: 0x50)
        clock.write(offset: 1, size: 1, value: 9)
        #expect(register(0x50) == 9 && register(0xd0) == 9, "bit 7 of the index is not part of it")
    }

    /// A clock of a host whose time the test sets, and what it told.
    final class ClockBench {
        let host = Locked(Clock.Moment(seconds: 1_700_000_000, nanoseconds: 250_000_000))
        let told = Locked<[Int]>([])
        let clock: Clock

        init() {
            let (host, told) = (host, told)
            clock = Clock(now: { host.withLock { $0 } }) { lead in told.withLock { $0.append(lead) } }
        }

        func read(_ index: UInt8) -> UInt8 {
            clock.write(offset: 0, size: 1, value: UInt64(index))
            return UInt8(clock.read(offset: 1, size: 1))
        }
        func write(_ index: UInt8, _ value: UInt8) {
            clock.write(offset: 0, size: 1, value: UInt64(index))
            clock.write(offset: 1, size: 1, value: UInt64(value))
        }
        var shown: [UInt8] { [0x32, 9, 8, 7, 4, 2, 0].map(read) }
        func pass(_ seconds: Int) { host.withLock { $0.seconds += seconds } }

        /// As Linux sets it (drivers/rtc/rtc-mc146818-lib.c): the clock held by both registers, then let go.
        func set(_ values: [UInt8]) {
            let (mode, rate) = (read(0x0b), read(0x0a))
            write(0x0b, mode | 0x80)
            write(0x0a, rate | 0x70)
            for (index, value) in zip([0x32, 9, 8, 7, 4, 2, 0] as [UInt8], values) { write(index, value) }
            write(0x0b, mode)
            write(0x0a, rate)
        }
    }

    @Test func `the guest sets the clock, and it goes on from there, over resets too`() {
        let bench = ClockBench()
        bench.set([0x20, 0x30, 0x02, 0x28, 0x23, 0x59, 0x58])
        #expect(bench.shown == [0x20, 0x30, 0x02, 0x28, 0x23, 0x59, 0x58])
        // The divider starts half a second before the next second.
        bench.host.withLock { $0.nanoseconds += 499_000_000 }
        #expect(bench.read(0) == 0x58)
        bench.host.withLock { $0.nanoseconds += 2_000_000 }
        #expect(bench.read(0) == 0x59)
        bench.pass(2)
        #expect(bench.shown == [0x20, 0x30, 0x03, 0x01, 0, 0, 0x01])
        bench.clock.reset()
        #expect(bench.shown == [0x20, 0x30, 0x03, 0x01, 0, 0, 0x01])
        #expect(bench.read(6) == 6, "the 1st of March 2030 is a Friday")
        // date -d '2030-02-28 23:59:58 UTC' +%s, less the host's
        #expect(bench.told.withLock { $0 } == [1_898_553_598 - 1_700_000_000])
    }

    @Test func `a register that is written while the clock runs sets it at once, and the others go on`() {
        let bench = ClockBench()
        bench.write(4, 0x01)
        #expect(bench.shown == [0x20, 0x23, 0x11, 0x14, 0x01, 0x13, 0x20])
        #expect(bench.told.withLock { $0 } == [-21 * 3600])
    }

    @Test func `registers stand while the clock is held, in the form that its mode asks for`() {
        let bench = ClockBench()
        bench.write(0x0b, 0x80 | 0x04)  // held, binary, twelve hours
        bench.pass(5)
        #expect(bench.read(0) == 0x20, "as it was read before")
        bench.write(4, 0x80 | 12)
        bench.write(0, 59)
        for (index, value) in [(2, 13), (7, 14), (8, 11), (9, 23), (0x32, 20)] as [(UInt8, UInt8)] {
            bench.write(index, value)
        }
        bench.write(0x0b, 0x04)
        #expect([0x32, 9, 8, 7, 4, 2, 0].map(bench.read) == [20, 23, 11, 14, 0x80 | 12, 13, 59])
        bench.write(0x0b, 0x02)
        #expect(bench.shown == [0x20, 0x23, 0x11, 0x14, 0x12, 0x13, 0x59])
    }

    @Test func `what the clock has not stays off, and what it keeps comes back`() {
        let bench = ClockBench()
        bench.write(0x0b, 0x7a)
        #expect(bench.read(0x0b) == 0x02, "no alarm, no periodic interrupt, no square wave")
        bench.write(0x0c, 0xff)
        bench.write(0x0d, 0)
        bench.write(5, 0x12)
        #expect(bench.read(0x0c) == 0 && bench.read(0x0d) == 0x80 && bench.read(5) == 0x12)
        bench.write(0x0a, 0xff)
        #expect(bench.read(0x0a) & 0x80 == 0)
    }

    @Test func `no value of any register stops the clock or overflows`() {
        let bench = ClockBench()
        var random = Seeded(9)
        for round in 0..<20_000 {
            bench.write(UInt8(truncatingIfNeeded: random.next()), UInt8(truncatingIfNeeded: random.next()))
            if round % 100 == 0 { _ = bench.shown }
            if round % 1000 == 0 { bench.clock.reset() }
        }
        bench.clock.reset()
        bench.set([0x20, 0x24, 0x01, 0x02, 0x03, 0x04, 0x05])
        #expect(bench.shown == [0x20, 0x24, 0x01, 0x02, 0x03, 0x04, 0x05])
    }

    @Test func `ports of power do what they are for and nothing else`() {
        let requests = Requests()
        let power = PowerManagement(requests)
        for value in 0..<256 { power.write(offset: 0, size: 1, value: UInt64(value)) }
        #expect(requests.all.withLock { $0.filter { $0 == .powerOff(.guestShutdown) }.count } == 16)
        requests.all.withLock { $0 = [] }
        for value in 0..<256 { power.write(offset: 2, size: 1, value: UInt64(value)) }
        ResetPulse(requests, isCommand: true).write(offset: 0, size: 1, value: 0xfe)
        ResetPulse(requests, isCommand: false).write(offset: 0, size: 1, value: 0xfe)
        #expect(requests.all.withLock { $0 } == [.reset(.guestReset), .reset(.guestReset)])
        #expect(ResetPulse(requests, isCommand: true).read(offset: 0, size: 1) == 0, "no driver waits for it")
        requests.all.withLock { $0 = [] }
        PanicNotice(requests).write(offset: 0, size: 1, value: 1)
        PanicNotice(requests).write(offset: 0, size: 1, value: 2)
        #expect(requests.all.withLock { $0 } == [.panicked, .crashLoaded])
    }
}
