import Glibc

extension VirtioDeviceType {
    /// Section 5.5; PCI class "memory controller, RAM".
    public static let balloon = VirtioDeviceType(5, name: "balloon", pciClass: 0x05_0000)
}

/// Gives memory that the guest does not use back to the host (virtio 1.2 section 5.5): pages that the guest puts into the
/// balloon because it was asked to, and pages that it reports as free by itself.
public final class BalloonDevice: VirtioDevice, @unchecked Sendable {
    private static let deflateOnOutOfMemory = VirtioFeatures(bit: 2)
    private static let reporting = VirtioFeatures(bit: 5)
    private static let pageSize: UInt64 = 4096
    /// Most page numbers of one request that count, so that a guest can't keep a thread busy for long.
    private static let mostPages = 1 << 16

    private let ram: GuestRAM
    private let changed: @Sendable (UInt64) -> Void

    /// A balloon for a guest's memory.
    ///
    /// - Parameter changed: called with the bytes that the guest has left, whenever that changes.
    public init(_ ram: GuestRAM, changed: @escaping @Sendable (UInt64) -> Void = { _ in }) {
        self.ram = ram
        self.changed = changed
        // Reporting has number 4 by the text; Linux leaves out the numbers of queues that it does not use, so it comes as 2.
        super.init(type: .balloon, queueSizes: [128, 128, 128, 128, 128], configurationSize: 16)
    }

    /// Without statistics and hints: what was free once is told by reports.
    public override var features: VirtioFeatures { [BalloonDevice.deflateOnOutOfMemory, BalloonDevice.reporting] }

    /// Asks the guest to use at most so many bytes of its memory.
    public func setTarget(_ bytes: UInt64) {
        let pages = (ram.size - min(ram.size, bytes)) / BalloonDevice.pageSize
        configuration.set(UInt32(clamping: pages), at: 0)
        configurationChanged()
    }

    /// Bytes that the guest has left: all but what it says is in the balloon.
    public var actual: UInt64 {
        ram.size - min(ram.size, configuration.read(offset: 4, size: 4) &* BalloonDevice.pageSize)
    }

    /// The driver says how many pages are in the balloon.
    public override func writeConfiguration(offset: Int, size: Int, value: UInt64) {
        guard offset == 4, size == 4 else { return }
        setPages(UInt32(truncatingIfNeeded: value))
    }

    private func setPages(_ count: UInt32) {
        guard configuration.read(offset: 4, size: 4) != UInt64(count) else { return }
        configuration.set(count, at: 4)
        changed(actual)
    }

    /// Without a driver nothing is in the balloon: the next one begins with all of the memory.
    public override func deactivate() {
        super.deactivate()
        setPages(0)
    }

    /// Pages come in (queue 0), go out (1: nothing to do, they come back when touched), or are free (the others).
    public override func serve(_ queue: Int, _ chain: inout Chain) -> Int? {
        switch queue {
        case 0: inflate(&chain)
        case 1: break
        default: discard(chain.writable)
        }
        return 0
    }

    private func inflate(_ chain: inout Chain) {
        // Numbers mostly come in runs, up or down: one system call for each.
        var first: UInt64 = 0
        var count: UInt64 = 0
        var left = BalloonDevice.mostPages
        while left > 0, let number = chain.read(UInt32.self) {
            left -= 1
            let page = UInt64(number)
            if count > 0, page == first + count {
                count += 1
            } else if count > 0, page + 1 == first {
                first = page
                count += 1
            } else {
                ram.discard(first * BalloonDevice.pageSize, count * BalloonDevice.pageSize)
                first = page
                count = 1
            }
        }
        ram.discard(first * BalloonDevice.pageSize, count * BalloonDevice.pageSize)
    }

    private func discard(_ pieces: UnsafeMutableBufferPointer<iovec>) {
        for piece in pieces {
            let start = (UInt(bitPattern: piece.iov_base) &+ 4095) & ~4095
            let end = (UInt(bitPattern: piece.iov_base) &+ UInt(piece.iov_len)) & ~4095
            // The queue has checked that the piece is the guest's memory; only its whole pages go.
            guard end > start, let place = UnsafeMutableRawPointer(bitPattern: start) else { continue }
            madvise(place, Int(end &- start), MADV_DONTNEED)
        }
    }
}
