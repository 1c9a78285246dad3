public import UrsaBase

/// Puts virtio devices onto a machine's bus, whichever it has, and holds them.
public final class VirtioDevices {
    /// How the guest finds its devices.
    public enum Profile: String, Sendable, CaseIterable {
        /// PCI functions with message interrupts.
        case pci
        /// Windows of memory that ACPI names: quicker to find, fewer in number.
        case mmio
    }

    /// A window of memory for ACPI to name.
    public struct Window: Sendable, Hashable {
        /// Its address; it is `VirtioMMIO.windowSize` long.
        public let address: UInt64
        /// Its edge-triggered interrupt.
        public let gsi: UInt32
    }

    /// Interrupts for windows: pins of the IOAPIC that no device of a PC has.
    private static let pins = [16, 17, 18, 19, 20, 21, 22, 23, 5, 6, 7, 10, 11, 12]

    /// Which kind of bus.
    public let profile: Profile
    /// The PCI bus, with the profile `pci`.
    public let pci: PCIBus?
    /// The windows, with the profile `mmio`.
    public private(set) var windows: [Window] = []

    private let ram: GuestRAM
    private let memory: Bus
    private let interrupts: InterruptController
    private let doorbells: Doorbells
    private let log: @Sendable (String) -> Void
    private var transports: [VirtioTransport] = []

    /// No devices yet.
    ///
    /// - Parameters:
    ///   - memory: the bus on which windows and PCI's ranges appear.
    ///   - ports: the bus for PCI's ports; nil leaves them out, so that a guest has ECAM only.
    ///   - log: takes one line when a driver breaks the rules.
    public init(
        _ profile: Profile, ram: GuestRAM, memory: Bus, ports: Bus?, interrupts: InterruptController,
        doorbells: Doorbells, log: @escaping @Sendable (String) -> Void
    ) throws(UrsaError) {
        self.profile = profile
        self.ram = ram
        self.memory = memory
        self.interrupts = interrupts
        self.doorbells = doorbells
        self.log = log
        pci = profile == .pci ? try PCIBus(memory: memory) : nil
        guard let pci else { return }
        let range = AddressMap.pciConfiguration
        try memory.add(
            pci.configurationWindow, at: range.lowerBound, count: range.upperBound - range.lowerBound, name: "PCI")
        try ports?.add(pci.configurationPorts, at: 0xcf8, count: 8, name: "PCI")
    }

    /// Adds a device, before the guest starts.
    ///
    /// - Parameter slot: its PCI slot; nil takes the first free one. Windows come in the order of the calls.
    public func attach(_ device: VirtioDevice, slot: Int? = nil) throws(UrsaError) {
        let name = device.type.name
        let log = log
        let say: @Sendable (String) -> Void = { log("\(name): \($0)") }
        if let pci {
            let transport = try VirtioPCI(device, ram: ram, interrupts: interrupts, doorbells: doorbells, log: say)
            try pci.add(transport.function, slot: slot)
            transports.append(transport)
            return
        }
        let number = windows.count
        let address = AddressMap.virtioWindows.lowerBound + UInt64(number) * VirtioMMIO.windowSize
        guard number < VirtioDevices.pins.count, AddressMap.virtioWindows.contains(address) else {
            throw UrsaError(
                .unsupported, "a machine of profile mmio has at most \(VirtioDevices.pins.count) devices",
                remedy: "use profile pci")
        }
        let line = try interrupts.makeLine(gsi: VirtioDevices.pins[number])
        let transport = try VirtioMMIO(
            device, at: address, ram: ram, line: line, doorbells: doorbells, log: say)
        try memory.add(transport, at: address, count: VirtioMMIO.windowSize, name: "virtio-\(name)")
        windows.append(Window(address: address, gsi: line.gsi))
        transports.append(transport)
    }

    /// All devices as after power-on; when it returns none of their threads touches the guest's memory. No processor may
    /// be running.
    public func reset() {
        pci?.reset()
        for transport in transports { transport.resetMachine() }
    }

    /// The end of the machine: as `reset`, and what devices hold of the host is written out.
    public func close() {
        reset()
        for transport in transports { transport.device.close() }
    }
}
