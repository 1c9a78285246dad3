import CLinux
import UrsaBase
import UrsaKVM

/// What both transports do alike: status, features, queues, and the device's life (virtio 1.2 sections 2.1, 2.2, 3.1).
///
/// Everything here is called with `monitor` entered, by the registers of the subclass.
public class VirtioTransport: BusDevice, @unchecked Sendable {
    /// Device status bits (section 2.1).
    enum Status {
        static let acknowledge: UInt8 = 1
        static let driver: UInt8 = 2
        static let driverOK: UInt8 = 4
        static let featuresOK: UInt8 = 8
        static let needsReset: UInt8 = 64
        static let failed: UInt8 = 128
    }

    /// What the driver has told about one queue.
    struct QueueSetting {
        var layout: QueueLayout
        var isReady = false
        /// Vector of its interrupt, with MSI-X.
        var vector: UInt16 = 0xffff
    }

    /// The device.
    public let device: VirtioDevice
    /// The guest's memory.
    public let ram: GuestRAM
    let doorbells: Doorbells
    let monitor = Monitor()
    let link: DeviceLink
    /// One for each queue.
    let kicks: [SharedFD]

    // SAFETY: everything below is touched inside `monitor` only.
    private(set) var status: UInt8 = 0
    var deviceFeatureSelect: UInt32 = 0
    var driverFeatureSelect: UInt32 = 0
    private var driverFeatures: UInt64 = 0
    /// The driver wants a bit past the 64 that there are.
    private var wantsUnknown = false
    var queueSelect: UInt32 = 0
    var queues: [QueueSetting]
    private(set) var isActive = false

    init(
        _ device: VirtioDevice, ram: GuestRAM, doorbells: Doorbells, link: DeviceLink
    ) throws(UrsaError) {
        self.device = device
        self.ram = ram
        self.doorbells = doorbells
        self.link = link
        var kicks: [SharedFD] = []
        for _ in device.queueSizes { kicks.append(SharedFD(OwnedFD(try check(clinux_eventfd(), "make an eventfd")))) }
        self.kicks = kicks
        queues = device.queueSizes.map {
            QueueSetting(layout: QueueLayout(size: $0, descriptors: 0, available: 0, used: 0))
        }
        super.init()
        device.connect(link)
    }

    // MARK: For subclasses

    /// The interrupt of a queue: an eventfd and who keeps it open, or -1.
    func interrupt(of queue: QueueSetting) -> (event: Int32, keeper: (any AnyObject & Sendable)?) { (-1, nil) }
    /// The bits to raise with every interrupt, where there are no message interrupts.
    var interruptStatus: InterruptStatus? { nil }
    /// Where a queue's doorbell lies now; nil when the guest can't reach it.
    func doorbell(of queue: Int) -> DoorbellPlace? { nil }
    /// The registers of the subclass as after a reset.
    func resetRegisters() {}

    // MARK: Registers

    /// The status as the driver reads it.
    var statusToRead: UInt8 { link.needsReset ? status | Status.needsReset : status }

    /// A write of the status register.
    func setStatus(_ value: UInt8) {
        if value == 0 { return reset() }
        var new = status | (value & ~Status.needsReset)
        if new & Status.featuresOK != 0, status & Status.featuresOK == 0, !acceptsFeatures { new &= ~Status.featuresOK }
        // Without features that both sides want there is no device to drive (section 3.1.1).
        if new & Status.driverOK != 0, new & Status.featuresOK == 0 { new &= ~Status.driverOK }
        let starts = new & Status.driverOK != 0 && status & Status.driverOK == 0
        status = new
        if starts { activate() }
    }

    private var acceptsFeatures: Bool {
        let offered = device.offeredFeatures
        let wanted = VirtioFeatures(rawValue: driverFeatures)
        return !wantsUnknown && wanted.isSubset(of: offered) && wanted.contains(.version1)
    }

    var deviceFeatures: UInt32 {
        switch deviceFeatureSelect {
        case 0: UInt32(truncatingIfNeeded: device.offeredFeatures.rawValue)
        case 1: UInt32(truncatingIfNeeded: device.offeredFeatures.rawValue >> 32)
        default: 0
        }
    }

