import CLinux
import UrsaBase

@testable import UrsaVMM

/// The driver's side of a virtqueue, in memory that a test shares with a device, able to do everything wrong too.
final class DriverQueue {
    struct Buffer {
        var address: UInt64
        var length: UInt32
        var isWritable = false
        static func read(_ address: UInt64, _ length: UInt32) -> Buffer { Buffer(address: address, length: length) }
        static func write(_ address: UInt64, _ length: UInt32) -> Buffer {
            Buffer(address: address, length: length, isWritable: true)
        }
    }
    enum Flag {
        static let next: UInt16 = 1
        static let write: UInt16 = 2
        static let indirect: UInt16 = 4
    }

    let ram: GuestRAM
    var layout: QueueLayout
    let size: UInt16
    private(set) var made: UInt16 = 0
    private var seen: UInt16 = 0
    private var free: [UInt16]

    /// Rings from `base` on, which take less than 32 bytes for each entry and 64 more.
    init(_ ram: GuestRAM, at base: UInt64, size: UInt16) {
        self.ram = ram
        self.size = size
        let available = base + 16 * UInt64(size)
        layout = QueueLayout(
            size: size, descriptors: base, available: available, used: (available + 6 + 2 * UInt64(size) + 3) & ~3)
        free = Array((0..<size).reversed())
    }

    /// Begins again, as the device does after a reset; the rings are clear.
    func forget() {
        made = 0
        seen = 0
        chains = [:]
        free = Array((0..<size).reversed())
    }

    func descriptor(_ index: UInt16, _ address: UInt64, _ length: UInt32, _ flags: UInt16 = 0, next: UInt16 = 0) {
        descriptor(in: layout.descriptors, UInt64(index), address, length, flags, next: next)
    }

    func descriptor(
        in table: UInt64, _ index: UInt64, _ address: UInt64, _ length: UInt32, _ flags: UInt16, next: UInt16 = 0
    ) {
        let place = table + 16 * index
        _ = ram.store(address, place)
        _ = ram.store(length, place + 8)
        _ = ram.store(flags, place + 12)
        _ = ram.store(next, place + 14)
    }

    /// Makes the chain that begins at `head` available.
    func offer(_ head: UInt16) {
        _ = ram.store(head, layout.available + 4 + 2 * UInt64(made % size))
        made &+= 1
        publish(made)
    }

    func publish(_ index: UInt16) {
        if let place = ram.pointer(layout.available + 2, 2) { clinux_store16_release(place, index) }
    }

    /// Makes a chain of buffers available and returns its head; nil when the table is full.
    @discardableResult
    func add(_ buffers: [Buffer]) -> UInt16? {
        guard !buffers.isEmpty, free.count >= buffers.count else { return nil }
        let indices = (0..<buffers.count).map { _ in free.removeLast() }
        chains[indices[0]] = indices
        for (number, buffer) in buffers.enumerated() {
            let isLast = number == buffers.count - 1
            descriptor(
                indices[number], buffer.address, buffer.length,
                (buffer.isWritable ? Flag.write : 0) | (isLast ? 0 : Flag.next), next: isLast ? 0 : indices[number + 1])
        }
        offer(indices[0])
        return indices[0]
    }

    /// The same by an indirect table at an address.
    @discardableResult
    func addIndirect(_ buffers: [Buffer], table: UInt64) -> UInt16? {
        guard let index = free.popLast() else { return nil }
        chains[index] = [index]
        for (number, buffer) in buffers.enumerated() {
            let isLast = number == buffers.count - 1
            descriptor(
                in: table, UInt64(number), buffer.address, buffer.length,
                (buffer.isWritable ? Flag.write : 0) | (isLast ? 0 : Flag.next), next: isLast ? 0 : UInt16(number + 1))
        }
        descriptor(index, table, UInt32(16 * buffers.count), Flag.indirect)
        offer(index)
        return index
    }
    private var chains: [UInt16: [UInt16]] = [:]

    /// What the device has given back next.
    func takeUsed() -> (head: UInt16, written: UInt32)? {
        guard let place = ram.pointer(layout.used + 2, 2), clinux_load16_acquire(place) != seen else { return nil }
        let element = layout.used + 4 + 8 * UInt64(seen % size)
        guard let head = ram.load(element, as: UInt32.self), let written = ram.load(element + 4, as: UInt32.self)
        else { return nil }
        seen &+= 1
        let name = UInt16(truncatingIfNeeded: head)
        if let indices = chains.removeValue(forKey: name) { free += indices }
        return (name, written)
    }

    /// Waits for what the device gives back next.
    func waitUsed(seconds: Double = 10) -> (head: UInt16, written: UInt32)? {
        let deadline = Deadline.after(seconds: seconds)
        while true {
            if let used = takeUsed() { return used }
            if deadline.isPast { return nil }
            pause(milliseconds: 1)
        }
    }

    var usedIndex: UInt16 { ram.load(layout.used + 2) ?? 0 }
    var usedFlags: UInt16 { ram.load(layout.used) ?? 0 }
    /// What the device wrote as the index from which it wants to be told.
    var wantedNotification: UInt16 { ram.load(layout.used + 4 + 8 * UInt64(size)) ?? 0 }
    /// The index from which the driver wants interrupts.
    func wantInterrupt(after index: UInt16) { _ = ram.store(index, layout.available + 4 + 2 * UInt64(size)) }
    func setAvailableFlags(_ flags: UInt16) { _ = ram.store(flags, layout.available) }
}
