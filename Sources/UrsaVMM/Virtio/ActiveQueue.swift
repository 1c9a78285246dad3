import CLinux
import Synchronization
public import UrsaBase

/// A queue that the driver has set up, with its doorbell and its interrupt: what a device gets when it becomes active.
public final class ActiveQueue: Sendable {
    /// The queue's number in the device.
    public let index: Int
    /// Where it lies.
    public let layout: QueueLayout
    /// What was negotiated.
    public let features: VirtioFeatures
    /// The guest's memory.
    public let ram: GuestRAM
    /// Most entries of a chain.
    public let largest: UInt16
    /// Readable when the driver says that there is work; may be so without work.
    public var kick: Int32 { doorbell.raw }
    /// For back ends of the kernel: counts in it are interrupts. -1 when the interrupt needs more than that.
    public var call: Int32 { status == nil ? event : -1 }

    private let doorbell: SharedFD
    private let event: Int32
    private let keeper: (any AnyObject & Sendable)?
    private let status: InterruptStatus?
    private let link: DeviceLink

    init(
        index: Int, layout: QueueLayout, largest: UInt16, features: VirtioFeatures, ram: GuestRAM, doorbell: SharedFD,
        event: Int32, keeper: (any AnyObject & Sendable)?, status: InterruptStatus?, link: DeviceLink
    ) {
        self.index = index
        self.layout = layout
        self.largest = largest
        self.features = features
        self.ram = ram
        self.doorbell = doorbell
        self.event = event
        self.keeper = keeper
        self.status = status
        self.link = link
    }

    /// The queue in its first state; for one thread, once for each activation.
    public func makeQueue() throws(UrsaError) -> Queue {
        do throws(QueueFault) {
            return try Queue(layout, in: ram, features: features, largest: largest)
        } catch {
            // The transport has looked before.
            throw UrsaError(.bug, "a queue was made active although \(error.rawValue)")
        }
    }

    /// A chain that holds whatever the queue can have.
    public func makeChain() -> Chain { Chain(capacity: Int(largest)) }

    /// Raises the queue's interrupt. Takes no lock and allocates nothing.
    @inline(__always)
    public func signal() {
        status?.raise(InterruptStatus.queue)
        if event >= 0 { clinux_eventfd_signal(event) }
    }

    /// Shows the driver what was given back, with an interrupt if it wants one.
    @inline(__always)
    public func publish(_ queue: inout Queue) {
        queue.publish()
        if queue.wantsInterrupt() { signal() }
    }

    /// Ends the use of the device until the driver resets it.
    public func fail(_ fault: QueueFault) { link.fail("queue \(index): \(fault.rawValue)") }
}

/// The interrupt status of a device without message interrupts (virtio 1.2 sections 4.1.4.5 and 4.2.2).
final class InterruptStatus: Sendable {
    static let queue: UInt32 = 1
    static let configuration: UInt32 = 2
    private let bits = Atomic<UInt32>(0)

    var value: UInt32 { bits.load(ordering: .acquiring) }
    @inline(__always)
    func raise(_ bit: UInt32) { bits.bitwiseOr(bit, ordering: .sequentiallyConsistent) }
    func lower(_ mask: UInt32) { bits.bitwiseAnd(~mask, ordering: .sequentiallyConsistent) }
    /// Reads and clears.
    func take() -> UInt32 { bits.exchange(0, ordering: .sequentiallyConsistent) }
}

/// What a device can say to its driver at any moment, from any thread, without the transport's lock.
final class DeviceLink: Sendable {
    private let isBroken = Atomic<Bool>(false)
    private let reason = Locked("")
    private let interrupt: @Sendable () -> Void
    private let log: @Sendable (String) -> Void

    init(interrupt: @escaping @Sendable () -> Void, log: @escaping @Sendable (String) -> Void) {
        self.interrupt = interrupt
        self.log = log
    }

    /// Whether the driver has to reset the device.
    var needsReset: Bool { isBroken.load(ordering: .acquiring) }
    /// Why.
    var fault: String { reason.withLock { $0 } }

    /// The configuration has changed.
    func configurationChanged() { interrupt() }

    /// DEVICE_NEEDS_RESET (section 2.1.2); only the first reason is told.
    func fail(_ why: String) {
        reason.withLock { if $0.isEmpty { $0 = why } }
        guard !isBroken.exchange(true, ordering: .acquiringAndReleasing) else { return }
        log(why)
        interrupt()
    }

    func reset() {
        reason.withLock { $0 = "" }
        isBroken.store(false, ordering: .releasing)
    }
}
