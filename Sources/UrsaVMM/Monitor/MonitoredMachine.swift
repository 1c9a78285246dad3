public import UrsaBase

/// What a monitor may ask of the machine and tell it to do. All calls come on the thread of the event loop that serves
/// the monitors, and must return soon.
///
/// What happens is told by `MonitorEvents`, by whoever makes it happen; a command's events come before its answer.
public protocol MonitoredMachine: AnyObject {
    /// The machine's name.
    var name: String { get }
    /// Its UUID in the form of RFC 4122.
    var uuid: String { get }
    /// Bytes of guest memory.
    var memory: UInt64 { get }
    /// What it is doing.
    var state: MachineState { get }
    /// Its processors in order.
    var processors: [MonitoredProcessor] { get }
    /// Its disks in order.
    var disks: [MonitoredDisk] { get }
    /// Bytes that the balloon leaves to the guest; nil without a balloon.
    var balloon: UInt64? { get }

    /// Stops all processors; a stopped machine stays so. Tells STOP when it ran before.
    func stop() throws(UrsaError)
    /// Lets the processors run. Tells RESUME when it did not run before.
    func resume() throws(UrsaError)
    /// Presses the power button. Tells POWERDOWN.
    func pressPowerButton() throws(UrsaError)
    /// Starts the machine anew. Tells RESET.
    func reset() throws(UrsaError)
    /// Ends the machine soon after the answer has left. Tells SHUTDOWN.
    func quit()
    /// Asks the guest to leave all but so many bytes to the host. Tells BALLOON_CHANGE as it happens.
    func setBalloon(_ bytes: UInt64) throws(UrsaError)
}

/// What a machine is doing, in QEMU's words (qapi/run-state.json, RunState).
public enum MachineState: String, Sendable, Hashable {
    /// It has not run yet.
    case prelaunch
    /// Its processors run.
    case running
    /// It was stopped by a command.
    case paused
    /// The guest has powered off.
    case shutdown
    /// The guest's kernel gave up.
    case guestPanicked = "guest-panicked"
    /// A processor came to what KVM can't go on from.
    case internalError = "internal-error"
}

/// A processor of the machine.
public struct MonitoredProcessor: Sendable, Hashable {
    /// Its number from 0.
    public var index: Int
    /// The kernel's id of its thread.
    public var thread: Int32

    /// A processor.
    public init(index: Int, thread: Int32) {
        self.index = index
        self.thread = thread
    }
}

/// A disk of the machine.
public struct MonitoredDisk: Sendable, Hashable {
    /// Format of its uppermost layer: `raw` or `qcow2`.
    public var format: String
    /// Bytes that the guest sees.
    public var size: UInt64
    /// Layers below the uppermost.
    public var backingLayers: Int
    /// Whether the guest may only read.
    public var isReadOnly: Bool

    /// A disk.
    public init(format: String, size: UInt64, backingLayers: Int, isReadOnly: Bool) {
        self.format = format
        self.size = size
        self.backingLayers = backingLayers
        self.isReadOnly = isReadOnly
    }
}
