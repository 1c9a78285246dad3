public import UrsaBase

/// A virtio device: what it offers and what it does, whatever bus it is on. To add one, subclass this.
///
/// The simplest override `serve`, and get a thread for each queue. Those that wait for something besides their driver
/// override `activate` and `deactivate`. docs/adding-a-device.md shows it step by step.
open class VirtioDevice: @unchecked Sendable {
    // SAFETY: `link` is set once before the device is seen by a second thread; `threads` is touched by `activate` and
    // `deactivate` only, which the transport never calls at the same time. Subclasses guard what they add.

    /// What the device is.
    public let type: VirtioDeviceType
    /// Most entries of each queue, powers of two.
    public let queueSizes: [UInt16]
    /// The fields that the driver reads, and their generation.
    public let configuration: DeviceConfiguration
    private var link: DeviceLink?
    private var threads: [QueueThread] = []

    /// A device.
    ///
    /// - Parameter configurationSize: bytes of the type's configuration fields.
    public init(type: VirtioDeviceType, queueSizes: [UInt16], configurationSize: Int = 0) {
        self.type = type
        self.queueSizes = queueSizes
        configuration = DeviceConfiguration(size: configurationSize)
    }

    /// The bits of this type that the device offers; those of queues and transports are added by others.
    open var features: VirtioFeatures { [] }

    /// Everything that the driver may choose from.
    public final var offeredFeatures: VirtioFeatures { features.union(.ground) }

    /// The driver writes a configuration field. What has none to write ignores it.
    open func writeConfiguration(offset: Int, size: Int, value: UInt64) {}

    /// The driver is ready: from now on chains may come.
    ///
    /// - Parameter queues: those that the driver has set up, by number; it need not be all.
    open func activate(_ queues: [ActiveQueue], features: VirtioFeatures) throws(UrsaError) {
        for queue in queues {
            threads.append(
                try QueueThread(queue, name: type.name) { [unowned self] thread in
                    thread.serve { chain in self.serve(queue.index, &chain) }
                })
        }
    }

    /// The driver resets the device, or the machine ends. On return no thread of the device touches the guest's memory,
    /// and no back end will either.
    open func deactivate() {
        for thread in threads { thread.stop() }
        threads = []
    }

    /// The machine ends: what the device holds of the host is written out. After `deactivate`.
    open func close() {}

    /// Does one request of a queue, for devices that use the default `activate`.
    ///
    /// - Returns: how many bytes were written into the chain; nil when the request is so wrong that the device can't go on.
    open func serve(_ queue: Int, _ chain: inout Chain) -> Int? { 0 }

    // MARK: Talking to the driver

    /// Tells the driver that configuration fields have changed. After `configuration.set`.
    public final func configurationChanged() { link?.configurationChanged() }

    /// Ends the use of the device until its driver resets it, and says why in the monitor's log.
    public final func fail(_ reason: String) { link?.fail(reason) }

    final func connect(_ link: DeviceLink) { self.link = link }
}

/// A type of device (virtio 1.2 section 5), with what PCI says about it.
public struct VirtioDeviceType: Sendable, Hashable {
    /// Its number.
    public let number: UInt16
    /// PCI's class code: base class, subclass, interface.
    public let pciClass: UInt32
    /// For names of threads, and messages.
    public let name: String

    /// A type.
    public init(_ number: UInt16, name: String, pciClass: UInt32 = 0xff_0000) {
        self.number = number
        self.name = name
        self.pciClass = pciClass
    }
}

/// The configuration fields of a device: bytes that the device changes and the driver reads (section 2.5).
public final class DeviceConfiguration: Sendable {
    private struct State {
        var bytes: [UInt8]
        var generation: UInt32 = 0
    }
    private let state: Locked<State>

    init(size: Int) { state = Locked(State(bytes: [UInt8](repeating: 0, count: max(0, size)))) }

    /// Changes with every change of fields.
    public var generation: UInt32 { state.withLock { $0.generation } }

    /// Writes a field little endian, as one step for the driver.
    public func set<T: FixedWidthInteger>(_ value: T, at offset: Int) {
        set(
            (0..<MemoryLayout<T>.size).map { UInt8(truncatingIfNeeded: value >> T(truncatingIfNeeded: 8 * $0)) },
            at: offset)
    }

    /// Writes a field of bytes, as one step for the driver.
    public func set(_ bytes: [UInt8], at offset: Int) {
        state.withLock { state in
            guard offset >= 0, offset <= state.bytes.count, bytes.count <= state.bytes.count - offset else { return }
            guard !state.bytes[offset..<(offset + bytes.count)].elementsEqual(bytes) else { return }
            state.bytes.replaceSubrange(offset..<(offset + bytes.count), with: bytes)
            state.generation &+= 1
        }
    }

    /// A field as the device last set it, or the driver wrote it; zeros past the end.
    public func read(offset: Int, size: Int) -> UInt64 {
        state.withLock { state in
            var value: UInt64 = 0
            for index in 0..<min(max(0, size), 8) {
                let place = offset &+ index
                guard place >= 0, place < state.bytes.count else { continue }
                value |= UInt64(state.bytes[place]) << UInt64(8 &* index)
            }
            return value
        }
    }
}
