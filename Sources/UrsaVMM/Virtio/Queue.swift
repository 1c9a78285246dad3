import CLinux
import Glibc

/// The device's side of a split virtqueue (virtio 1.2 section 2.7), with indirect descriptors and event indices.
///
/// One thread uses it. Whatever the guest writes into the rings, it never leads outside of the guest's memory, never
/// further than a bounded walk, and never to a trap: a fault ends the queue's use instead, and stays until the driver has
/// reset the device. Every index counts modulo 65536. Every word that the guest shares is read once.
public struct Queue: ~Copyable {
    /// What `next` found.
    public enum Next: Sendable {
        /// Nothing is available.
        case none
        /// The chain is filled.
        case chain
        /// The driver broke the rules; see `fault`.
        case broken
    }

    /// Entries.
    public let size: UInt16
    /// What the driver did wrong.
    public private(set) var fault: QueueFault?

    private let ram: GuestRAM
    private let descriptors: UnsafeMutableRawPointer
    private let available: UnsafeMutableRawPointer
    private let used: UnsafeMutableRawPointer
    private let hasIndirect: Bool
    private let hasEventIndex: Bool

    /// The next entry of the available ring to take.
    private var taken: UInt16 = 0
    /// How far the driver was when it was last looked at.
    private var seen: UInt16 = 0
    /// The next entry of the used ring to fill; `published` is what the driver was told.
    private var filled: UInt16 = 0
    private var published: UInt16 = 0
    /// What `published` was when the driver was last thought of for an interrupt.
    private var considered: UInt16 = 0
    /// Used to decide whether `considered` means anything.
    private var hasConsidered = false

    /// A queue in the state after a reset.
    ///
    /// - Parameters:
    ///   - largest: most entries that the device takes.
    ///   - features: what was negotiated.
    /// - Throws: the fault of the layout.
    public init(
        _ layout: QueueLayout, in ram: GuestRAM, features: VirtioFeatures, largest: UInt16 = 32768
    ) throws(QueueFault) {
        if let fault = layout.fault(in: ram, largest: largest) { throw fault }
        guard let descriptors = ram.pointer(layout.descriptors, layout.descriptorBytes),
            let available = ram.pointer(layout.available, layout.availableBytes),
            let used = ram.pointer(layout.used, layout.usedBytes)
        else { throw .ringOutside }
        self.ram = ram
        self.descriptors = descriptors
        self.available = available
        self.used = used
        size = layout.size
        hasIndirect = features.contains(.indirectDescriptors)
        hasEventIndex = features.contains(.eventIndex)
    }

    // MARK: Taking

    /// Whether chains wait that `next` would take without looking at the driver's index again.
    public var hasKnownWork: Bool { fault == nil && taken != seen }

    /// Whether the driver has made something available that was not taken; also when it broke the rules by that.
    @inline(__always)
    public var hasWork: Bool { fault == nil && clinux_load16_acquire(available + 2) != taken }

    /// Chains that were taken and not given back yet, as the rings count them.
    public var outstanding: UInt16 { taken &- filled }

    /// Takes the next chain.
    @inline(__always)
    public mutating func next(into chain: inout Chain) -> Next {
        guard fault == nil else { return .broken }
        if taken == seen {
            // Acquire: what the driver wrote before its index is seen after it.
            seen = clinux_load16_acquire(available + 2)
            if taken == seen { return .none }
            guard seen &- taken <= size else { return broken(.tooManyAvailable) }
        }
        let head = clinux_load16(available + 4 + 2 &* Int(taken & (size &- 1)))
        taken &+= 1
        guard head < size else { return broken(.headOutside) }
        chain.clear()
        chain.head = head
        if let fault = walk(head, into: &chain) { return broken(fault) }
        return .chain
    }

    /// Gives the chain that was taken last back to the queue, as if it had not been taken.
    public mutating func untake() { taken &-= 1 }

    @inline(never)
    private mutating func broken(_ fault: QueueFault) -> Next {
        self.fault = fault
        return .broken
    }

    private static let next: UInt16 = 1
    private static let write: UInt16 = 2
    private static let indirect: UInt16 = 4

