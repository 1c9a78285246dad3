import CLinux
import Glibc
import UrsaBase

@testable import UrsaVMM

/// A device on virtio-mmio with a driver that is this test: registers, queues and memory.
final class DrivenDevice {
    let device: VirtioDevice
    let ram: GuestRAM
    let transport: VirtioMMIO
    let line: InterruptLine
    let controller: InterruptController
    let messages = Locked<[String]>([])
    private(set) var queues: [Int: DriverQueue] = [:]
    /// Memory for buffers begins here.
    let buffers: UInt64 = 0x40_0000

    init(_ device: VirtioDevice, ram: GuestRAM? = nil) throws {
        self.device = device
        self.ram = try ram ?? GuestRAM(bytes: 16 << 20)
        controller = try InterruptController(nil)
        line = try controller.makeLine(gsi: 5)
        let messages = messages
        transport = try VirtioMMIO(
            device, at: 0xfe00_0000, ram: self.ram, line: line, doorbells: Doorbells(nil),
            log: { text in messages.withLock { $0.append(text) } })
    }

    deinit { transport.resetMachine() }

    func put(_ register: UInt64, _ value: UInt32) { transport.write(offset: register, size: 4, value: UInt64(value)) }
    func word(_ register: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: transport.read(offset: register, size: 4)) }
    var status: UInt32 { word(0x70) }
    var needsReset: Bool { status & 64 != 0 }

    func negotiate(_ features: VirtioFeatures) {
        put(0x70, 0)
        put(0x70, 1)
        put(0x70, 3)
        put(0x24, 0)
        put(0x20, UInt32(truncatingIfNeeded: features.rawValue))
        put(0x24, 1)
        put(0x20, UInt32(truncatingIfNeeded: features.rawValue >> 32))
        put(0x70, 11)
    }

    func setUp(_ index: Int, _ layout: QueueLayout) {
        put(0x30, UInt32(index))
        put(0x38, UInt32(layout.size))
        put(0x80, UInt32(truncatingIfNeeded: layout.descriptors))
        put(0x84, UInt32(truncatingIfNeeded: layout.descriptors >> 32))
        put(0x90, UInt32(truncatingIfNeeded: layout.available))
        put(0x94, UInt32(truncatingIfNeeded: layout.available >> 32))
        put(0xa0, UInt32(truncatingIfNeeded: layout.used))
        put(0xa4, UInt32(truncatingIfNeeded: layout.used >> 32))
        put(0x44, 1)
    }

    /// The whole way to a running device.
    ///
    /// - Parameter features: nil takes everything that is offered.
    func start(
        features: VirtioFeatures? = nil, queues numbers: [Int]? = nil, size: UInt16 = 64
    ) {
        negotiate(features ?? device.offeredFeatures)
        queues = [:]
        for index in numbers ?? Array(device.queueSizes.indices) {
            let base = 0x1_0000 + UInt64(index) * 0x8000
            if let place = ram.pointer(base, 0x8000) { memset(place, 0, 0x8000) }
            let queue = DriverQueue(ram, at: base, size: min(size, device.queueSizes[index]))
            queues[index] = queue
            setUp(index, queue.layout)
        }
        put(0x70, 15)
    }

    /// A doorbell as KVM would ring it.
    func kick(_ queue: Int) { put(0x50, UInt32(queue)) }

    /// Whether an interrupt was raised since this was last asked.
    func takeInterrupt() -> Bool { clinux_eventfd_take(line.eventFD) == 1 }

    /// Waits until a condition holds.
    func wait(seconds: Double = 10, for condition: () -> Bool) -> Bool {
        let deadline = Deadline.after(seconds: seconds)
        while !condition() {
            if deadline.isPast { return false }
            pause(milliseconds: 1)
        }
        return true
    }
}
