import CLinux
public import UrsaBase

/// An edge-triggered interrupt pin, raised by an eventfd from any thread.
public final class InterruptLine: Sendable {
    /// The pin's number.
    public let gsi: UInt32
    private let event: OwnedFD

    init(gsi: UInt32, _ event: consuming OwnedFD) {
        self.gsi = gsi
        self.event = event
    }

    /// The eventfd, valid while this object lives: every count is one edge.
    public var eventFD: Int32 { event.raw }

    /// One edge. Takes no lock and allocates nothing.
    @inline(__always)
    public func signal() { clinux_eventfd_signal(event.raw) }
}

/// An interrupt that is a message to the processors: MSI, or one vector of MSI-X (PCI 3.0, 6.8).
///
/// While it is masked, signals stay in the eventfd, which is just what the pending bit of MSI-X is; unmasking delivers them.
public final class MessageInterrupt: Sendable {
    private struct State {
        var number: UInt32?
        var isAttached = false
    }
    private let event: OwnedFD
    private let controller: InterruptController
    private let state = Locked(State())

    init(_ event: consuming OwnedFD, _ controller: InterruptController) {
        self.event = event
        self.controller = controller
    }

    deinit {
        state.withLock { state in
            if let number = state.number {
                controller.release(number, event: event.raw, attached: state.isAttached)
            }
        }
    }

    /// The eventfd, valid while this object lives; for vhost and other back ends of the kernel.
    public var eventFD: Int32 { event.raw }

    /// Raises the interrupt. Takes no lock and allocates nothing.
    @inline(__always)
    public func signal() { clinux_eventfd_signal(event.raw) }

    /// Whether it was raised while it is masked.
    public var isPending: Bool { clinux_eventfd_is_set(event.raw) != 0 }

    /// Programs address and data as the guest wrote them, and unmasks.
    public func set(address: UInt64, data: UInt32) throws(UrsaError) {
        try state.withLock { state throws(UrsaError) in
            state.number = try controller.program(
                state.number, address: address, data: data, event: event.raw, attached: state.isAttached)
            state.isAttached = true
        }
    }

    /// Holds signals back until the next `set`.
    public func mask() {
        state.withLock { state in
            guard state.isAttached, let number = state.number else { return }
            controller.detach(number, event: event.raw)
            state.isAttached = false
        }
    }

    /// As after a reset of the device: masked, nothing pending.
    public func reset() {
        mask()
        _ = clinux_eventfd_take(event.raw)
    }
}
