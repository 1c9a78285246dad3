public import UrsaBase

/// Bus 0: 32 slots with one function each, their configuration spaces, and the ranges of addresses they get.
///
/// The guest reaches configuration spaces by memory (ECAM; PCIe 4.0, 7.2.2) and by the ports 0xcf8 and 0xcfc (PCI 3.0,
/// 3.2.2.3.2). Ranges are given out before the guest starts, as firmware would; it may move them.
public final class PCIBus: @unchecked Sendable {
    // SAFETY: everything mutable is touched inside `monitor` only.

    /// Slots.
    public static let slots = 32
    /// The bus on which ranges of addresses appear.
    public let memory: Bus
    /// Reaches all configuration spaces; the caller puts it at `AddressMap.pciConfiguration`.
    public private(set) var configurationWindow: BusDevice = BusDevice()
    /// Reaches configuration spaces by address and data; the caller puts it at the eight ports from 0xcf8.
    public private(set) var configurationPorts: BusDevice = BusDevice()

    let monitor = Monitor()
    private var functions = [PCIFunction?](repeating: nil, count: PCIBus.slots)
    private var nextRange = AddressMap.pciWindow32.lowerBound

    /// A bus with its host bridge in slot 0.
    public init(memory: Bus) throws(UrsaError) {
        self.memory = memory
        configurationWindow = PCIWindow(self)
        configurationPorts = PCIPorts(self)
        try add(PCIHostBridge(), slot: 0)
    }

    /// Puts a function into a slot, the first free one from 1 if none is named.
    ///
    /// - Returns: the slot.
    @discardableResult
    public func add(_ function: PCIFunction, slot wanted: Int? = nil) throws(UrsaError) -> Int {
        try monitor.inside { () throws(UrsaError) in
            let slot = wanted ?? functions.dropFirst().firstIndex { $0 == nil } ?? PCIBus.slots
            guard (0..<PCIBus.slots).contains(slot) else {
                throw UrsaError(.usage, "the PCI bus has no slot \(slot)", remedy: "use 1 to 31, or fewer devices")
            }
            guard functions[slot] == nil else {
                throw UrsaError(.conflict, "PCI slot \(slot) has \(functions[slot]?.name ?? "") already")
            }
            functions[slot] = function
            try function.place(on: self, slot: slot)
            return slot
        }
    }

    /// A range of addresses for a function's registers, aligned to its size, a power of two.
    func takeRange(_ size: UInt64) throws(UrsaError) -> UInt64 {
        let start = (nextRange &+ size &- 1) & ~(size &- 1)
        guard start &+ size <= AddressMap.pciWindow32.upperBound else {
            throw UrsaError(.unsupported, "no room for more PCI functions below 4 GiB")
        }
        nextRange = start &+ size
        return start
    }

    /// Functions as after power-on.
    public func reset() {
        monitor.inside { for function in functions { function?.reset() } }
    }

    /// Slots in use and what is in them, for people.
    public var listing: [(slot: Int, name: String)] {
        monitor.inside { functions.enumerated().compactMap { slot, function in function.map { (slot, $0.name) } } }
    }

    // MARK: Accesses

    /// A read; all ones where there is no function, zeros in the parts of the space that none here uses.
    func read(slot: Int, function: Int, offset: Int, size: Int) -> UInt32 {
        monitor.inside {
            guard function == 0, slot >= 0, slot < PCIBus.slots, let target = functions[slot] else { return .max }
            guard offset >= 0, offset < 256, size > 0, size <= 4 else { return 0 }
            return target.readConfiguration(offset, size: size)
        }
    }

    func write(slot: Int, function: Int, offset: Int, size: Int, _ value: UInt32) {
        monitor.inside {
            guard function == 0, slot >= 0, slot < PCIBus.slots, let target = functions[slot] else { return }
            guard offset >= 0, offset < 256, size > 0, size <= 4 else { return }
            target.writeConfiguration(offset, size: size, value)
        }
    }
}

/// Configuration spaces as memory: 4 KiB for each function, 8 functions for each slot.
private final class PCIWindow: BusDevice, @unchecked Sendable {
    private unowned let bus: PCIBus
    init(_ bus: PCIBus) { self.bus = bus }

    override func read(offset: UInt64, size: Int) -> UInt64 {
        let (slot, function, register) = PCIWindow.parts(offset)
        let low = UInt64(bus.read(slot: slot, function: function, offset: register, size: min(size, 4)))
        guard size > 4 else { return low }
        return low | UInt64(bus.read(slot: slot, function: function, offset: register &+ 4, size: size &- 4)) << 32
    }

    override func write(offset: UInt64, size: Int, value: UInt64) {
        let (slot, function, register) = PCIWindow.parts(offset)
        let low = UInt32(truncatingIfNeeded: value)
        bus.write(slot: slot, function: function, offset: register, size: min(size, 4), low)
        guard size > 4 else { return }
        let high = UInt32(truncatingIfNeeded: value >> 32)
        bus.write(slot: slot, function: function, offset: register &+ 4, size: size &- 4, high)
    }

    private static func parts(_ offset: UInt64) -> (Int, Int, Int) {
        // Past the end there is no slot.
        (Int(min(offset >> 15, 255)), Int(offset >> 12 & 7), Int(offset & 0xfff))
    }
}

/// Configuration spaces by two ports of four bytes: where (0xcf8), and what (0xcfc).
private final class PCIPorts: BusDevice, @unchecked Sendable {
    private unowned let bus: PCIBus
    private let address = Locked<UInt32>(0)
    init(_ bus: PCIBus) { self.bus = bus }

    override func read(offset: UInt64, size: Int) -> UInt64 {
        let selected = address.withLock { $0 }
        if offset < 4 { return offset == 0 && size == 4 ? UInt64(selected) : .max }
        guard let (slot, function, register) = parts(selected, offset), size <= 4 else { return .max }
        return UInt64(bus.read(slot: slot, function: function, offset: register, size: size))
    }

    override func write(offset: UInt64, size: Int, value: UInt64) {
        if offset < 4 {
            // Only the access of four bytes is the address; others are ports of their own (PCI 3.0, 3.2.2.3.2).
            if offset == 0, size == 4 { address.withLock { $0 = UInt32(truncatingIfNeeded: value) & 0x80ff_fffc } }
            return
        }
        guard let (slot, function, register) = parts(address.withLock { $0 }, offset), size <= 4 else { return }
        bus.write(
            slot: slot, function: function, offset: register, size: size, UInt32(truncatingIfNeeded: value))
    }

    private func parts(_ selected: UInt32, _ offset: UInt64) -> (Int, Int, Int)? {
        guard selected & 0x8000_0000 != 0, selected >> 16 & 0xff == 0 else { return nil }
        let register = Int(selected & 0xfc) | Int(offset & 3)
        return (Int(selected >> 11 & 31), Int(selected >> 8 & 7), register)
    }
}
