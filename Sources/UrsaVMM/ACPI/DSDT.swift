extension ACPITables {
    /// DSDT: what can't be found by probing (5.2.11.1).
    static func dsdt(_ machine: ACPIMachine) -> [UInt8] {
        var devices: [[UInt8]] = []
        for number in 0..<machine.processors {
            devices.append(
                AML.device(
                    ACPITables.name("C", number),
                    [AML.name("_HID", AML.string("ACPI0007")), AML.name("_UID", AML.integer(UInt64(number)))]))
        }
        if let window = machine.pciWindow64 {
            devices.append(pciRoot(window))
            // The configuration space belongs to the board: Linux does not use it unless somebody says so.
            let space = AddressMap.pciConfiguration
            devices.append(
                AML.device(
                    "MBRD",
                    [
                        AML.name("_HID", AML.eisaID("PNP0C02")),
                        AML.name(
                            "_CRS",
                            AML.resources([
                                AML.memory32(UInt32(truncatingIfNeeded: space.lowerBound), UInt32(space.count))
                            ])),
                    ]))
        }
        if let serial = machine.serial {
            devices.append(
                AML.device(
                    "COM1",
                    [
                        AML.name("_HID", AML.eisaID("PNP0501")), AML.name("_UID", AML.integer(1)),
                        AML.name(
                            "_CRS", AML.resources([AML.ports(serial.port, 8), AML.isaInterrupt(serial.irq)])),
                    ]))
        }
        if let clock = machine.clock {
            devices.append(
                AML.device(
                    "RTC",
                    [
                        AML.name("_HID", AML.eisaID("PNP0B00")),
                        AML.name("_CRS", AML.resources([AML.ports(clock, 2)])),
                    ]))
        }
        if let panic = machine.panic {
            // QEMU, docs/specs/pvpanic.rst
            devices.append(
                AML.device(
                    "PEVT",
                    [
                        AML.name("_HID", AML.string("QEMU0001")),
                        AML.name("_CRS", AML.resources([AML.ports(panic, 1)])),
                    ]))
        }
        for (index, window) in machine.virtio.enumerated() { devices.append(virtio(window, index)) }
        devices.append(AML.device("PWRB", [AML.name("_HID", AML.eisaID("PNP0C0C"))]))
        // Event device (5.6.9): its interrupt is the press of the power button.
        devices.append(
            AML.device(
                "GED",
                [
                    AML.name("_HID", AML.string("ACPI0013")), AML.name("_UID", AML.integer(0)),
                    AML.name("_CRS", AML.resources([AML.interrupt(eventGSI)])),
                    AML.method("_EVT", arguments: 1, [AML.notify("\\_SB_.PWRB", 0x80)]),
                ]))
        let sleep = AML.name(
            "\\_S5_",
            AML.package([
                AML.integer(UInt64(powerOffType)), AML.integer(UInt64(powerOffType)), AML.integer(0), AML.integer(0),
            ]))
        return table("DSDT", revision: 2, AML.scope("\\_SB_", devices) + sleep)
    }

    /// A name of four characters from a letter and a number.
    private static func name(_ letter: String, _ number: Int) -> String {
        let digits = String(number, radix: 16, uppercase: true)
        return letter + String(repeating: "0", count: max(0, 3 - digits.count)) + digits
    }

    /// The root of PCI Express: bus 0 and its windows (6.2.2; PCI Firmware 3.3, 4.1.3).
    private static func pciRoot(_ window64: Range<UInt64>) -> [UInt8] {
        AML.device(
            "PCI0",
            [
                AML.name("_HID", AML.eisaID("PNP0A08")), AML.name("_CID", AML.eisaID("PNP0A03")),
                AML.name("_UID", AML.integer(0)), AML.name("_SEG", AML.integer(0)), AML.name("_BBN", AML.integer(0)),
                AML.name(
                    "_CRS",
                    AML.resources([
                        AML.busNumbers(0...0), AML.ports(0xcf8, 8), AML.memoryWindow32(AddressMap.pciWindow32),
                        AML.memoryWindow64(window64),
                    ])),
            ])
    }

    /// A virtio-mmio window: the id by which Linux' driver finds it (Virtio 1.2, 4.2.1 leaves this to the platform).
    private static func virtio(_ window: ACPIMachine.Window, _ index: Int) -> [UInt8] {
        AML.device(
            ACPITables.name("V", index),
            [
                AML.name("_HID", AML.string("LNRO0005")), AML.name("_UID", AML.integer(UInt64(index))),
                AML.name("_CCA", AML.integer(1)),
                AML.name(
                    "_CRS",
                    AML.resources([
                        AML.memory32(UInt32(truncatingIfNeeded: window.address), 0x1000), AML.interrupt(window.gsi),
                    ])),
            ])
    }
}
