import Glibc
import UrsaBase
import UrsaDisk

/// What one thread of a disk works with: queues of the driver on one side, the queue of requests to the image on the other.
///
/// Everything that a request needs is made once, so that none allocates; and it stays until the request is complete, also
/// when the driver resets the device meanwhile.
final class BlockLane: @unchecked Sendable {
    // SAFETY: used by the thread of the active device only; `run` returns with nothing on its way.

    /// A request on its way.
    private struct Slot {
        var ring: Int
        var head: UInt16
        var status: UnsafeMutablePointer<UInt8>
        /// Bytes that the device writes, with the status.
        var written: UInt32
        var operation: BlockDevice.Fault.Operation
        /// Written; a flush makes it last (a driver without FLUSH believes every write to be so).
        var needsFlush: Bool
    }

    private enum Status {
        static let ok: UInt8 = 0
        static let ioError: UInt8 = 1
        static let unsupported: UInt8 = 2
    }

    weak var device: BlockDevice?
    private let requests: RequestQueue
    private let depth: Int
    private let slots: UnsafeMutablePointer<Slot>
    private let free: UnsafeMutablePointer<Int>
    private var freeCount: Int
    /// Pieces of requests: a few for each slot, and many for those that have more. What is not touched takes no memory.
    private let few: UnsafeMutablePointer<iovec>
    private let many: UnsafeMutablePointer<iovec>
    private static let fewPieces = 8
    private static let manyPieces = Int(BlockDevice.queueSize)

    init(_ requests: RequestQueue) {
        self.requests = requests
        depth = requests.depth
        slots = .allocate(capacity: depth)
        free = .allocate(capacity: depth)
        for index in 0..<depth { (free + index).initialize(to: depth - 1 - index) }
        freeCount = depth
        few = .allocate(capacity: depth * BlockLane.fewPieces)
        many = .allocate(capacity: depth * BlockLane.manyPieces)
    }

    deinit {
        slots.deallocate()
        free.deallocate()
        few.deallocate()
        many.deallocate()
    }

    // MARK: The thread

    func run(_ thread: QueueThread, _ queues: [ActiveQueue], writesThrough: Bool) {
        guard let device else { return }
        let rings = UnsafeMutablePointer<Queue>.allocate(capacity: queues.count)
        var count = 0
        defer {
            rings.deinitialize(count: count)
            rings.deallocate()
        }
        for queue in queues {
            guard let ring = try? queue.makeQueue() else { return }
            (rings + count).initialize(to: ring)
            count += 1
        }
        var chain = queues[0].makeChain()
        let size = device.image.size & ~511
        thread.watch(requests.descriptor)
        var isSound = true
        var poll = BriefPoll()
        while isSound, !thread.shouldEnd {
            for index in 0..<count { rings[index].disableNotifications() }
            var worked = true
            while worked, isSound, !thread.shouldEnd {
                worked = false
                for index in 0..<count {
                    taking: while freeCount > 0 {
                        switch rings[index].next(into: &chain) {
                        case .none: break taking
                        case .broken:
                            queues[index].fail(rings[index].fault ?? .badRequest)
                            isSound = false
                            break taking
                        case .chain:
                            worked = true
                            guard start(&chain, index, rings, device, size, writesThrough: writesThrough) else {
                                queues[index].fail(.badRequest)
                                isSound = false
                                break taking
                            }
                        }
                    }
                }
                if collect(0, rings, device) > 0 { worked = true }
                for index in 0..<count { queues[index].publish(&rings[index]) }
            }
            guard isSound, !thread.shouldEnd else { break }
            let takes = freeCount > 0
            if requests.showsCompletions,
                poll.finds({
                    if requests.hasCompletions || thread.shouldEnd { return true }
                    guard takes else { return false }
                    for index in 0..<count where rings[index].hasWork { return true }
                    return false
                })
            {
                continue
            }
            var mayChange = false
            if takes {
                for index in 0..<count where rings[index].enableNotifications() { mayChange = true }
            }
            if !mayChange { poll.sleep(thread) }
        }
        // Until it is complete, a request reads and writes memory that the guest believes to be its own again.
        while requests.inFlight > 0, collect(1, rings, device) > 0 {}
        thread.unwatch(requests.descriptor)
        guard isSound else { return }
        // Whoever reset the device does not look any more; whoever stopped the machine may.
        for index in 0..<count { queues[index].publish(&rings[index]) }
    }

    // MARK: Requests (section 5.2.6)

    /// Begins a request, or answers it at once. False when it has not the form of one.
    @inline(__always)
    private func start(
        _ chain: inout Chain, _ ring: Int, _ rings: UnsafeMutablePointer<Queue>, _ device: BlockDevice, _ size: UInt64,
        writesThrough: Bool
    ) -> Bool {
        guard let status = chain.takeLastWritable(), let type = chain.read(UInt32.self), chain.skip(4),
            let sector = chain.read(UInt64.self)
        else { return false }
        let (offset, tooFar) = sector.multipliedReportingOverflow(by: 512)
        switch type {
        case 0:
            let count = UInt64(chain.writableBytes)
            guard !tooFar, count & 511 == 0, offset <= size, count <= size &- offset else {
                answer(Status.ioError, status, chain.head, ring, rings)
                return true
            }
            guard count > 0 else {
                answer(Status.ok, status, chain.head, ring, rings)
                return true
            }
            let slot = take(chain.head, ring, status, UInt32(truncatingIfNeeded: count &+ 1), .read)
            let pieces = keep(chain.writable, slot)
            return requests.add(
                DiskRequest(
                    .read, at: offset, count: count, pieces: pieces, pieceCount: chain.writable.count,
                    token: UInt64(slot)))
        case 1:
            let count = UInt64(chain.readableBytes)
            guard !device.isReadOnly, !tooFar, count & 511 == 0, offset <= size, count <= size &- offset else {
                answer(Status.ioError, status, chain.head, ring, rings)
                return true
            }
            guard count > 0 else {
                answer(Status.ok, status, chain.head, ring, rings)
                return true
            }
            let slot = take(chain.head, ring, status, 1, .write)
            slots[slot].needsFlush = writesThrough
            let pieces = keep(chain.readable, slot)
            return requests.add(
                DiskRequest(
                    .write, at: offset, count: count, pieces: pieces, pieceCount: chain.readable.count,
                    token: UInt64(slot)))
        default:
            return startOther(type, &chain, status, ring, rings, device, size)
        }
    }

