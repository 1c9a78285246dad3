import CLinux
public import UrsaBase

/// Where a doorbell lies: a guest's write of this size to this place is counted in an eventfd, and the processor runs on.
public struct DoorbellPlace: Sendable, Hashable {
    /// The address, or the number of the port.
    public var address: UInt64
    /// Bytes of the access: 1, 2, 4 or 8; 0 takes every size (api.rst, 4.59: KVM_CAP_IOEVENTFD_ANY_LENGTH).
    public var size: UInt32
    /// Only this value rings the bell; nil: every value does.
    public var match: UInt64?
    /// Whether the address is a port.
    public var isPort: Bool

    /// A place.
    public init(address: UInt64, size: UInt32, match: UInt64? = nil, isPort: Bool = false) {
        self.address = address
        self.size = size
        self.match = match
        self.isPort = isPort
    }
}

extension VirtualMachine {
    /// Connects a doorbell with an eventfd (KVM_IOEVENTFD; api.rst, 4.59). The caller keeps the eventfd open.
    public func addDoorbell(_ place: DoorbellPlace, eventFD: Int32) throws(UrsaError) {
        try setDoorbell(place, eventFD, 0)
    }

    /// Takes a doorbell away; place and eventfd as they were given.
    public func removeDoorbell(_ place: DoorbellPlace, eventFD: Int32) throws(UrsaError) {
        try setDoorbell(place, eventFD, UInt32(CLINUX_KVM_IOEVENTFD_DEASSIGN))
    }

    private func setDoorbell(_ place: DoorbellPlace, _ eventFD: Int32, _ flags: UInt32) throws(UrsaError) {
        var request = kvm_ioeventfd()
        request.addr = place.address
        request.len = place.size
        request.fd = eventFD
        request.datamatch = place.match ?? 0
        request.flags =
            flags | (place.match != nil ? UInt32(CLINUX_KVM_IOEVENTFD_DATAMATCH) : 0)
            | (place.isPort ? UInt32(CLINUX_KVM_IOEVENTFD_PIO) : 0)
        try check(
            clinux_ioctl(descriptor, CLINUX_KVM_IOEVENTFD, &request),
            "KVM_IOEVENTFD (\(place.size) bytes at 0x\(String(place.address, radix: 16)))")
    }

    /// Lets an eventfd raise an interrupt (KVM_IRQFD; api.rst, 4.75). A count that it already has is delivered at once.
    ///
    /// - Parameters:
    ///   - gsi: number in the routing table (`setRoutes`).
    ///   - resample: for a level-triggered interrupt, the eventfd that tells when the guest has served it.
    public func attachInterrupt(eventFD: Int32, gsi: UInt32, resample: Int32? = nil) throws(UrsaError) {
        var request = kvm_irqfd()
        request.fd = UInt32(bitPattern: eventFD)
        request.gsi = gsi
        if let resample {
            request.flags = UInt32(CLINUX_KVM_IRQFD_RESAMPLE)
            request.resamplefd = UInt32(bitPattern: resample)
        }
        try check(clinux_ioctl(descriptor, CLINUX_KVM_IRQFD, &request), "KVM_IRQFD (GSI \(gsi))")
    }

    /// Takes the connection away; counts stay in the eventfd from then on.
    public func detachInterrupt(eventFD: Int32, gsi: UInt32) throws(UrsaError) {
        var request = kvm_irqfd()
        request.fd = UInt32(bitPattern: eventFD)
        request.gsi = gsi
        request.flags = UInt32(CLINUX_KVM_IRQFD_DEASSIGN)
        try check(clinux_ioctl(descriptor, CLINUX_KVM_IRQFD, &request), "KVM_IRQFD (GSI \(gsi), deassign)")
    }
}
