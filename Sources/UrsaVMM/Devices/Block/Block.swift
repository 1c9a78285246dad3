import Glibc
public import UrsaBase
public import UrsaDisk

extension VirtioDeviceType {
    /// Section 5.2; PCI class "mass storage, other".
    public static let block = VirtioDeviceType(2, name: "block", pciClass: 0x01_8000)
}

extension VirtioFeatures {
    /// Bits of block devices (section 5.2.3).
    enum Block {
        static let segmentsMax = VirtioFeatures(bit: 2)
        static let readOnly = VirtioFeatures(bit: 5)
        static let blockSize = VirtioFeatures(bit: 6)
        static let flush = VirtioFeatures(bit: 9)
        static let topology = VirtioFeatures(bit: 10)
        static let manyQueues = VirtioFeatures(bit: 12)
        static let discard = VirtioFeatures(bit: 13)
        static let writeZeroes = VirtioFeatures(bit: 14)
    }
}

/// A disk (virtio 1.2 section 5.2), raw or qcow2.
///
/// A raw image is served by a thread and an io_uring of its own for each queue. A qcow2 image has one owner, because its
/// tables change with every first write: one thread serves all queues of it.
public final class BlockDevice: VirtioDevice, @unchecked Sendable {
    // SAFETY: `threads` is touched by `activate` and `deactivate` only; each lane by one thread at a time.

    /// A request that the host could not do.
    public struct Fault: Sendable {
        /// What was asked.
        public enum Operation: String, Sendable { case read, write, flush, discard }
        /// What was asked.
        public let operation: Operation
        /// Why it failed.
        public let reason: UrsaError
        /// Whether the host's filesystem is full.
        public var isOutOfSpace: Bool { reason.message.contains(Errno(ENOSPC).description) }
    }

    /// Entries of a queue, and most requests on their way for each.
    static let queueSize: UInt16 = 256
    /// Most pieces of data of a request: what is left of a queue's entries for header and status.
    static let mostSegments = 254
    /// Most bytes for one discard or zeroing.
    static let mostSectors: UInt32 = 0x3f_ffff

    /// The image.
    public let image: any DiskWriter
    let isReadOnly: Bool
    let serial: [UInt8]
    let onFault: (@Sendable (Fault) -> Void)?
    private let lanes: [BlockLane]
    private var threads: [QueueThread] = []

    /// A disk.
    ///
    /// - Parameters:
    ///   - image: used by nobody else as long as the device lives.
    ///   - serial: what the guest finds as the disk's serial number; at most 20 bytes count.
    ///   - queues: 1 to 64; as many as the guest has processors is best for a raw image.
    ///   - engine: nil takes io_uring where it can be had.
    ///   - onFault: called on an I/O thread for each request that the host could not do, after which the guest sees
    ///     an error.
    public init(
        _ image: any DiskWriter, readOnly: Bool = false, serial: String = "", queues: Int = 1,
        engine: RequestQueue.Engine? = nil, onFault: (@Sendable (Fault) -> Void)? = nil
    ) throws(UrsaError) {
        guard (1...64).contains(queues) else {
            throw UrsaError(.usage, "a disk with \(queues) queues; 1 to 64 can be")
        }
        self.image = image
        isReadOnly = readOnly
        self.serial = Array(serial.utf8.prefix(20))
        self.onFault = onFault
        var lanes: [BlockLane] = []
        let count = image.format == .raw ? queues : 1
        for _ in 0..<count {
            lanes.append(BlockLane(try RequestQueue(image, depth: Int(BlockDevice.queueSize), engine: engine)))
        }
        self.lanes = lanes
        super.init(
            type: .block, queueSizes: [UInt16](repeating: BlockDevice.queueSize, count: queues), configurationSize: 60)
        for lane in lanes { lane.device = self }
        setConfiguration()
    }

    /// struct virtio_blk_config (section 5.2.4).
    private func setConfiguration() {
        configuration.set(image.size / 512, at: 0)
        configuration.set(UInt32(BlockDevice.mostSegments), at: 12)
        configuration.set(UInt32(512), at: 20)
        // Blocks of 4096 bytes below the logical ones of 512; best I/O by clusters, where the image has them.
        configuration.set(UInt8(3), at: 24)
        configuration.set(UInt16(8), at: 26)
        configuration.set(UInt32(clamping: (image.clusterSize ?? 0) / 512), at: 28)
        configuration.set(UInt16(queueSizes.count), at: 34)
        configuration.set(BlockDevice.mostSectors, at: 36)
        configuration.set(UInt32(1), at: 40)
        configuration.set(UInt32(clamping: max(4096, image.clusterSize ?? 0) / 512), at: 44)
        configuration.set(BlockDevice.mostSectors, at: 48)
        configuration.set(UInt32(1), at: 52)
        configuration.set(UInt8(1), at: 56)
    }

    /// What a disk offers; one that is read only has nothing to do with writing.
    public override var features: VirtioFeatures {
        typealias Bits = VirtioFeatures.Block
        let all: VirtioFeatures = [Bits.segmentsMax, Bits.blockSize, Bits.topology, Bits.flush]
        let many: VirtioFeatures = queueSizes.count > 1 ? Bits.manyQueues : []
        return all.union(many).union(isReadOnly ? Bits.readOnly : [Bits.discard, Bits.writeZeroes])
    }

    /// The image has another size.
    public func sizeChanged() {
        configuration.set(image.size / 512, at: 0)
        configurationChanged()
    }

    /// Starts a thread for each lane that has queues.
    public override func activate(_ queues: [ActiveQueue], features: VirtioFeatures) throws(UrsaError) {
        for (number, lane) in lanes.enumerated() {
            let own = queues.filter { $0.index % lanes.count == number }
            guard let first = own.first else { continue }
            let flushes = features.contains(.Block.flush)
            threads.append(
                try QueueThread(first, others: Array(own.dropFirst()), name: type.name) { thread in
                    lane.run(thread, own, writesThrough: !flushes)
                })
        }
    }

    /// Waits for what is on its way: its memory is the guest's.
    public override func deactivate() {
        for thread in threads { thread.stop() }
        threads = []
    }

    /// Writes the image out.
    public override func close() {
        do throws(UrsaError) { try isReadOnly ? () : image.close() } catch {
            onFault?(Fault(operation: .flush, reason: error))
        }
    }
}
