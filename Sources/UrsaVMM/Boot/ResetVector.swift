import UrsaBase

/// What stands where a PC's firmware begins: code that resets the machine.
///
/// Linux that was started with hardware-reduced ACPI reboots by EFI, or, where that is absent, by a jump to the firmware in real mode
/// (arch/x86/kernel/reboot.c, BOOT_EFI and BOOT_BIOS); it never comes to the reset register of FADT then.
enum ResetVector {
    /// F000:FFF0, where an x86 processor starts and old software jumps to.
    static let address: UInt64 = 0xf_fff0

    /// mov dx, port; mov al, value; out dx, al; hlt; jmp to it
    static var code: [UInt8] {
        let port = ACPITables.Port.reset
        return [
            0xba, UInt8(truncatingIfNeeded: port), UInt8(truncatingIfNeeded: port >> 8), 0xb0, ACPITables.resetValue,
            0xee, 0xf4,
            0xeb, 0xfd,
        ]
    }
}
