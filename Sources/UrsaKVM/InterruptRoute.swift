import CLinux
public import UrsaBase

/// One line of the table that says where an interrupt number (GSI) of KVM goes (api.rst, 4.52).
public struct InterruptRoute: Sendable, Hashable {
    /// What the number leads to.
    public enum Target: Sendable, Hashable {
        /// A pin of the first 8259.
        case firstPIC(pin: UInt32)
        /// A pin of the second 8259.
        case secondPIC(pin: UInt32)
        /// A pin of the IOAPIC.
        case ioAPIC(pin: UInt32)
        /// A message to the local APICs: what the guest wrote into a device's MSI or MSI-X table.
        case message(address: UInt64, data: UInt32)
    }
    /// The number.
    public var gsi: UInt32
    /// Where it leads; a number may have several lines.
    public var target: Target

    /// A line.
    public init(gsi: UInt32, target: Target) {
        self.gsi = gsi
        self.target = target
    }

    /// How many pins the kernel's IOAPIC has; numbers of messages come after them.
    public static let ioAPICPins: UInt32 = 24

    /// The lines that KVM's own first table has: each number leads to the pin of the same number, below 16 of the 8259s too
    /// (arch/x86/kvm/irq_comm.c, default_routing).
    public static let pc: [InterruptRoute] = {
        var routes: [InterruptRoute] = []
        for gsi in 0..<ioAPICPins {
            routes.append(InterruptRoute(gsi: gsi, target: .ioAPIC(pin: gsi)))
            if gsi < 8 { routes.append(InterruptRoute(gsi: gsi, target: .firstPIC(pin: gsi))) }
            if (8..<16).contains(gsi) { routes.append(InterruptRoute(gsi: gsi, target: .secondPIC(pin: gsi - 8))) }
        }
        return routes
    }()

    var raw: kvm_irq_routing_entry {
        var entry = kvm_irq_routing_entry()
        entry.gsi = gsi
        switch target {
        case .firstPIC(let pin): entry.setPin(chip: UInt32(CLINUX_KVM_IRQCHIP_PIC_MASTER), pin)
        case .secondPIC(let pin): entry.setPin(chip: UInt32(CLINUX_KVM_IRQCHIP_PIC_SLAVE), pin)
        case .ioAPIC(let pin): entry.setPin(chip: UInt32(CLINUX_KVM_IRQCHIP_IOAPIC), pin)
        case .message(let address, let data):
            entry.type = UInt32(CLINUX_KVM_IRQ_ROUTING_MSI)
            entry.u.msi.address_lo = UInt32(truncatingIfNeeded: address)
            entry.u.msi.address_hi = UInt32(truncatingIfNeeded: address >> 32)
            entry.u.msi.data = data
        }
        return entry
    }
}

extension kvm_irq_routing_entry {
    fileprivate mutating func setPin(chip: UInt32, _ pin: UInt32) {
        type = UInt32(CLINUX_KVM_IRQ_ROUTING_IRQCHIP)
        u.irqchip.irqchip = chip
        u.irqchip.pin = pin
    }
}

extension VirtualMachine {
    /// Replaces the whole table of interrupt routes (KVM_SET_GSI_ROUTING; api.rst, 4.52); at most 4096 lines.
    public func setRoutes(_ routes: [InterruptRoute]) throws(UrsaError) {
        let raw = routes.map(\.raw)
        try check(
            clinux_kvm_set_routes(descriptor, raw, UInt32(clamping: raw.count)),
            "KVM_SET_GSI_ROUTING (\(raw.count) routes)")
    }

    /// Sets the level of an interrupt pin (KVM_IRQ_LINE; api.rst, 4.25): for level-triggered lines without an eventfd.
    public func setInterruptLevel(gsi: UInt32, isHigh: Bool) throws(UrsaError) {
        var request = kvm_irq_level()
        request.irq = gsi
        request.level = isHigh ? 1 : 0
        try check(clinux_ioctl(descriptor, CLINUX_KVM_IRQ_LINE, &request), "KVM_IRQ_LINE (GSI \(gsi))")
    }
}
