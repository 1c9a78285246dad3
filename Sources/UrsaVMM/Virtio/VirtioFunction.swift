import UrsaBase

/// The configuration space of a virtio device: where its structures lie (virtio 1.2 section 4.1.4), MSI-X, and the window by
/// which firmware without a mapping reaches the registers (section 4.1.4.9).
final class VirtioFunction: PCIFunction, @unchecked Sendable {
    private typealias Layout = VirtioPCI.Layout
    private static let vendorSpecific: UInt8 = 0x09
    private static let messages: UInt8 = 0x11

    private unowned let transport: VirtioPCI
    /// The bus keeps what ever was on it, so keeping the bus would be a circle.
    private weak var bus: Bus?
    private var messageControl = 0
    private var window = 0
    private var home: UInt64 = 0

    init(_ transport: VirtioPCI, vectors: Int) {
        self.transport = transport
        let type = transport.device.type
        super.init(
            Identity(
                vendor: 0x1af4, device: 0x1040 &+ type.number, classCode: type.pciClass, subsystemVendor: 0x1af4,
                subsystem: 0x0040 &+ type.number),
            name: "virtio-\(type.name)")
        // Sizes: what the guest can't write of a base address says how large the range is (PCI 3.0, 6.2.5.1).
        allow(~UInt32(truncatingIfNeeded: Layout.size &- 1), at: Register.baseAddress)
        messageControl =
            addCapability(
                VirtioFunction.messages,
                VirtioFunction.bytes(UInt16(vectors - 1)) + VirtioFunction.bytes(UInt32(Layout.table))
                    + VirtioFunction.bytes(UInt32(Layout.pending))) + 2
        allow(UInt16(0xc000), at: messageControl)
        addStructure(1, Layout.common, 56)
        addStructure(
            2, Layout.notify, Layout.doorbellSize * UInt64(max(1, transport.kicks.count)),
            VirtioFunction.bytes(UInt32(Layout.doorbellSize)))
        addStructure(3, Layout.interruptStatus, 1)
        addStructure(4, Layout.device, 0x1000)
        window = addStructure(5, 0, 0, [0, 0, 0, 0])
        // Range, offset, length and data of the window are the driver's to write.
        allow(UInt8(0xff), at: window + 4)
        allow(UInt32.max, at: window + 8)
        allow(UInt32.max, at: window + 12)
        allow(UInt32.max, at: window + 16)
    }

    private static func bytes<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
        (0..<MemoryLayout<T>.size).map { UInt8(truncatingIfNeeded: value >> T(truncatingIfNeeded: 8 * $0)) }
    }

    /// struct virtio_pci_cap: length, kind, range 0, offset, length.
    @discardableResult
    private func addStructure(_ kind: UInt8, _ offset: UInt64, _ length: UInt64, _ more: [UInt8] = []) -> Int {
        addCapability(
            VirtioFunction.vendorSpecific,
            [UInt8(16 + more.count), kind, 0, 0, 0, 0] + VirtioFunction.bytes(UInt32(truncatingIfNeeded: offset))
                + VirtioFunction.bytes(UInt32(truncatingIfNeeded: length)) + more)
    }

    override func place(on bus: PCIBus, slot: Int) throws(UrsaError) {
        self.bus = bus.memory
        home = try bus.takeRange(Layout.size)
        put(UInt32(truncatingIfNeeded: home), at: Register.baseAddress)
    }

    override func reset() {
        super.reset()
        put(UInt16(0) | (value(at: messageControl, as: UInt16.self) & 0x07ff), at: messageControl)
        put(UInt32(truncatingIfNeeded: home), at: Register.baseAddress)
        transport.resetFunction()
        applyRange()
    }

    override func didWrite(_ offset: Int, size: Int) {
        let touched = offset..<(offset + size)
        if touched.overlaps(Register.command..<(Register.command + 2))
            || touched.overlaps(Register.baseAddress..<(Register.baseAddress + 4))
        {
            applyRange()
        }
        if touched.overlaps(messageControl..<(messageControl + 2)) {
            let control = value(at: messageControl, as: UInt16.self)
            transport.setMessages(isEnabled: control & 0x8000 != 0, isMasked: control & 0x4000 != 0)
        }
        if touched.overlaps((window + 16)..<(window + 20)), let (place, count) = windowTarget {
            transport.write(
                offset: place, size: count,
                value: UInt64(value(at: window + 16, as: UInt32.self)) & ((1 << UInt64(8 * count)) - 1))
        }
    }

    override func willRead(_ offset: Int, size: Int) {
        guard (offset..<(offset + size)).overlaps((window + 16)..<(window + 20)), let (place, count) = windowTarget
        else { return }
        put(UInt32(truncatingIfNeeded: transport.read(offset: place, size: count)), at: window + 16)
    }

    /// Where the window leads, when what the driver wrote makes sense.
    private var windowTarget: (UInt64, Int)? {
        let range = value(at: window + 4, as: UInt8.self)
        let place = UInt64(value(at: window + 8, as: UInt32.self))
        let count = value(at: window + 12, as: UInt32.self)
        guard range == 0, count == 1 || count == 2 || count == 4, place % UInt64(count) == 0,
            place &+ UInt64(count) <= Layout.size
        else { return nil }
        return (place, Int(count))
    }

    private func applyRange() {
        guard let bus else { return }
        let address = UInt64(value(at: Register.baseAddress, as: UInt32.self) & ~0xf)
        transport.map(at: isMemoryEnabled && address != 0 ? address : nil, on: bus)
    }
}
