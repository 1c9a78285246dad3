/// The ports by which a guest resets its machine or switches it off: ACPI's sleep and reset registers (ACPI 6.5, 4.8.3.6 and 4.8.3.7).
public final class PowerManagement: BusDevice, @unchecked Sendable {
    // SAFETY: no mutable state.
    private let requests: any LifeCycleRequests

    init(_ requests: any LifeCycleRequests) { self.requests = requests }

    public override func read(offset: UInt64, size: Int) -> UInt64 { 0 }

    public override func write(offset: UInt64, size: Int, value: UInt64) {
        let value = UInt8(truncatingIfNeeded: value)
        switch offset {
        case ACPITables.Port.sleepControl - AddressMap.powerManagement:
            // SLP_EN is bit 5, SLP_TYP bits 4…2.
            if value & 0x20 != 0, value >> 2 & 7 == ACPITables.powerOffType {
                requests.request(.powerOff(.guestShutdown))
            }
        case ACPITables.Port.reset - AddressMap.powerManagement:
            if value == ACPITables.resetValue { requests.request(.reset(.guestReset)) }
        default: break
        }
    }
}

/// A port of the keyboard controller, as far as a machine without keyboard has one: the pulse that resets (IBM PC/AT, 8042 command 0xfe).
public final class ResetPulse: BusDevice, @unchecked Sendable {
    // SAFETY: no mutable state.
    private let requests: any LifeCycleRequests
    private let isCommand: Bool

    /// - Parameter isCommand: port 0x64, commands and status; else 0x60, data.
    init(_ requests: any LifeCycleRequests, isCommand: Bool) {
        self.requests = requests
        self.isCommand = isCommand
    }

    /// The status: both buffers are empty.
    public override func read(offset: UInt64, size: Int) -> UInt64 { isCommand ? 0 : 0xff }

    public override func write(offset: UInt64, size: Int, value: UInt64) {
        if isCommand, value & 0xff == 0xfe { requests.request(.reset(.guestReset)) }
    }
}

/// The port by which a guest says that its kernel has panicked (QEMU, docs/specs/pvpanic.rst).
public final class PanicNotice: BusDevice, @unchecked Sendable {
    // SAFETY: no mutable state.
    private let requests: any LifeCycleRequests

    init(_ requests: any LifeCycleRequests) { self.requests = requests }

    /// Which notices there are: bit 0 a panic, bit 1 a panic that a crash kernel handles.
    public override func read(offset: UInt64, size: Int) -> UInt64 { 0x03 }

    public override func write(offset: UInt64, size: Int, value: UInt64) {
        if value & 1 != 0 { requests.request(.panicked) } else if value & 2 != 0 { requests.request(.crashLoaded) }
    }
}
