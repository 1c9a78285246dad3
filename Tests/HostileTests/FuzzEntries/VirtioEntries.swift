import CLinux
import Glibc
import UrsaBase
import UrsaDisk

@testable import UrsaVMM

extension Entry {
    /// What a hostile guest reaches of the native engine's devices.
    static let virtio: [Entry] = [
        Entry("VirtQueue", limit: 2048, script: QueueExercise.run),
        Entry("VirtioWindow", script: TransportExercise.window),
        Entry("VirtioFunction", script: TransportExercise.function),
        device("BlockDevice", DeviceSubject.block),
        device("Qcow2Device", DeviceSubject.qcow2),
        device("NetworkDevice", DeviceSubject.network),
        device("ConsoleDevice", DeviceSubject.console),
        device("EntropyDevice", DeviceSubject.entropy),
        device("VsockDevice", DeviceSubject.vsock),
        device("BalloonDevice", DeviceSubject.balloon),
    ]

    private static func device(
        _ name: String, _ make: @escaping @Sendable (GuestRAM) throws(UrsaError) -> DeviceSubject
    ) -> Entry {
        Entry(name) { (script) throws(Violation) in try DeviceExercise.run(name, &script, make) }
    }
}

/// The queue alone, with rings that may say anything.
private enum QueueExercise {
    static func run(_ script: inout Script) throws(Violation) {
        try SmallMemory.with { memory throws(Violation) in try run(&script, memory) }
    }

    private static func run(_ script: inout Script, _ memory: SmallMemory) throws(Violation) {
        let size = UInt16(1) << UInt16(script.byte() & 7)
        let features: VirtioFeatures = script.byte() & 1 == 0 ? .ground : [.version1]
        let layout = QueueLayout(size: size, descriptors: 0x1000, available: 0x2000, used: 0x3000)
        guard var queue = try? Queue(layout, in: memory.ram, features: features, largest: 128) else {
            throw Violation(description: "a good layout was refused")
        }
        var chain = Chain(capacity: 128)
        var taken = 0
        while script.step() {
            switch script.byte() % 6 {
            case 0:
                let place = 0x1000 + 16 * UInt64(script.byte()) % 0x1000
                _ = memory.ram.store(script.address(in: SmallMemory.size), place)
                _ = memory.ram.store(UInt32(script.short()) << UInt32(script.byte() & 15), place + 8)
                _ = memory.ram.store(UInt16(script.byte() & 7), place + 12)
                _ = memory.ram.store(UInt16(script.byte()), place + 14)
            case 1: _ = memory.ram.store(script.byte(), 0x2000 + UInt64(script.byte()))
            case 2: _ = memory.ram.store(script.byte(), script.address(in: SmallMemory.size))
            case 3:
                let index: UInt16 = memory.ram.load(0x2002) ?? 0
                _ = memory.ram.store(index &+ UInt16(script.byte() & 7), 0x2002)
            case 4:
                let next = queue.next(into: &chain)
                if case .broken = next, script.isEndless {
                    for place: UInt64 in [0x2000, 0x2002, 0x3000, 0x3002] { _ = memory.ram.store(UInt16(0), place) }
                    if let fresh = try? Queue(layout, in: memory.ram, features: features, largest: 128) {
                        queue = fresh
                    }
                }
                guard case .chain = next else { continue }
                taken += 1
                try look(&chain, memory)
                queue.add(chain.head, written: UInt32(script.byte()))
                queue.publish()
                _ = queue.wantsInterrupt()
            default:
                _ = queue.enableNotifications()
                queue.disableNotifications()
            }
        }
        try need(taken <= script.steps, "more chains than were made available")
    }

    /// Every piece is the guest's memory, and reading and writing them stays there.
    private static func look(_ chain: inout Chain, _ memory: SmallMemory) throws(Violation) {
        let start = UInt(bitPattern: memory.base)
        for pieces in [chain.readable, chain.writable] {
            for piece in pieces {
                let place = UInt(bitPattern: piece.iov_base)
                try need(
                    piece.iov_len > 0 && place >= start
                        && place - start + UInt(piece.iov_len) <= UInt(SmallMemory.size),
                    "a piece outside of memory")
            }
        }
        try need(chain.readable.reduce(0) { $0 + $1.iov_len } == chain.readableBytes, "another count of bytes")
        try need(chain.writable.reduce(0) { $0 + $1.iov_len } == chain.writableBytes, "another count of bytes")
        _ = chain.read(UInt64.self)
        _ = chain.skip(3)
        if let last = chain.takeLastWritable() { last.pointee = 1 }
        _ = chain.write([1, 2, 3])
        _ = chain.skipWritable(5)
        let count = min(chain.readableBytes, 4096)
        var copy = [UInt8](repeating: 0, count: 4096)
        let isRead = copy.withUnsafeMutableBytes { buffer in
            buffer.baseAddress.map { chain.read(into: $0, count) } ?? false
        }
        try need(isRead, "bytes that are there can't be read")
        try need(chain.read(into: memory.base, chain.readableBytes + 1) == false, "more bytes than there are")
    }
}

/// A device that serves its queues only when it is told to.
private final class StillDevice: VirtioDevice, @unchecked Sendable {
    private var active: [ActiveQueue] = []
    private(set) var isActive = false