    private func startOther(
        _ type: UInt32, _ chain: inout Chain, _ status: UnsafeMutablePointer<UInt8>, _ ring: Int,
        _ rings: UnsafeMutablePointer<Queue>, _ device: BlockDevice, _ size: UInt64
    ) -> Bool {
        switch type {
        case 4:
            if device.isReadOnly {
                answer(Status.ok, status, chain.head, ring, rings)
                return true
            }
            let slot = take(chain.head, ring, status, 1, .flush)
            return requests.add(DiskRequest(.flush, token: UInt64(slot)))
        case 8:
            let id = device.serial + [UInt8](repeating: 0, count: 20 - device.serial.count)
            let isWritten = chain.write(id)
            answer(isWritten ? Status.ok : Status.ioError, status, chain.head, ring, rings, data: isWritten ? 20 : 0)
            return true
        case 11, 13:
            // One segment, as the configuration says.
            guard let sector = chain.read(UInt64.self), let sectors = chain.read(UInt32.self),
                let flags = chain.read(UInt32.self), chain.readableBytes == 0, !device.isReadOnly
            else {
                answer(Status.ioError, status, chain.head, ring, rings)
                return true
            }
            guard flags & ~(type == 13 ? 1 : 0) == 0 else {
                answer(Status.unsupported, status, chain.head, ring, rings)
                return true
            }
            let (offset, tooFar) = sector.multipliedReportingOverflow(by: 512)
            let count = UInt64(sectors) &* 512
            guard !tooFar, sectors <= BlockDevice.mostSectors, offset <= size, count <= size &- offset else {
                answer(Status.ioError, status, chain.head, ring, rings)
                return true
            }
            guard count > 0 else {
                answer(Status.ok, status, chain.head, ring, rings)
                return true
            }
            let slot = take(chain.head, ring, status, 1, .discard)
            return requests.add(
                DiskRequest(
                    type == 11 ? .discard : .zero(unmap: flags & 1 != 0), at: offset, count: count, token: UInt64(slot))
            )
        default:
            answer(Status.unsupported, status, chain.head, ring, rings)
            return true
        }
    }

    @inline(__always)
    private func answer(
        _ result: UInt8, _ status: UnsafeMutablePointer<UInt8>, _ head: UInt16, _ ring: Int,
        _ rings: UnsafeMutablePointer<Queue>, data: UInt32 = 0
    ) {
        status.pointee = result
        rings[ring].add(head, written: data &+ 1)
    }

    /// A slot for a request; there is a free one.
    @inline(__always)
    private func take(
        _ head: UInt16, _ ring: Int, _ status: UnsafeMutablePointer<UInt8>, _ written: UInt32,
        _ operation: BlockDevice.Fault.Operation
    ) -> Int {
        freeCount &-= 1
        let slot = free[freeCount]
        (slots + slot).initialize(
            to: Slot(
                ring: ring, head: head, status: status, written: written, operation: operation, needsFlush: false))
        return slot
    }

    /// Copies the pieces out of the chain, which is filled again before the request is complete.
    @inline(__always)
    private func keep(_ pieces: UnsafeMutableBufferPointer<iovec>, _ slot: Int) -> UnsafeMutablePointer<iovec>? {
        guard let start = pieces.baseAddress else { return nil }
        let room =
            pieces.count <= BlockLane.fewPieces
            ? few + slot &* BlockLane.fewPieces : many + slot &* BlockLane.manyPieces
        room.update(from: start, count: min(pieces.count, BlockLane.manyPieces))
        return room
    }

    /// Takes what the image has completed; how many.
    @inline(__always)
    private func collect(_ minimum: Int, _ rings: UnsafeMutablePointer<Queue>, _ device: BlockDevice) -> Int {
        do throws(UrsaError) {
            return try requests.complete(atLeast: minimum) { completion in
                let slot = Int(completion.token)
                if let error = completion.error {
                    slots[slot].status.pointee = Status.ioError
                    device.onFault?(BlockDevice.Fault(operation: slots[slot].operation, reason: error))
                } else if slots[slot].needsFlush {
                    slots[slot].needsFlush = false
                    if requests.add(DiskRequest(.flush, token: completion.token)) { return }
                    slots[slot].status.pointee = Status.ioError
                } else {
                    slots[slot].status.pointee = Status.ok
                }
                rings[slots[slot].ring].add(slots[slot].head, written: slots[slot].written)
                free[freeCount] = slot
                freeCount &+= 1
            }
        } catch {
            // The ring itself has failed: nothing more can be promised for this disk.
            device.onFault?(BlockDevice.Fault(operation: .read, reason: error))
            device.fail("\(error)")
            return 0
        }
    }
}
