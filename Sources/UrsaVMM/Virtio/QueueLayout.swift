/// Where a driver has put the three parts of a split virtqueue (virtio 1.2 section 2.7).
public struct QueueLayout: Sendable, Hashable {
    /// Entries: a power of two up to 32768.
    public var size: UInt16
    /// Guest-physical address of the descriptor table.
    public var descriptors: UInt64
    /// Guest-physical address of what the driver writes, the available ring.
    public var available: UInt64
    /// Guest-physical address of what the device writes, the used ring.
    public var used: UInt64

    /// A layout, not checked yet.
    public init(size: UInt16, descriptors: UInt64, available: UInt64, used: UInt64) {
        self.size = size
        self.descriptors = descriptors
        self.available = available
        self.used = used
    }

    var descriptorBytes: UInt64 { 16 &* UInt64(size) }
    /// With the index that asks for interrupts (EVENT_IDX), which is there whether it is used or not.
    var availableBytes: UInt64 { 6 &+ 2 &* UInt64(size) }
    var usedBytes: UInt64 { 6 &+ 8 &* UInt64(size) }

    /// Why a queue can't be used as the driver has set it up; nil when it can.
    public func fault(in ram: GuestRAM, largest: UInt16) -> QueueFault? {
        guard size > 0, size & (size &- 1) == 0, size <= largest else { return .size }
        guard descriptors & 15 == 0, available & 1 == 0, used & 3 == 0 else { return .alignment }
        guard ram.pointer(descriptors, descriptorBytes) != nil, ram.pointer(available, availableBytes) != nil,
            ram.pointer(used, usedBytes) != nil
        else { return .ringOutside }
        return nil
    }
}

/// What a driver did that a device can't bear: it then asks to be reset (DEVICE_NEEDS_RESET) and serves nothing more.
public enum QueueFault: String, Error, Sendable, CaseIterable {
    case size = "the size of a queue is zero, no power of two or too large"
    case alignment = "a part of a queue lies at an address that is not aligned"
    case ringOutside = "a part of a queue lies outside of memory"
    case tooManyAvailable = "more chains are available than the queue has entries"
    case headOutside = "a chain begins outside of the descriptor table"
    case nextOutside = "a descriptor points outside of the descriptor table"
    case tooLong = "a chain is longer than the queue, or goes in a circle"
    case bufferOutside = "a descriptor names bytes outside of memory"
    case order = "a descriptor for reading follows one for writing"
    case indirectNotOffered = "an indirect descriptor although that was not negotiated"
    case indirectNested = "an indirect table inside of an indirect table"
    case indirectChained = "an indirect descriptor that has a next one"
    case indirectSize = "an indirect table whose length is not right"
    case tooManyBytes = "a chain of 4 GiB or more"
    case badRequest = "a request that has not the form of this device"
}
