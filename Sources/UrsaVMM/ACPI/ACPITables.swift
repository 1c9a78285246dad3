/// What the tables tell about a machine.
struct ACPIMachine {
    /// A virtio-mmio window.
    struct Window: Hashable {
        var address: UInt64
        var gsi: UInt32
    }
    var processors: Int
    /// The 64-bit window for PCI; nil: the machine has no PCI.
    var pciWindow64: Range<UInt64>?
    var virtio: [Window] = []
    /// Ports of the serial line, the clock and the panic notice; nil where there is none.
    var serial: (port: UInt16, irq: UInt16)?
    var clock: UInt16?
    var panic: UInt16?
}

/// The machine's ACPI tables: root pointer, XSDT, FADT, MADT, MCFG, DSDT.
///
/// The machine is of the hardware-reduced kind (ACPI 6.5, 4.1): no timer, no fixed event registers, no legacy chips to be probed, each
/// of which would cost exits at every boot. Sleep and reset are one-byte ports; the power button is an event device.
struct ACPITables {
    /// The tables' bytes, to lie at `address`.
    let bytes: [UInt8]
    /// Address of the root pointer.
    let rsdp: UInt64

    /// Lays the tables out from an address on, which must be a multiple of 16.
    init(_ machine: ACPIMachine, at address: UInt64) {
        var blob = [UInt8](repeating: 0, count: 48)  // the root pointer comes last, when the XSDT's place is known
        func place(_ table: [UInt8]) -> UInt64 {
            blob += [UInt8](repeating: 0, count: (16 - blob.count % 16) % 16)
            defer { blob += table }
            return address + UInt64(blob.count)
        }
        let dsdt = place(ACPITables.dsdt(machine))
        var tables = [place(ACPITables.fadt(dsdt: dsdt, hasClock: machine.clock != nil))]
        tables.append(place(ACPITables.madt(processors: machine.processors)))
        if machine.pciWindow64 != nil { tables.append(place(ACPITables.mcfg())) }
        var list: [UInt8] = []
        for table in tables { list.append(little: table) }
        let xsdt = place(ACPITables.table("XSDT", revision: 1, list))
        blob.replaceSubrange(0..<36, with: ACPITables.rootPointer(xsdt: xsdt))
        bytes = blob
        rsdp = address
    }

    /// Ports of power management.
    enum Port {
        static let sleepControl = UInt64(AddressMap.powerManagement)
        static let sleepStatus = UInt64(AddressMap.powerManagement + 1)
        static let reset = UInt64(AddressMap.powerManagement + 2)
    }
    /// The value that resets, and the sleep type of S5.
    static let resetValue: UInt8 = 1, powerOffType: UInt8 = 5
    /// The pin of the power button's event device.
    static let eventGSI: UInt32 = 9

    // MARK: Tables

    /// The header of every table (5.2.6), and a checksum that makes all bytes add up to 0.
    static func table(_ signature: String, revision: UInt8, _ body: [UInt8]) -> [UInt8] {
        var bytes = Array(signature.utf8)
        bytes.append(little: UInt32(36 + body.count))
        bytes += [revision, 0]
        bytes += Array("URSA  ".utf8)
        bytes += Array("URSAVMM ".utf8)
        bytes.append(little: UInt32(1))
        bytes += Array("URSA".utf8)
        bytes.append(little: UInt32(1))
        bytes += body
        bytes[9] = checksum(bytes)
        return bytes
    }

    private static func checksum(_ bytes: some Sequence<UInt8>) -> UInt8 { 0 &- bytes.reduce(0, &+) }

    /// RSDP (5.2.5.3).
    private static func rootPointer(xsdt: UInt64) -> [UInt8] {
        var bytes = Array("RSD PTR ".utf8)
        bytes += [0] + Array("URSA  ".utf8) + [2]
        bytes.append(little: UInt32(0))
        bytes.append(little: UInt32(36))
        bytes.append(little: xsdt)
        bytes += [0, 0, 0, 0]
        bytes[8] = checksum(bytes[0..<20])
        bytes[32] = checksum(bytes)
        return bytes
    }

    /// FADT (5.2.9), revision 6.5.
    private static func fadt(dsdt: UInt64, hasClock: Bool) -> [UInt8] {
        var body = [UInt8](repeating: 0, count: 276 - 36)
        func at(_ offset: Int) -> Int { offset - 36 }
        func register(_ port: UInt64, _ offset: Int) {
            // Generic address: system I/O, 8 bits, byte access.
            body.replaceSubrange(at(offset)..<at(offset + 4), with: [1, 8, 0, 1])
            body.put(port, at: at(offset + 4))
        }
        body.put(UInt32(truncatingIfNeeded: dsdt), at: at(40))
        body.put(dsdt, at: at(140))
        // Boot architecture: no VGA, no control of ASPM, perhaps no clock; no 8042.
        let architecture: UInt16 = hasClock ? 0x14 : 0x34
        body.put(architecture, at: at(109))
        if hasClock { body[at(108)] = 0x32 }  // the century's register
        // WBINVD works; no fixed power or sleep button; reset register; hardware-reduced.
        let flags: UInt32 = 0x10_0431
        body.put(flags, at: at(112))
        register(Port.reset, 116)
        body[at(128)] = resetValue
        body[at(131)] = 5  // minor revision
        register(Port.sleepControl, 244)
        register(Port.sleepStatus, 256)
        body.replaceSubrange(at(268)..<at(276), with: Array("URSA    ".utf8))
        return table("FACP", revision: 6, body)
    }

    /// MADT (5.2.12).
    private static func madt(processors: Int) -> [UInt8] {
        var body: [UInt8] = []
        body.append(little: UInt32(truncatingIfNeeded: AddressMap.localAPIC))
        body.append(little: UInt32(1))  // two 8259s are there
        for number in 0..<processors {
            let id = UInt8(truncatingIfNeeded: number)
            body += [0, 8, id, id, 1, 0, 0, 0]
        }
        body += [1, 12, 0, 0]
        body.append(little: UInt32(truncatingIfNeeded: AddressMap.ioAPIC))
        body.append(little: UInt32(0))
        // NMI at LINT1 of all.
        body += [4, 6, 0xff, 0, 0, 1]
        return table("APIC", revision: 5, body)
    }

    /// MCFG (PCI Firmware 3.3, 4.1.2): bus 0 only, since every further bus would be probed.
    private static func mcfg() -> [UInt8] {
        var body = [UInt8](repeating: 0, count: 8)
        body.append(little: AddressMap.pciConfiguration.lowerBound)
        body += [UInt8](repeating: 0, count: 8)
        return table("MCFG", revision: 1, body)
    }
}