    init() { super.init(type: VirtioDeviceType(42, name: "still"), queueSizes: [16, 128, 1], configurationSize: 20) }
    override var features: VirtioFeatures { [VirtioFeatures(bit: 3)] }
    override func activate(_ queues: [ActiveQueue], features: VirtioFeatures) throws(UrsaError) {
        active = queues
        isActive = true
    }
    override func deactivate() {
        active = []
        isActive = false
    }
    override func writeConfiguration(offset: Int, size: Int, value: UInt64) { configuration.set(value, at: offset) }

    func work() {
        for item in active {
            guard var queue = try? item.makeQueue() else { continue }
            var chain = item.makeChain()
            for _ in 0..<16 {
                switch queue.next(into: &chain) {
                case .none: break
                case .broken: item.fail(queue.fault ?? .badRequest)
                case .chain: queue.add(chain.head, written: 0)
                }
            }
            item.publish(&queue)
        }
    }
}

/// Both transports, by any accesses.
private enum TransportExercise {
    static func window(_ script: inout Script) throws(Violation) {
        try SmallMemory.with { memory throws(Violation) in try window(&script, memory) }
    }

    private static func window(_ script: inout Script, _ memory: SmallMemory) throws(Violation) {
        let device = StillDevice()
        guard let controller = try? InterruptController(nil), let line = try? controller.makeLine(gsi: 5),
            let transport = try? VirtioMMIO(
                device, at: 0xfe00_0000, ram: memory.ram, line: line, doorbells: Doorbells(nil))
        else { throw Violation(description: "no device") }
        while script.step() {
            let operation = script.byte()
            let size = 1 << Int(operation & 3)
            let offset = UInt64(operation & 0x40 == 0 ? UInt16(script.byte()) & 0xfc : script.short())
            switch operation >> 2 & 3 {
            case 0: _ = transport.read(offset: offset, size: size)
            case 1:
                transport.write(
                    offset: offset, size: size, value: UInt64(script.word32()) & (UInt64.max >> UInt64(64 - 8 * size)))
            case 2: transport.write(offset: offset, size: 4, value: UInt64(script.byte()))
            default:
                // Half of the time with a start as it should be, or else no random driver ever comes further.
                if operation & 0x30 == 0x30 {
                    HonestDriver.start(transport, device, queues: 3)
                } else {
                    _ = memory.ram.store(script.byte(), script.address(in: SmallMemory.size))
                }
                device.work()
            }
            let status = UInt8(truncatingIfNeeded: transport.read(offset: 0x70, size: 4))
            try need(!device.isActive || status & 12 == 12, "active without the driver's word")
            try need(transport.read(offset: 0, size: 4) == 0x7472_6976, "another magic")
        }
        transport.resetMachine()
        try need(!device.isActive && transport.read(offset: 0x70, size: 4) == 0, "at work after a reset")
    }

    static func function(_ script: inout Script) throws(Violation) {
        try SmallMemory.with { memory throws(Violation) in try function(&script, memory) }
    }

    private static func function(_ script: inout Script, _ memory: SmallMemory) throws(Violation) {
        let device = StillDevice()
        let (bus, ports) = (Bus(), Bus())
        guard let controller = try? InterruptController(nil),
            let devices = try? VirtioDevices(
                .pci, ram: memory.ram, memory: bus, ports: ports, interrupts: controller, doorbells: Doorbells(nil),
                log: { _ in }),
            (try? devices.attach(device, slot: 3)) != nil, (try? devices.attach(EntropyDevice(), slot: 4)) != nil
        else { throw Violation(description: "no device") }
        let ecam = AddressMap.pciConfiguration.lowerBound
        while script.step() {
            let operation = script.byte()
            let size = 1 << Int(operation & 3)
            let mask = UInt64.max >> UInt64(64 - 8 * size)
            switch operation >> 2 & 7 {
            case 0: _ = bus.read(ecam + UInt64(script.short()) + UInt64(script.byte()) << 16, size: size)
            case 1:
                // The device's own space mostly.
                bus.write(ecam + 3 << 15 + UInt64(script.byte()), size: size, value: UInt64(script.word32()) & mask)
            case 2:
                bus.write(
                    ecam + UInt64(script.short()) + UInt64(script.byte()) << 16, size: size,
                    value: UInt64(script.word32()) & mask)
            case 3:
                ports.write(
                    0xcf8 + UInt64(script.byte() & 7), size: min(size, 4), value: UInt64(script.word32()) & mask)
            case 4: _ = ports.read(0xcf8 + UInt64(script.byte() & 7), size: min(size, 4))
            case 5:
                let range = bus.read(ecam + 3 << 15 + 0x10, size: 4) & 0xffff_fff0
                bus.write(range + UInt64(script.short() & 0x7fff), size: size, value: UInt64(script.word32()) & mask)
            case 6:
                let range = bus.read(ecam + 3 << 15 + 0x10, size: 4) & 0xffff_fff0
                _ = bus.read(range + UInt64(script.short() & 0x7fff), size: size)
            default:
                if operation & 0x60 == 0x60 {
                    HonestDriver.start(bus, device, function: ecam + 3 << 15, range: 0xd000_0000)
                } else {
                    _ = memory.ram.store(script.byte(), script.address(in: SmallMemory.size))
                }
                device.work()
            }
            try need(bus.read(ecam + 3 << 15, size: 4) == 0x106a_1af4, "another device")
            try need(bus.listing.allSatisfy { $0.start >= 0xc000_0000 }, "a range over the guest's memory")
        }
        devices.reset()
        try need(!device.isActive, "at work after a reset")
        try need(bus.listing.count == 1, "ranges after a reset")
    }
}
