import CLinux
import Glibc
import UrsaBase
import UrsaDisk

@testable import UrsaVMM

extension Entry {
    /// What a hostile guest reaches of the native engine's devices.
    static let virtio: [Entry] = [
        Entry("VirtQueue", limit: 2048, QueueExercise.run),
        Entry("VirtioWindow", limit: 1024, TransportExercise.window),
        Entry("VirtioFunction", limit: 1024, TransportExercise.function),
        Entry("BlockDevice", limit: 1024) { (bytes) throws(Violation) in
            try DeviceExercise.run(bytes, DeviceExercise.block)
        },
        Entry("NetworkDevice", limit: 1024) { (bytes) throws(Violation) in
            try DeviceExercise.run(bytes, DeviceExercise.network)
        },
        Entry("ConsoleDevice", limit: 1024) { (bytes) throws(Violation) in
            try DeviceExercise.run(bytes, DeviceExercise.console)
        },
        Entry("VsockDevice", limit: 1024) { (bytes) throws(Violation) in
            try DeviceExercise.run(bytes, DeviceExercise.vsock)
        },
        Entry("BalloonDevice", limit: 1024) { (bytes) throws(Violation) in
            try DeviceExercise.run(bytes, DeviceExercise.balloon)
        },
    ]
}

/// A guest's memory of 256 KiB between borders that a sanitizer watches.
private final class SmallMemory: @unchecked Sendable {
    // SAFETY: used by one input at a time.

    static let size: UInt64 = 256 << 10
    let base = UnsafeMutableRawPointer.allocate(byteCount: Int(SmallMemory.size), alignment: 4096)
    let ram: GuestRAM

    /// Made once for all inputs, because a sanitizer takes long to give such memory out.
    private static let spare = Locked<[SmallMemory]>([])

    static func with(_ body: (SmallMemory) throws(Violation) -> Void) throws(Violation) {
        let memory = spare.withLock { $0.popLast() } ?? SmallMemory()
        defer {
            memset(memory.base, 0, Int(SmallMemory.size))
            spare.withLock { $0.append(memory) }
        }
        try body(memory)
    }

    private init() {
        memset(base, 0, Int(SmallMemory.size))
        ram = GuestRAM(adopting: [GuestRAM.Region(guestStart: 0, size: SmallMemory.size, base: base)])
    }

    deinit { base.deallocate() }
}

/// Bytes taken from an input, zeros after its end.
private struct Script {
    private let bytes: [UInt8]
    private var place = 0
    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var isAtEnd: Bool { place >= bytes.count }
    mutating func byte() -> UInt8 {
        defer { place += 1 }
        return place < bytes.count ? bytes[place] : 0
    }
    mutating func short() -> UInt16 { UInt16(byte()) | UInt16(byte()) << 8 }
    mutating func word() -> UInt32 { UInt32(short()) | UInt32(short()) << 16 }
    /// Mostly an address inside of memory, at times any.
    mutating func address() -> UInt64 {
        let kind = byte()
        if kind == 0xff { return UInt64(word()) | UInt64(word()) << 32 }
        if kind == 0xfe { return SmallMemory.size &- UInt64(byte()) }
        return UInt64(kind & 3) << 16 | UInt64(short())
    }
}

/// The queue alone, with rings that may say anything.
private enum QueueExercise {
    static func run(_ bytes: [UInt8]) throws(Violation) {
        try SmallMemory.with { memory throws(Violation) in try run(bytes, memory) }
    }

