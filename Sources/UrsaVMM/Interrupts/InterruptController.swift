import CLinux
public import UrsaBase
import UrsaKVM

/// Gives out the machine's interrupts and owns the kernel's table of routes.
///
/// The table is the whole table each time (api.rst, 4.52), so it changes in one place, here. Message interrupts get a number of it
/// only when the guest first programs them. Without a hypervisor interrupts are only counted in their eventfds, for tests.
public final class InterruptController: Sendable {
    /// Most lines that KVM's table takes (KVM_MAX_IRQ_ROUTES).
    static let mostRoutes = 4096

    private struct State {
        /// What leads to pins; never changes.
        var fixed: [InterruptRoute] = InterruptRoute.pc
        /// Messages by number minus the first number for messages; nil is free.
        var messages: [InterruptRoute.Target?] = []
        var lines: Set<UInt32> = []
    }
    private let hypervisor: Hypervisor?
    private let state = Locked(State())

    /// The interrupts of a machine that has the kernel's interrupt chips, or of none.
    public init(_ hypervisor: Hypervisor?) throws(UrsaError) {
        // KVM's own first table leads to the same pins; to set it here would cost a start milliseconds.
        self.hypervisor = hypervisor
    }

    /// An edge-triggered pin of the IOAPIC (and, below 16, of the 8259s); a pin is given out once.
    public func makeLine(gsi: Int) throws(UrsaError) -> InterruptLine {
        guard let number = UInt32(exactly: gsi), number < InterruptRoute.ioAPICPins else {
            throw UrsaError(.usage, "the IOAPIC has no pin \(gsi)")
        }
        guard state.withLock({ $0.lines.insert(number).inserted }) else {
            throw UrsaError(.conflict, "interrupt \(gsi) is in use")
        }
        let event = OwnedFD(try check(clinux_eventfd(), "make an eventfd"))
        try hypervisor?.machine.attachInterrupt(eventFD: event.raw, gsi: number)
        return InterruptLine(gsi: number, event)
    }

    /// A message interrupt (MSI or one MSI-X vector), masked and without an address.
    public func makeMessage() throws(UrsaError) -> MessageInterrupt {
        MessageInterrupt(OwnedFD(try check(clinux_eventfd(), "make an eventfd")), self)
    }

    /// Sets the level of a pin that is level-triggered and has no eventfd.
    public func setLevel(gsi: UInt32, isHigh: Bool) {
        // A pin below 24 always exists; there is nobody who could do anything about an error here.
        try? hypervisor?.machine.setInterruptLevel(gsi: gsi, isHigh: isHigh)
    }

    /// Sets the route of a message, with a new number for one that has none, and connects its eventfd.
    func program(
        _ number: UInt32?, address: UInt64, data: UInt32, event: Int32, attached: Bool
    ) throws(UrsaError) -> UInt32 {
        try state.withLock { state throws(UrsaError) in
            let first = InterruptRoute.ioAPICPins
            let target = InterruptRoute.Target.message(address: address, data: data)
            let gsi: UInt32
            var changed = true
            if let number {
                gsi = number
                changed = state.messages[Int(number - first)] != target
            } else {
                if !state.messages.contains(nil) {
                    guard state.fixed.count + state.messages.count < InterruptController.mostRoutes else {
                        throw UrsaError(.unsupported, "KVM has no more than \(Self.mostRoutes) interrupt routes")
                    }
                    state.messages.append(nil)
                }
                gsi = first + UInt32(state.messages.firstIndex(of: nil) ?? 0)
            }
            state.messages[Int(gsi - first)] = target
            if changed {
                var routes = state.fixed
                for (index, target) in state.messages.enumerated() {
                    if let target { routes.append(InterruptRoute(gsi: first + UInt32(index), target: target)) }
                }
                try hypervisor?.machine.setRoutes(routes)
            }
            if !attached { try hypervisor?.machine.attachInterrupt(eventFD: event, gsi: gsi) }
            return gsi
        }
    }

    func detach(_ number: UInt32, event: Int32) {
        try? hypervisor?.machine.detachInterrupt(eventFD: event, gsi: number)
    }

    /// Gives the number of a message back; its route goes with the next change of the table.
    func release(_ number: UInt32, event: Int32, attached: Bool) {
        if attached { detach(number, event: event) }
        state.withLock { $0.messages[Int(number - InterruptRoute.ioAPICPins)] = nil }
    }
}
