import CLinux
public import UrsaBase
import UrsaKVM

/// A virtio device as a PCI function, modern interface only (virtio 1.2 section 4.1).
///
/// One range of 32 KiB holds everything, because every range costs a guest four exits when it looks for devices.
public final class VirtioPCI: VirtioTransport, @unchecked Sendable {
    /// Offsets in the range.
    enum Layout {
        static let common: UInt64 = 0x0000
        static let interruptStatus: UInt64 = 0x1000
        static let device: UInt64 = 0x2000
        static let notify: UInt64 = 0x3000
        static let table: UInt64 = 0x4000
        static let pending: UInt64 = 0x5000
        static let size: UInt64 = 0x8000
        static let doorbellSize: UInt64 = 4
    }

    /// The configuration space.
    public private(set) var function: PCIFunction = PCIHostBridge()
    private let raised = InterruptStatus()
    private let table: MSIXTable
    private let configurationMessage: Locked<MessageInterrupt?>
    // SAFETY: inside `monitor` only.
    private var configurationVector: UInt16 = 0xffff
    /// Where the range is mapped now.
    private var mapped: UInt64?

    /// A function that the caller puts on a bus.
    ///
    /// - Parameter log: takes one line when the driver breaks the rules.
    public init(
        _ device: VirtioDevice, ram: GuestRAM, interrupts: InterruptController, doorbells: Doorbells,
        log: @escaping @Sendable (String) -> Void = { _ in }
    ) throws(UrsaError) {
        guard device.queueSizes.count <= 255 else {
            throw UrsaError(.usage, "a device with \(device.queueSizes.count) queues; 255 can be")
        }
        table = MSIXTable(vectors: device.queueSizes.count + 1, interrupts, log: log)
        let message = Locked<MessageInterrupt?>(nil)
        configurationMessage = message
        let link = DeviceLink(interrupt: { message.withLock { $0 }?.signal() }, log: log)
        try super.init(device, ram: ram, doorbells: doorbells, link: link)
        function = VirtioFunction(self, vectors: table.count)
    }

    override func interrupt(of queue: QueueSetting) -> (event: Int32, keeper: (any AnyObject & Sendable)?) {
        guard let message = table.message(queue.vector) else { return (-1, nil) }
        return (message.eventFD, message)
    }
    override func doorbell(of queue: Int) -> DoorbellPlace? {
        // Two bytes, because that is what drivers write without NOTIFICATION_DATA (section 4.1.5.2).
        mapped.map {
            DoorbellPlace(address: $0 &+ Layout.notify &+ UInt64(queue) &* Layout.doorbellSize, size: 2)
        }
    }
    override func resetRegisters() {
        raised.lower(.max)
        configurationVector = 0xffff
        configurationMessage.withLock { $0 = nil }
    }

    // MARK: What the configuration space calls

    /// The range appears at an address, or goes.
    func map(at address: UInt64?, on bus: Bus) {
        monitor.inside {
            guard address != mapped else { return }
            disconnectDoorbells()
            if let mapped { bus.remove(at: mapped) }
            mapped = nil
            guard let address, AddressMap.pciWindow32.contains(address),
                address &+ Layout.size <= AddressMap.pciWindow32.upperBound
            else { return }
            do throws(UrsaError) {
                try bus.add(self, at: address, count: Layout.size, name: function.name)
                mapped = address
                try connectDoorbells()
            } catch {
                // Another function's range lies there: the guest reaches neither by what it did, until it moves one.
                disconnectDoorbells()
            }
        }
    }

    func setMessages(isEnabled: Bool, isMasked: Bool) {
        monitor.inside { table.setControl(isEnabled: isEnabled, isMasked: isMasked) }
    }

    func resetFunction() {
        monitor.inside {
            reset()
            table.reset()
        }
    }

    // MARK: The range

    /// A read of the range.
    public override func read(offset: UInt64, size: Int) -> UInt64 {
        switch offset {
        case ..<Layout.interruptStatus:
            return monitor.inside { commonBytes(offset, size) }
        case Layout.interruptStatus..<Layout.device:
            return offset == Layout.interruptStatus ? UInt64(raised.take()) : 0
        case Layout.device..<Layout.notify:
            return device.configuration.read(offset: Int(offset &- Layout.device), size: size)
        case Layout.table..<Layout.pending:
            return monitor.inside { table.read(offset: Int(offset &- Layout.table), size: size) }
        case Layout.pending..<(Layout.pending &+ 0x1000):
            return monitor.inside { table.readPending(offset: Int(offset &- Layout.pending), size: size) }
        default: return 0
        }
    }

