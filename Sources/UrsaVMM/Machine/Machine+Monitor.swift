public import UrsaBase
import UrsaDisk

/// What QMP asks of a machine.
extension Machine: MonitoredMachine {
    /// The configuration's name.
    public var name: String { configuration.name }
    /// The configuration's UUID.
    public var uuid: String { configuration.uuid }
    /// Bytes of guest memory.
    public var memory: UInt64 { configuration.memory }
    /// The processors' threads.
    public var processors: [MonitoredProcessor] {
        group.all.map { MonitoredProcessor(index: $0.index, thread: $0.threadID) }
    }
    /// The disks.
    public var disks: [MonitoredDisk] {
        zip(blocks, configuration.disks).map { device, disk in
            MonitoredDisk(
                format: disk.layers[0].format.rawValue, size: device.image.size, backingLayers: disk.layers.count - 1,
                isReadOnly: disk.isReadOnly)
        }
    }
    /// Bytes that the balloon leaves to the guest.
    public var balloon: UInt64? { balloonDevice?.actual }

    /// Stops the processors.
    public func stop() throws(UrsaError) { try pauseProcessors() }
    /// Lets them run.
    public func resume() throws(UrsaError) { try resumeProcessors() }
    /// Raises the power button's event.
    public func pressPowerButton() throws(UrsaError) {
        events.send(.powerdown())
        powerButton.signal()
    }
    /// Starts the machine anew.
    public func reset() throws(UrsaError) { restart(.hostReset) }
    /// Ends the machine.
    public func quit() { request(.powerOff(.hostQuit)) }
    /// Sets the balloon.
    public func setBalloon(_ bytes: UInt64) throws(UrsaError) {
        guard let balloonDevice else { throw UrsaError(.notFound, "this machine has no balloon") }
        balloonDevice.setTarget(bytes)
    }
}
