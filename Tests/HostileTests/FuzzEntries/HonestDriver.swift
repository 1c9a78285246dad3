import UrsaBase

@testable import UrsaVMM

/// A driver that does what it should, so that what follows it meets a device at work.
enum HonestDriver {
    /// Entries of each queue.
    static let size: UInt16 = 16
    /// Where the rings of a queue are: descriptors here, the available ring 0x100 behind, the used one 0x200.
    static func base(_ queue: Int) -> UInt64 { UInt64(queue + 1) * 0x1000 }

    /// Reset, negotiation and queues by virtio-mmio (virtio 1.2 section 4.2.3.1).
    static func start(
        _ transport: VirtioMMIO, _ device: VirtioDevice, queues: Int, without: VirtioFeatures = []
    ) {
        func set(_ register: UInt64, _ value: UInt64) { transport.write(offset: register, size: 4, value: value) }
        let features = device.offeredFeatures.subtracting(without)
        set(0x70, 0)
        set(0x70, 3)
        set(0x24, 0)
        set(0x20, features.rawValue & 0xffff_ffff)
        set(0x24, 1)
        set(0x20, features.rawValue >> 32)
        set(0x70, 11)
        for index in 0..<queues {
            clear(transport.ram, index)
            set(0x30, UInt64(index))
            set(0x38, UInt64(min(size, device.queueSizes[index])))
            set(0x80, base(index))
            set(0x84, 0)
            set(0x90, base(index) + 0x100)
            set(0x94, 0)
            set(0xa0, base(index) + 0x200)
            set(0xa4, 0)
            set(0x44, 1)
        }
        set(0x70, 15)
    }

    /// The same by PCI (section 4.1.5.1), with a message for each queue.
    ///
    /// - Parameters:
    ///   - function: the function's configuration space on the bus.
    ///   - range: where its base address register shall point.
    static func start(_ bus: Bus, _ device: VirtioDevice, function: UInt64, range: UInt64) {
        func set(_ offset: UInt64, _ size: Int, _ value: UInt64) { bus.write(range + offset, size: size, value: value) }
        bus.write(function + 0x04, size: 2, value: 0)
        bus.write(function + 0x10, size: 4, value: range)
        bus.write(function + 0x04, size: 2, value: 6)
        // MSI-X: the capability's control word is found by the list of capabilities (PCI 3.0, 6.7 and 6.8.2).
        var capability = bus.read(function + 0x34, size: 1)
        for _ in 0..<16 where capability >= 0x40 {
            if bus.read(function + capability, size: 1) == 0x11 {
                bus.write(function + capability + 2, size: 2, value: 0x8000)
                break
            }
            capability = bus.read(function + capability + 1, size: 1)
        }
        set(20, 1, 0)
        set(20, 1, 3)
        for half in 0..<2 as Range<UInt64> {
            set(8, 4, half)
            set(12, 4, device.offeredFeatures.rawValue >> (32 * half) & 0xffff_ffff)
        }
        set(20, 1, 11)
        for index in device.queueSizes.indices {
            let entry = 0x4000 + 16 * UInt64(index)
            set(entry, 8, 0xfee0_0000)
            set(entry + 8, 4, UInt64(0x40 + index))
            set(entry + 12, 4, 0)
            set(22, 2, UInt64(index))
            set(24, 2, UInt64(min(size, device.queueSizes[index])))
            set(26, 2, UInt64(index))
            set(32, 8, base(index))
            set(40, 8, base(index) + 0x100)
            set(48, 8, base(index) + 0x200)
            set(28, 2, 1)
        }
        set(20, 1, 15)
    }

    private static func clear(_ ram: GuestRAM, _ queue: Int) {
        for offset in stride(from: UInt64(0x100), to: 0x300, by: 8) { _ = ram.store(UInt64(0), base(queue) + offset) }
    }

    /// Makes one chain available to a queue that has just been started, and rings.
    ///
    /// - Parameters:
    ///   - given: bytes for the device to read.
    ///   - room: bytes for the device to write.
    /// - Returns: whether the device gave it back within ten seconds.
    static func request(_ transport: VirtioMMIO, _ queue: Int, given: [UInt8], room: UInt32) -> Bool {
        let ram = transport.ram
        let (start, data) = (base(queue), UInt64(0x2_0000))
        guard ram.write(given, at: data) else { return false }
        var pieces: [(address: UInt64, length: UInt32, flags: UInt16)] = []
        if !given.isEmpty { pieces.append((data, UInt32(given.count), 0)) }
        if room > 0 { pieces.append((data + 0x4000, room, 2)) }
        for (index, piece) in pieces.enumerated() {
            let place = start + 16 * UInt64(index)
            _ = ram.store(piece.address, place)
            _ = ram.store(piece.length, place + 8)
            _ = ram.store(piece.flags | (index + 1 < pieces.count ? 1 : 0), place + 12)
            _ = ram.store(UInt16(index + 1), place + 14)
        }
        _ = ram.store(UInt16(0), start + 0x104)
        _ = ram.store(UInt16(1), start + 0x102)
        transport.write(offset: 0x50, size: 4, value: UInt64(queue))
        let deadline = Deadline.after(seconds: 10)
        while ram.load(start + 0x202) != UInt16(1) {
            if deadline.isPast || transport.read(offset: 0x70, size: 4) & 64 != 0 { return false }
            pause(milliseconds: 1)
        }
        return true
    }
}
