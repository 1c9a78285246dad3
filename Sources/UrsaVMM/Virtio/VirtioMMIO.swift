import CLinux
public import UrsaBase
import UrsaKVM

/// A virtio device behind a window of memory (virtio 1.2 section 4.2), the lean transport: no bus to search, one interrupt
/// line. The guest finds the window by ACPI (`LNRO0005`).
public final class VirtioMMIO: VirtioTransport, @unchecked Sendable {
    /// Bytes of the window.
    public static let windowSize: UInt64 = 0x1000
    private static let configuration: UInt64 = 0x100
    private static let magic: UInt64 = 0x7472_6976
    private static let vendor: UInt64 = 0x4153_5255

    private let address: UInt64
    private let line: InterruptLine
    private let raised: InterruptStatus

    /// A window at an address that the caller puts on the memory bus.
    ///
    /// - Parameter log: takes one line when the driver breaks the rules.
    public init(
        _ device: VirtioDevice, at address: UInt64, ram: GuestRAM, line: InterruptLine, doorbells: Doorbells,
        log: @escaping @Sendable (String) -> Void = { _ in }
    ) throws(UrsaError) {
        self.address = address
        self.line = line
        let raised = InterruptStatus()
        self.raised = raised
        let link = DeviceLink(
            interrupt: {
                raised.raise(InterruptStatus.configuration)
                line.signal()
            }, log: log)
        try super.init(device, ram: ram, doorbells: doorbells, link: link)
    }

    override func interrupt(of queue: QueueSetting) -> (event: Int32, keeper: (any AnyObject & Sendable)?) {
        (line.eventFD, line)
    }
    override var interruptStatus: InterruptStatus? { raised }
    override func doorbell(of queue: Int) -> DoorbellPlace? {
        DoorbellPlace(address: address &+ 0x50, size: 4, match: UInt64(queue))
    }
    override func resetRegisters() { raised.lower(.max) }

    /// A read of a register (section 4.2.2), or of the device's configuration fields.
    public override func read(offset: UInt64, size: Int) -> UInt64 {
        if offset >= VirtioMMIO.configuration {
            return device.configuration.read(offset: Int(offset &- VirtioMMIO.configuration), size: size)
        }
        guard size == 4 else { return 0 }
        return monitor.inside { UInt64(register(offset)) }
    }

    private func register(_ offset: UInt64) -> UInt64 {
        switch offset {
        case 0x000: VirtioMMIO.magic
        case 0x004: 2
        case 0x008: UInt64(device.type.number)
        case 0x00c: VirtioMMIO.vendor
        case 0x010: UInt64(deviceFeatures)
        case 0x034: selectedQueue == nil ? 0 : UInt64(device.queueSizes[Int(queueSelect)])
        case 0x044: selectedQueue?.isReady == true ? 1 : 0
        case 0x060: UInt64(raised.value)
        case 0x070: UInt64(statusToRead)
        // No shared memory: a length of all ones.
        case 0x0b0, 0x0b4: 0xffff_ffff
        case 0x0fc: UInt64(device.configuration.generation)
        default: 0
        }
    }

    /// A write of a register, or of the device's configuration fields.
    public override func write(offset: UInt64, size: Int, value: UInt64) {
        if offset >= VirtioMMIO.configuration {
            return device.writeConfiguration(
                offset: Int(offset &- VirtioMMIO.configuration), size: size, value: value)
        }
        guard size == 4 else { return }
        if offset == 0x50 { return ring(value) }
        monitor.inside { set(offset, UInt32(truncatingIfNeeded: value)) }
    }

    private func set(_ offset: UInt64, _ value: UInt32) {
        switch offset {
        case 0x014: deviceFeatureSelect = value
        case 0x020: setDriverFeatures(value)
        case 0x024: driverFeatureSelect = value
        case 0x030: queueSelect = value
        case 0x038: changeQueue { $0.layout.size = UInt16(clamping: value) }
        case 0x044:
            if value & 1 != 0 {
                makeQueueReady()
            } else if queueSelect < UInt32(queues.count), !isActive {
                queues[Int(queueSelect)].isReady = false
            }
        case 0x064: raised.lower(value)
        case 0x070: setStatus(UInt8(truncatingIfNeeded: value))
        case 0x080: changeQueue { $0.layout.descriptors.setLow(value) }
        case 0x084: changeQueue { $0.layout.descriptors.setHigh(value) }
        case 0x090: changeQueue { $0.layout.available.setLow(value) }
        case 0x094: changeQueue { $0.layout.available.setHigh(value) }
        case 0x0a0: changeQueue { $0.layout.used.setLow(value) }
        case 0x0a4: changeQueue { $0.layout.used.setHigh(value) }
        default: break
        }
    }
}

extension UInt64 {
    mutating func setLow(_ value: UInt32) { self = (self & ~0xffff_ffff) | UInt64(value) }
    mutating func setHigh(_ value: UInt32) { self = (self & 0xffff_ffff) | UInt64(value) << 32 }
}
