import Glibc
import UrsaBase

@testable import UrsaVMM

/// Device models with their threads, on a window, with requests that may be anything.
enum DeviceExercise {
    /// A device with its memory and window, made once for many inputs: what an input leaves behind is reset.
    private final class Bench: @unchecked Sendable {
        // SAFETY: used by one input at a time.
        let memory = SmallMemory()
        let subject: DeviceSubject
        let transport: VirtioMMIO

        init(_ make: (GuestRAM) throws(UrsaError) -> DeviceSubject) throws(UrsaError) {
            subject = try make(memory.ram)
            let line = try InterruptController(nil).makeLine(gsi: 5)
            transport = try VirtioMMIO(
                subject.device, at: 0xfe00_0000, ram: memory.ram, line: line, doorbells: Doorbells(nil))
        }

        deinit {
            transport.resetMachine()
            subject.end()
        }
    }

    private static let spare = Locked<[String: Bench]>([:])

    /// Drives a device by a script. At the end it is reset, and must then serve a request as it should.
    static func run(
        _ name: String, _ script: inout Script, _ make: (GuestRAM) throws(UrsaError) -> DeviceSubject
    ) throws(Violation) {
        let bench: Bench
        if let known = spare.withLock({ $0.removeValue(forKey: name) }) {
            bench = known
        } else {
            do throws(UrsaError) { bench = try Bench(make) } catch {
                throw Violation(description: "no device: \(error)")
            }
        }
        memset(bench.memory.base, 0, Int(SmallMemory.size))
        drive(&script, bench)
        let device = bench.subject.device
        let honest = bench.subject.honest
        HonestDriver.start(bench.transport, device, queues: device.queueSizes.count)
        try need(
            HonestDriver.request(bench.transport, honest.queue, given: honest.given, room: honest.room),
            "after a reset the device does not serve: \(bench.transport.link.fault)")
        bench.transport.resetMachine()
        spare.withLock { $0[name] = bench }
    }

    private static func drive(_ script: inout Script, _ bench: Bench) {
        let (transport, subject, ram) = (bench.transport, bench.subject, bench.memory.ram)
        let queues = min(5, subject.device.queueSizes.count)
        var made = [UInt16](repeating: 0, count: queues)
        start(&script, bench, queues, &made)
        while script.step() {
            let operation = script.byte()
            let queue = Int(operation >> 4) % queues
            let base = HonestDriver.base(queue)
            var kind = operation & 15
            // What mostly ends in a fault is rarer on a long walk, or the device would see little more than resets.
            // A ring that is too full is a fault as well: then it rings.
            if script.isEndless {
                if kind == 0 || kind == 9 || kind == 12, script.byte() & 7 != 0 { kind = 8 }
                let waiting = made[queue] &- (ram.load(base + 0x202) ?? 0)
                if 4...8 ~= kind, waiting >= HonestDriver.size, script.byte() != 0 { kind = 15 }
            }
            switch kind {
            case 0:
                let place = base + 16 * UInt64(script.byte() & 15)
                _ = ram.store(script.address(in: SmallMemory.size), place)
                _ = ram.store(UInt32(script.short()), place + 8)
                _ = ram.store(UInt16(script.byte() & 7), place + 12)
                _ = ram.store(UInt16(script.byte() & 31), place + 14)
            case 1...3:
                let anywhere = !script.isEndless || script.byte() & 31 == 0
                let place = anywhere ? script.address(in: SmallMemory.size) : 0x2_0000 + UInt64(script.short())
                _ = ram.store(script.byte(), place)
            case 4...8:
                request(subject, ram, base, &made[queue], &script)
            case 9:
                _ = ram.store(UInt16(script.byte()), base + 0x104 + 2 * UInt64(made[queue] & 15))
                made[queue] &+= 1
                _ = ram.store(made[queue], base + 0x102)
            case 10: subject.stir(script.byte(), Int(script.short()) & 0x7ff)
            case 11: transport.write(offset: 0x100 + UInt64(script.byte()), size: 4, value: UInt64(script.word32()))
            case 12: start(&script, bench, queues, &made)
            default:
                transport.write(offset: 0x50, size: 4, value: UInt64(queue))
                let needsReset = settle(transport, ram, base, made[queue])
                if needsReset, script.isEndless { start(&script, bench, queues, &made) }
            }
        }
    }

    /// A chain that has the form of a request: pieces to read, then pieces to write, perhaps in a table of their own.
    private static func request(
        _ subject: DeviceSubject, _ ram: GuestRAM, _ base: UInt64, _ made: inout UInt16, _ script: inout Script
    ) {
        let (form, place) = (script.byte(), script.byte())
        let slot = UInt64(place & 3)
        let data: UInt64 = 0x2_0000 + UInt64(place >> 2) << 10
        let shape = subject.shape(&script)
        _ = ram.write(shape, at: data)
        let isIndirect = form & 7 == 7
        let readable = [2, 2, 2, 4, 0, 1, 3, 2][Int(form & 7)]
        let table = isIndirect ? data + 0x700 : base + 64 * slot
        for index in 0..<4 {
            let isLast = index == 3
            var length = UInt32(script.byte()) << (form & 0x18 == 0x18 ? 4 : 2)
            if index == 0, readable > 0 { length = UInt32(shape.count) }
            if isLast, readable < 4 { length = 1 }
            // Sectors are what disks want, mostly.
            if index == 1 || index == 2, form & 0x20 == 0 { length &= ~511 }
            let descriptor = table + 16 * UInt64(index)
            _ = ram.store(data + UInt64(index) << 8, descriptor)
            _ = ram.store(length, descriptor + 8)
            _ = ram.store(UInt16(index < readable ? 0 : 2) | (isLast ? 0 : 1), descriptor + 12)
            _ = ram.store(UInt16(index + 1) + (isIndirect ? 0 : UInt16(4 * slot)), descriptor + 14)
        }
        if isIndirect {
            _ = ram.store(table, base + 64 * slot)
            _ = ram.store(UInt32(64), base + 64 * slot + 8)
            _ = ram.store(UInt16(4), base + 64 * slot + 12)
        }
        _ = ram.store(UInt16(4 * slot), base + 0x104 + 2 * UInt64(made & 15))
        made &+= 1
        _ = ram.store(made, base + 0x102)
    }

    private static func start(_ script: inout Script, _ bench: Bench, _ queues: Int, _ made: inout [UInt16]) {
        let choice = script.byte()
        var without: VirtioFeatures = []
        if choice & 1 != 0 { without.insert(.eventIndex) }
        if choice & 2 != 0 { without.insert(VirtioFeatures(bit: 15)) }
        if choice & 4 != 0 { without.insert(VirtioFeatures(bit: 9)) }
        HonestDriver.start(bench.transport, bench.subject.device, queues: queues, without: without)
        for index in 0..<queues { made[index] = 0 }
    }

    /// Lets the device do what it was given, for a moment. Whether it wants to be reset.
    private static func settle(_ transport: VirtioMMIO, _ ram: GuestRAM, _ base: UInt64, _ made: UInt16) -> Bool {
        for _ in 0..<24 {
            if transport.read(offset: 0x70, size: 4) & 64 != 0 { return true }
            if ram.load(base + 0x202) == made { return false }
            sched_yield()
        }
        return false
    }
}