    @inline(__always)
    private func walk(_ head: UInt16, into chain: inout Chain) -> QueueFault? {
        var table = UnsafeRawPointer(descriptors)
        var tableSize = UInt32(size)
        var index = UInt32(head)
        // Most descriptors still allowed: a chain is never longer than its table, so a circle is found here.
        var left = UInt32(size)
        var isIndirect = false
        var count = 0
        var readable: UInt64 = 0
        var writable: UInt64 = 0
        while true {
            guard left > 0 else { return .tooLong }
            left &-= 1
            let descriptor = clinux_load_descriptor(table + 16 &* Int(index))
            if descriptor.flags & Queue.indirect != 0 {
                guard hasIndirect else { return .indirectNotOffered }
                guard !isIndirect else { return .indirectNested }
                guard descriptor.flags & Queue.next == 0 else { return .indirectChained }
                let entries = descriptor.length / 16
                guard entries > 0, descriptor.length & 15 == 0, entries <= UInt32(chain.capacity) else {
                    return .indirectSize
                }
                // Its alignment is not promised (section 2.7.5.3), but no driver has another, and atomic loads want it.
                guard descriptor.address & 15 == 0,
                    let start = ram.pointer(descriptor.address, UInt64(descriptor.length))
                else { return .bufferOutside }
                table = UnsafeRawPointer(start)
                tableSize = entries
                left = entries
                index = 0
                isIndirect = true
                continue
            }
            if descriptor.length > 0 {
                guard count < chain.capacity else { return .tooLong }
                guard let base = ram.pointer(descriptor.address, UInt64(descriptor.length)) else {
                    return .bufferOutside
                }
                if descriptor.flags & Queue.write == 0 {
                    guard writable == 0 else { return .order }
                    readable &+= UInt64(descriptor.length)
                    chain.endReadable = count &+ 1
                } else {
                    if writable == 0 { chain.firstWritable = count }
                    writable &+= UInt64(descriptor.length)
                    chain.endWritable = count &+ 1
                }
                chain.pieces[count] = iovec(iov_base: base, iov_len: Int(descriptor.length))
                count &+= 1
            }
            if descriptor.flags & Queue.next == 0 { break }
            index = UInt32(descriptor.next)
            guard index < tableSize else { return .nextOutside }
        }
        // At most 32768 pieces below 4 GiB each: no overflow.
        guard readable &+ writable <= UInt64(UInt32.max) else { return .tooManyBytes }
        chain.readableBytes = Int(readable)
        chain.writableBytes = Int(writable)
        return nil
    }

    // MARK: Giving back

    /// Gives a chain back. The driver sees it after the next `publish`.
    ///
    /// - Parameter written: how many bytes of it the device wrote, from the first writable on.
    @inline(__always)
    public mutating func add(_ head: UInt16, written: UInt32) {
        let element = used + 4 + 8 &* Int(filled & (size &- 1))
        clinux_store32(element, UInt32(head))
        clinux_store32(element + 4, written)
        filled &+= 1
    }

    /// Shows the driver all that was given back.
    @inline(__always)
    public mutating func publish() {
        guard published != filled else { return }
        // Release: what was written into the buffers is seen before the index.
        clinux_store16_release(used + 2, filled)
        published = filled
    }

    /// Whether the driver wants an interrupt for what was published since this was last asked (section 2.7.7.2).
    @inline(__always)
    public mutating func wantsInterrupt() -> Bool {
        guard considered != published || !hasConsidered else { return false }
        // The index must be visible before the driver's wish is read, or both sides may think that the other looks.
        clinux_full_fence()
        let before = considered
        considered = published
        let isFirst = !hasConsidered
        hasConsidered = true
        guard hasEventIndex else { return clinux_load16(available) & 1 == 0 }
        let event = clinux_load16(available + 4 + 2 &* Int(size))
        return isFirst || (published &- event &- 1) < (published &- before)
    }

    // MARK: Notifications

    /// Asks the driver to say when there is more. Only for when the thread is about to sleep.
    ///
    /// - Returns: whether there is more already, so that sleeping would be wrong.
    public mutating func enableNotifications() -> Bool {
        guard fault == nil else { return false }
        if hasEventIndex {
            clinux_store16(used + 4 + 8 &* Int(size), taken)
        } else {
            clinux_store16(used, 0)
        }
        // The wish must be visible before the index is read again.
        clinux_full_fence()
        return clinux_load16_acquire(available + 2) != taken
    }

    /// Tells the driver that it need not say when there is more: the thread is awake.
    public mutating func disableNotifications() {
        // With event indices the old wish is passed already and means nothing more.
        guard !hasEventIndex, fault == nil else { return }
        clinux_store16(used, 1)
    }
}
