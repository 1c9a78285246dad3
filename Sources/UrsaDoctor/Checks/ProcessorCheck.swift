/// Whether the processor shows VT-x or AMD-V.
struct ProcessorCheck: Check {
    let topic = "processor"

    func examine(_ host: HostFacts) -> [Finding] {
        let processor = host.processor
        if let virtualization = processor.virtualization {
            return [
                ok("\(virtualization.rawValue)\(processor.isVirtual ? ", nested: this host is a virtual machine" : "")")
            ]
        }
        if processor.isVirtual {
            let maker = host.peek("/sys/class/dmi/id/sys_vendor").map { " (\($0))" } ?? ""
            return [
                warning(
                    "this host is a virtual machine\(maker) without VT-x or AMD-V: switch nested virtualization on "
                        + "for it on its own host, or machines are emulated")
            ]
        }
        // An AMD processor hides svm, an Intel one vmx, when the firmware has it switched off.
        let name = processor.vendor == "AuthenticAMD" ? "AMD-V (\"SVM mode\")" : "VT-x (\"Intel Virtualization\")"
        let canReboot = host.exists("/sys/firmware/efi") && host.program("systemctl") != nil
        return [
            warning(
                "no \(name): switch it on in the firmware's setup, or machines are emulated",
                remedy: canReboot ? host.command("systemctl", "reboot", "--firmware-setup") : nil)
        ]
    }
}