    /// A write of the range.
    public override func write(offset: UInt64, size: Int, value: UInt64) {
        switch offset {
        case ..<Layout.interruptStatus:
            monitor.inside { setCommon(offset, size, value) }
        case Layout.device..<Layout.notify:
            device.writeConfiguration(offset: Int(offset &- Layout.device), size: size, value: value)
        case Layout.notify..<Layout.table:
            ring((offset &- Layout.notify) / Layout.doorbellSize)
        case Layout.table..<Layout.pending:
            monitor.inside { table.write(offset: Int(offset &- Layout.table), size: size, value: value) }
        default: break
        }
    }

    // MARK: Common configuration (section 4.1.4.3)

    private func commonBytes(_ offset: UInt64, _ size: Int) -> UInt64 {
        var result: UInt64 = 0
        var place = 0
        // Fields of 4 bytes at most, so that an access of any size and place is put together from them.
        while place < min(size, 8) {
            let position = offset &+ UInt64(place)
            let (start, length, value) = field(position)
            let skip = position &- start
            result |= (value >> (8 &* skip)) << UInt64(8 &* place)
            place &+= max(1, length &- Int(skip))
        }
        return size >= 8 ? result : result & ((1 << UInt64(8 &* size)) &- 1)
    }

    /// Start, length and value of the field that holds a byte.
    private func field(_ offset: UInt64) -> (start: UInt64, length: Int, value: UInt64) {
        let queue = selectedQueue
        switch offset {
        case 0..<4: return (0, 4, UInt64(deviceFeatureSelect))
        case 4..<8: return (4, 4, UInt64(deviceFeatures))
        case 8..<12: return (8, 4, UInt64(driverFeatureSelect))
        case 12..<16: return (12, 4, UInt64(driverFeaturesToRead))
        case 16..<18: return (16, 2, UInt64(configurationVector))
        case 18..<20: return (18, 2, UInt64(queues.count))
        case 20: return (20, 1, UInt64(statusToRead))
        case 21: return (21, 1, UInt64(device.configuration.generation & 0xff))
        case 22..<24: return (22, 2, UInt64(queueSelect & 0xffff))
        case 24..<26: return (24, 2, UInt64(queue?.layout.size ?? 0))
        case 26..<28: return (26, 2, UInt64(queue?.vector ?? 0xffff))
        case 28..<30: return (28, 2, queue?.isReady == true ? 1 : 0)
        case 30..<32: return (30, 2, queue == nil ? 0 : UInt64(queueSelect))
        case 32..<36: return (32, 4, (queue?.layout.descriptors ?? 0) & 0xffff_ffff)
        case 36..<40: return (36, 4, (queue?.layout.descriptors ?? 0) >> 32)
        case 40..<44: return (40, 4, (queue?.layout.available ?? 0) & 0xffff_ffff)
        case 44..<48: return (44, 4, (queue?.layout.available ?? 0) >> 32)
        case 48..<52: return (48, 4, (queue?.layout.used ?? 0) & 0xffff_ffff)
        case 52..<56: return (52, 4, (queue?.layout.used ?? 0) >> 32)
        default: return (offset, 1, 0)
        }
    }

    /// Fields are written whole (section 4.1.3.1); those of 8 bytes by halves too. Anything else does nothing.
    private func setCommon(_ offset: UInt64, _ size: Int, _ value: UInt64) {
        let low = UInt32(truncatingIfNeeded: value)
        let short = UInt16(truncatingIfNeeded: value)
        switch (offset, size) {
        case (0, 4): deviceFeatureSelect = low
        case (8, 4): driverFeatureSelect = low
        case (12, 4): setDriverFeatures(low)
        case (16, 2): setConfigurationVector(short)
        case (20, 1): setStatus(UInt8(truncatingIfNeeded: value))
        case (22, 2): queueSelect = UInt32(short)
        case (24, 2): changeQueue { $0.layout.size = short }
        case (26, 2):
            let vector = Int(short) < table.count ? short : 0xffff
            changeQueue { $0.vector = vector }
        case (28, 2): if short == 1 { makeQueueReady() }
        case (32, 4): changeQueue { $0.layout.descriptors.setLow(low) }
        case (36, 4): changeQueue { $0.layout.descriptors.setHigh(low) }
        case (40, 4): changeQueue { $0.layout.available.setLow(low) }
        case (44, 4): changeQueue { $0.layout.available.setHigh(low) }
        case (48, 4): changeQueue { $0.layout.used.setLow(low) }
        case (52, 4): changeQueue { $0.layout.used.setHigh(low) }
        case (32, 8): changeQueue { $0.layout.descriptors = value }
        case (40, 8): changeQueue { $0.layout.available = value }
        case (48, 8): changeQueue { $0.layout.used = value }
        default: break
        }
    }

    private func setConfigurationVector(_ vector: UInt16) {
        let message = table.message(vector)
        configurationVector = message == nil ? 0xffff : vector
        configurationMessage.withLock { $0 = message }
    }
}