    private static func run(_ bytes: [UInt8], _ memory: SmallMemory) throws(Violation) {
        var script = Script(bytes)
        let size = UInt16(1) << UInt16(script.byte() & 7)
        let features: VirtioFeatures = script.byte() & 1 == 0 ? .ground : [.version1]
        let layout = QueueLayout(size: size, descriptors: 0x1000, available: 0x2000, used: 0x3000)
        guard var queue = try? Queue(layout, in: memory.ram, features: features, largest: 128) else {
            throw Violation(description: "a good layout was refused")
        }
        var chain = Chain(capacity: 128)
        var taken = 0
        while !script.isAtEnd {
            switch script.byte() % 6 {
            case 0:
                let place = 0x1000 + 16 * UInt64(script.byte()) % 0x1000
                _ = memory.ram.store(script.address(), place)
                _ = memory.ram.store(UInt32(script.short()) << UInt32(script.byte() & 15), place + 8)
                _ = memory.ram.store(UInt16(script.byte() & 7), place + 12)
                _ = memory.ram.store(UInt16(script.byte()), place + 14)
            case 1: _ = memory.ram.store(script.byte(), 0x2000 + UInt64(script.byte()))
            case 2: _ = memory.ram.store(script.byte(), script.address())
            case 3:
                let index: UInt16 = memory.ram.load(0x2002) ?? 0
                _ = memory.ram.store(index &+ UInt16(script.byte() & 7), 0x2002)
            case 4:
                guard case .chain = queue.next(into: &chain) else { continue }
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
        try need(taken <= bytes.count, "more chains than were made available")
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
    static func window(_ bytes: [UInt8]) throws(Violation) {
        try SmallMemory.with { memory throws(Violation) in try window(bytes, memory) }
    }

    private static func window(_ bytes: [UInt8], _ memory: SmallMemory) throws(Violation) {
        let device = StillDevice()
        guard let controller = try? InterruptController(nil), let line = try? controller.makeLine(gsi: 5),
            let transport = try? VirtioMMIO(
                device, at: 0xfe00_0000, ram: memory.ram, line: line, doorbells: Doorbells(nil))
        else { return }
        var script = Script(bytes)
        while !script.isAtEnd {
            let operation = script.byte()
            let size = 1 << Int(operation & 3)
            let offset = UInt64(operation & 0x40 == 0 ? UInt16(script.byte()) & 0xfc : script.short())
            switch operation >> 2 & 3 {
            case 0: _ = transport.read(offset: offset, size: size)
            case 1:
                transport.write(
                    offset: offset, size: size, value: UInt64(script.word()) & (UInt64.max >> UInt64(64 - 8 * size)))
            case 2: transport.write(offset: offset, size: 4, value: UInt64(script.byte()))
            default:
                _ = memory.ram.store(script.byte(), script.address())
                device.work()
            }
            let status = UInt8(truncatingIfNeeded: transport.read(offset: 0x70, size: 4))
            try need(!device.isActive || status & 12 == 12, "active without the driver's word")
            try need(transport.read(offset: 0, size: 4) == 0x7472_6976, "another magic")
        }
        transport.resetMachine()
        try need(!device.isActive && transport.read(offset: 0x70, size: 4) == 0, "at work after a reset")
    }

    static func function(_ bytes: [UInt8]) throws(Violation) {
        try SmallMemory.with { memory throws(Violation) in try function(bytes, memory) }
    }

    private static func function(_ bytes: [UInt8], _ memory: SmallMemory) throws(Violation) {
        let device = StillDevice()
        let (bus, ports) = (Bus(), Bus())
        guard let controller = try? InterruptController(nil),
            let devices = try? VirtioDevices(
                .pci, ram: memory.ram, memory: bus, ports: ports, interrupts: controller, doorbells: Doorbells(nil),
                log: { _ in }),
            (try? devices.attach(device, slot: 3)) != nil, (try? devices.attach(EntropyDevice(), slot: 4)) != nil
        else { return }
        let ecam = AddressMap.pciConfiguration.lowerBound
        var script = Script(bytes)
        while !script.isAtEnd {
            let operation = script.byte()
            let size = 1 << Int(operation & 3)
            let mask = UInt64.max >> UInt64(64 - 8 * size)
            switch operation >> 2 & 7 {
            case 0: _ = bus.read(ecam + UInt64(script.short()) + UInt64(script.byte()) << 16, size: size)
            case 1:
                // The device's own space mostly.
                bus.write(ecam + 3 << 15 + UInt64(script.byte()), size: size, value: UInt64(script.word()) & mask)
            case 2:
                bus.write(
                    ecam + UInt64(script.short()) + UInt64(script.byte()) << 16, size: size,
                    value: UInt64(script.word()) & mask)
            case 3:
                ports.write(0xcf8 + UInt64(script.byte() & 7), size: min(size, 4), value: UInt64(script.word()) & mask)
            case 4: _ = ports.read(0xcf8 + UInt64(script.byte() & 7), size: min(size, 4))
            case 5:
                let range = bus.read(ecam + 3 << 15 + 0x10, size: 4) & 0xffff_fff0
                bus.write(range + UInt64(script.short() & 0x7fff), size: size, value: UInt64(script.word()) & mask)
            case 6:
                let range = bus.read(ecam + 3 << 15 + 0x10, size: 4) & 0xffff_fff0
                _ = bus.read(range + UInt64(script.short() & 0x7fff), size: size)
            default:
                _ = memory.ram.store(script.byte(), script.address())
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

/// Device models with their threads, on a window, with requests that may be anything.
private enum DeviceExercise {
    /// A device, and its host's side to stir.
    struct Subject {
        let device: VirtioDevice
        let stir: (UInt8, Int) -> Void
        let end: () -> Void
    }

    static func block(_ ram: GuestRAM) throws(UrsaError) -> Subject {
        let file = ImageFile(bytes: [UInt8](repeating: 0, count: 1 << 16), name: "disk", .init(writable: true))
        let device = try BlockDevice(RawImage(file: file), serial: "fuzz", engine: .threads)
        return Subject(device: device, stir: { _, _ in }, end: {})
    }

    static func network(_ ram: GuestRAM) throws(UrsaError) -> Subject {
        var fds: [Int32] = [-1, -1]
        try check(clinux_frame_pair(&fds), "make sockets")
        let other = fds[1]
        let device = try NetworkDevice(
            [.frames(OwnedFD(fds[0]))], mac: MACAddress("52:54:00:00:00:01") ?? MACAddress(0))
        return Subject(
            device: device,
            stir: { byte, count in
                var frame = [UInt8](repeating: byte, count: max(1, count))
                _ = send(other, &frame, frame.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
                _ = recv(other, &frame, frame.count, Int32(MSG_DONTWAIT))
            }, end: { close(other) })
    }

    static func console(_ ram: GuestRAM) throws(UrsaError) -> Subject {
        let path = "/tmp/ursa-fuzz-console-\(getpid())-\(clinux_gettid())"
        let listener = try UnixSocket.listen(path)
        let client = SharedFD(try UnixSocket.connect(path))
        let device = try ConsoleDevice(listener: listener)
        return Subject(
            device: device,
            stir: { byte, count in
                var text = [UInt8](repeating: byte, count: max(1, count))
                _ = send(client.raw, &text, text.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
                _ = recv(client.raw, &text, text.count, Int32(MSG_DONTWAIT))
            }, end: { try? File.remove(path) })
    }

    static func vsock(_ ram: GuestRAM) throws(UrsaError) -> Subject {
        let path = "/tmp/ursa-fuzz-vsock-\(getpid())-\(clinux_gettid())"
        let listener = try UnixSocket.listen(path)
        let client = SharedFD(try UnixSocket.connect(path))
        let pair = try VsockBroker.messagePair()
        let broker = SharedFD(OwnedFD(pair.broker))
        let device = try VsockDevice(cid: 3, listener: SharedFD(listener), broker: SharedFD(OwnedFD(pair.monitor)))
        return Subject(
            device: device,
            stir: { byte, count in
                var text = byte & 1 == 0 ? Array("CONNECT 65\n".utf8) : [UInt8](repeating: byte, count: max(1, count))
                _ = send(client.raw, &text, text.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
                _ = recv(client.raw, &text, text.count, Int32(MSG_DONTWAIT))
                // A broker that connects to nobody, refuses, or answers what it was not asked.
                var request = VsockBroker.Request()
                var stray: Int32 = -1
                guard clinux_receive_message(broker.raw, &request, 8, &stray, 0) == 8 else { return }
                var answer = VsockBroker.Answer(number: request.number &+ UInt32(byte & 1), error: UInt32(byte & 2))
                let connection = byte & 2 == 0 ? socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0) : -1
                _ = clinux_send_message(broker.raw, &answer, 8, connection, 0)
                if connection >= 0 { close(connection) }
            }, end: { try? File.remove(path) })
    }

    static func balloon(_ ram: GuestRAM) throws(UrsaError) -> Subject {
        let device = BalloonDevice(ram)
        return Subject(device: device, stir: { byte, _ in device.setTarget(UInt64(byte) << 12) }, end: {})
    }

    static func run(
        _ bytes: [UInt8], _ make: (GuestRAM) throws(UrsaError) -> Subject
    ) throws(Violation) {
        try SmallMemory.with { memory throws(Violation) in try run(bytes, memory, make) }
    }

    private static func run(
        _ bytes: [UInt8], _ memory: SmallMemory, _ make: (GuestRAM) throws(UrsaError) -> Subject
    ) throws(Violation) {
        let subject: Subject
        do throws(UrsaError) { subject = try make(memory.ram) } catch {
            throw Violation(description: "no device: \(error)")
        }
        defer { subject.end() }
        guard let controller = try? InterruptController(nil), let line = try? controller.makeLine(gsi: 5),
            let transport = try? VirtioMMIO(
                subject.device, at: 0xfe00_0000, ram: memory.ram, line: line, doorbells: Doorbells(nil))
        else { return }
        defer { transport.resetMachine() }
        var script = Script(bytes)
        let queues = min(5, subject.device.queueSizes.count)
        var made = [UInt16](repeating: 0, count: queues)
        start(transport, subject.device, queues, without: script.byte())
        var steps = 0
        while !script.isAtEnd, steps < 64 {
            steps += 1
            let operation = script.byte()
            let queue = Int(operation >> 4) % queues
            let base = UInt64(queue + 1) * 0x1000
            switch operation & 15 {
            case 0...2:
                let place = base + 16 * UInt64(script.byte() & 15)
                _ = memory.ram.store(script.address(), place)
                _ = memory.ram.store(UInt32(script.short()), place + 8)
                _ = memory.ram.store(UInt16(script.byte() & 7), place + 12)
                _ = memory.ram.store(UInt16(script.byte() & 31), place + 14)
            case 3...5: _ = memory.ram.store(script.byte(), script.address())
            case 6...8: request(memory.ram, base, &made[queue], &script)
            case 9:
                _ = memory.ram.store(UInt16(script.byte()), base + 0x104 + 2 * UInt64(made[queue] & 15))
                made[queue] &+= 1
                _ = memory.ram.store(made[queue], base + 0x102)
            case 10: subject.stir(script.byte(), Int(script.short()) & 0x7ff)
            case 11: transport.write(offset: 0x100 + UInt64(script.byte()), size: 4, value: UInt64(script.word()))
            case 12:
                transport.write(offset: 0x70, size: 4, value: 0)
                for index in 0..<queues { made[index] = 0 }
                start(transport, subject.device, queues, without: script.byte())
            default:
                transport.write(offset: 0x50, size: 4, value: UInt64(queue))
                settle(transport, memory.ram, base, made[queue])
            }
        }
    }

    /// A chain that has the form of a request: two pieces to read and two to write.
    private static func request(_ ram: GuestRAM, _ base: UInt64, _ made: inout UInt16, _ script: inout Script) {
        let head = UInt64(script.byte() & 3) * 4
        let data: UInt64 = 0x2_0000 + UInt64(script.byte()) << 8
        for (index, value) in [script.byte(), script.byte(), 0, 0, 0, 0, 0, 0, script.byte(), 0].enumerated() {
            _ = ram.store(value, data + UInt64(index))
        }
        let lengths = [16, UInt32(script.byte()) << 2, UInt32(script.byte()) << 2, 1]
        for index in 0..<4 as Range<UInt64> {
            let place = base + 16 * (head + index)
            _ = ram.store(data + index * 0x400, place)
            _ = ram.store(lengths[Int(index)], place + 8)
            _ = ram.store(UInt16(index < 2 ? 0 : 2) | (index < 3 ? 1 : 0), place + 12)
            _ = ram.store(UInt16(head + index + 1), place + 14)
        }
        _ = ram.store(UInt16(head), base + 0x104 + 2 * UInt64(made & 15))
        made &+= 1
        _ = ram.store(made, base + 0x102)
    }

    private static func start(_ transport: VirtioMMIO, _ device: VirtioDevice, _ queues: Int, without: UInt8) {
        func set(_ register: UInt64, _ value: UInt64) { transport.write(offset: register, size: 4, value: value) }
        var features = device.offeredFeatures
        if without & 1 != 0 { features.remove(.eventIndex) }
        if without & 2 != 0 { features.remove(VirtioFeatures(bit: 15)) }
        if without & 4 != 0 { features.remove(VirtioFeatures(bit: 9)) }
        set(0x70, 3)
        set(0x24, 0)
        set(0x20, features.rawValue & 0xffff_ffff)
        set(0x24, 1)
        set(0x20, features.rawValue >> 32)
        set(0x70, 11)
        for index in 0..<queues {
            let base = UInt64(index + 1) * 0x1000
            _ = transport.ram.store(UInt16(0), base + 0x102)
            set(0x30, UInt64(index))
            set(0x38, 16)
            set(0x80, base)
            set(0x90, base + 0x100)
            set(0xa0, base + 0x200)
            set(0x44, 1)
        }
        set(0x70, 15)
    }

    /// Waits until the device has done what it was given, or for a moment.
    private static func settle(_ transport: VirtioMMIO, _ ram: GuestRAM, _ base: UInt64, _ made: UInt16) {
        for _ in 0..<40 {
            if transport.read(offset: 0x70, size: 4) & 64 != 0 || ram.load(base + 0x202) == made { return }
            sched_yield()
        }
        usleep(100)
    }
}