    var driverFeaturesToRead: UInt32 {
        switch driverFeatureSelect {
        case 0: UInt32(truncatingIfNeeded: driverFeatures)
        case 1: UInt32(truncatingIfNeeded: driverFeatures >> 32)
        default: 0
        }
    }

    func setDriverFeatures(_ value: UInt32) {
        guard status & Status.featuresOK == 0 else { return }
        switch driverFeatureSelect {
        case 0: driverFeatures = (driverFeatures & ~0xffff_ffff) | UInt64(value)
        case 1: driverFeatures = (driverFeatures & 0xffff_ffff) | UInt64(value) << 32
        default: if value != 0 { wantsUnknown = true }
        }
    }

    /// Changes the setting of the selected queue, while the driver may.
    func changeQueue(_ change: (inout QueueSetting) -> Void) {
        guard queueSelect < UInt32(queues.count), !queues[Int(queueSelect)].isReady, !isActive else { return }
        change(&queues[Int(queueSelect)])
    }

    /// The setting of the selected queue; nil when there is none.
    var selectedQueue: QueueSetting? { queueSelect < UInt32(queues.count) ? queues[Int(queueSelect)] : nil }

    /// The driver says that the selected queue is set up: the moment when its ranges are looked at.
    func makeQueueReady() {
        guard queueSelect < UInt32(queues.count), !isActive else { return }
        let index = Int(queueSelect)
        guard !queues[index].isReady else { return }
        if let fault = queues[index].layout.fault(in: ram, largest: device.queueSizes[index]) {
            return link.fail("queue \(index): \(fault.rawValue)")
        }
        queues[index].isReady = true
    }

    /// A doorbell that came as an exit.
    func ring(_ queue: UInt64) {
        guard queue < UInt64(kicks.count) else { return }
        clinux_eventfd_signal(kicks[Int(queue)].raw)
    }

    // MARK: Life

    private func activate() {
        guard !link.needsReset else { return }
        let features = VirtioFeatures(rawValue: driverFeatures)
        var active: [ActiveQueue] = []
        for (index, queue) in queues.enumerated() where queue.isReady {
            let (event, keeper) = interrupt(of: queue)
            active.append(
                ActiveQueue(
                    index: index, layout: queue.layout, largest: device.queueSizes[index], features: features, ram: ram,
                    doorbell: kicks[index], event: event, keeper: keeper, status: interruptStatus, link: link))
        }
        do throws(UrsaError) {
            isActive = true
            try connectDoorbells()
            try device.activate(active, features: features)
        } catch {
            disconnectDoorbells()
            device.deactivate()
            isActive = false
            link.fail("the device can't start: \(error)")
        }
    }

    /// Places with a doorbell in the kernel.
    private var connected: [(place: DoorbellPlace, event: Int32)] = []

    /// Connects the doorbells of an active device where they lie now.
    func connectDoorbells() throws(UrsaError) {
        disconnectDoorbells()
        guard isActive else { return }
        for index in queues.indices where queues[index].isReady {
            guard let place = doorbell(of: index) else { continue }
            try doorbells.add(place, eventFD: kicks[index].raw)
            connected.append((place, kicks[index].raw))
        }
    }

    func disconnectDoorbells() {
        for item in connected { doorbells.remove(item.place, eventFD: item.event) }
        connected = []
    }

    /// The reset that a driver asks for with status 0: on return nothing of the device runs (section 2.4).
    func reset() {
        if isActive {
            disconnectDoorbells()
            device.deactivate()
            isActive = false
        }
        link.reset()
        status = 0
        deviceFeatureSelect = 0
        driverFeatureSelect = 0
        driverFeatures = 0
        wantsUnknown = false
        queueSelect = 0
        for index in queues.indices {
            queues[index] = QueueSetting(
                layout: QueueLayout(size: device.queueSizes[index], descriptors: 0, available: 0, used: 0))
            _ = clinux_eventfd_take(kicks[index].raw)
        }
        resetRegisters()
    }

    /// The reset of the machine, and its end.
    public func resetMachine() { monitor.inside { reset() } }
}
