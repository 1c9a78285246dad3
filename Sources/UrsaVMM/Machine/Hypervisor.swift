public import UrsaBase
public import UrsaKVM

/// The kernel's side of the machine, shared by the parts of the monitor.
public final class Hypervisor: Sendable {
    /// The machine: slots, doorbells, interrupts.
    public let machine: VirtualMachine

    /// Takes over a machine.
    public init(_ machine: consuming VirtualMachine) { self.machine = machine }
}

/// Connects the guest's doorbells (writes that say "there is work") with eventfds, so that no processor leaves the guest.
///
/// Without a hypervisor nothing is connected: a test or fuzzer then signals the eventfds itself.
public final class Doorbells: Sendable {
    private let hypervisor: Hypervisor?

    /// Doorbells of a machine, or of none.
    public init(_ hypervisor: Hypervisor?) { self.hypervisor = hypervisor }

    /// Connects; the caller keeps the eventfd open until `remove`.
    public func add(_ place: DoorbellPlace, eventFD: Int32) throws(UrsaError) {
        try hypervisor?.machine.addDoorbell(place, eventFD: eventFD)
    }

    /// Takes a connection away, place and eventfd as in `add`; one that is not there is fine.
    public func remove(_ place: DoorbellPlace, eventFD: Int32) {
        try? hypervisor?.machine.removeDoorbell(place, eventFD: eventFD)
    }
}
