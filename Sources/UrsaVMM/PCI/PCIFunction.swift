import UrsaBase

/// One PCI function: its configuration space, and what happens when the guest changes it (PCI Local Bus 3.0, chapter 6).
///
/// Bus 0 has up to 32 of them, each the function 0 of its slot. All calls are made with the bus's lock held.
open class PCIFunction: @unchecked Sendable {
    // SAFETY: `bytes`, `masks` and what subclasses add are touched by the bus inside its lock only.

    /// Offsets in the header of type 0.
    enum Register {
        static let command = 0x04
        static let status = 0x06
        static let revision = 0x08
        static let baseAddress = 0x10
        static let subsystem = 0x2c
        static let capabilities = 0x34
    }
    static let memoryEnabled: UInt8 = 2

    /// What identifies a function.
    public struct Identity: Sendable {
        var vendor: UInt16
        var device: UInt16
        /// Base class, subclass, interface.
        var classCode: UInt32
        var revision: UInt8 = 1
        var subsystemVendor: UInt16 = 0
        var subsystem: UInt16 = 0
    }

    /// For messages and the memory bus.
    public let name: String
    private var bytes = [UInt8](repeating: 0, count: 256)
    /// Bits that the guest may write.
    private var masks = [UInt8](repeating: 0, count: 256)
    private var lastCapability = Register.capabilities
    private var end = 0x40

    init(_ identity: Identity, name: String) {
        self.name = name
        put(identity.vendor, at: 0)
        put(identity.device, at: 2)
        put(identity.classCode << 8 | UInt32(identity.revision), at: Register.revision)
        put(identity.subsystemVendor, at: Register.subsystem)
        put(identity.subsystem, at: Register.subsystem + 2)
        // Memory, bus mastering and "no INTx" can be switched.
        allow(UInt16(0x0406), at: Register.command)
    }

    // MARK: Building

    /// Writes a value as the device sees it.
    func put<T: FixedWidthInteger>(_ value: T, at offset: Int) {
        for index in 0..<MemoryLayout<T>.size where offset + index < 256 {
            bytes[offset + index] = UInt8(truncatingIfNeeded: value >> T(truncatingIfNeeded: 8 * index))
        }
    }

    /// Lets the guest write the bits of a mask.
    func allow<T: FixedWidthInteger>(_ mask: T, at offset: Int) {
        for index in 0..<MemoryLayout<T>.size where offset + index < 256 {
            masks[offset + index] = UInt8(truncatingIfNeeded: mask >> T(truncatingIfNeeded: 8 * index))
        }
    }

    /// A value of the configuration space.
    func value<T: FixedWidthInteger>(at offset: Int, as type: T.Type = T.self) -> T {
        var result: T = 0
        for index in 0..<MemoryLayout<T>.size where offset >= 0 && offset + index < 256 {
            result |= T(truncatingIfNeeded: bytes[offset + index]) << T(truncatingIfNeeded: 8 * index)
        }
        return result
    }

    /// Adds a capability (6.7) with these bytes after its id and link, and returns its offset.
    func addCapability(_ id: UInt8, _ content: [UInt8]) -> Int {
        let offset = end
        guard offset + 2 + content.count <= 256 else { return 0 }
        bytes[lastCapability] = UInt8(offset)
        bytes[offset] = id
        for (index, byte) in content.enumerated() { bytes[offset + 2 + index] = byte }
        lastCapability = offset + 1
        // They begin at multiples of 4.
        end = (offset + 2 + content.count + 3) & ~3
        // "There is a list of capabilities."
        put(UInt16(0x0010), at: Register.status)
        return offset
    }

    /// Whether accesses to memory ranges are answered.
    var isMemoryEnabled: Bool { bytes[Register.command] & PCIFunction.memoryEnabled != 0 }

    // MARK: What the bus calls

    /// A read of 1, 2 or 4 bytes of the first 256.
    final func readConfiguration(_ offset: Int, size: Int) -> UInt32 {
        willRead(offset, size: size)
        var result: UInt32 = 0
        for index in 0..<size where offset + index < 256 {
            result |= UInt32(bytes[offset + index]) << UInt32(8 * index)
        }
        return result
    }

    /// A write of 1, 2 or 4 bytes of the first 256.
    final func writeConfiguration(_ offset: Int, size: Int, _ value: UInt32) {
        for index in 0..<size where offset + index < 256 {
            let byte = UInt8(truncatingIfNeeded: value >> UInt32(8 * index))
            let mask = masks[offset + index]
            bytes[offset + index] = (bytes[offset + index] & ~mask) | (byte & mask)
        }
        didWrite(offset, size: size)
    }

    /// Fields whose value is made when they are read.
    func willRead(_ offset: Int, size: Int) {}
    /// The guest has written a field; what it may not write is as it was.
    func didWrite(_ offset: Int, size: Int) {}
    /// The machine is reset.
    func reset() { put(UInt16(0), at: Register.command) }
    /// The bus gives the function its place, and a range for its registers if it wants one.
    func place(on bus: PCIBus, slot: Int) throws(UrsaError) {}
}

/// The bridge between processors and bus 0, with nothing to configure.
final class PCIHostBridge: PCIFunction, @unchecked Sendable {
    init() {
        // The generic bridge that QEMU has too (docs/specs/pci-ids.rst).
        super.init(Identity(vendor: 0x1b36, device: 0x0008, classCode: 0x06_0000, revision: 0), name: "host bridge")
    }
}
