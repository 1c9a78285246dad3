import CLinux
import Glibc
import Synchronization
public import UrsaBase

/// Requests to one image that are done at the same time: what a virtual disk's queue is served by. One thread at a time
/// uses a queue, and nothing else changes the image's snapshots or size meanwhile.
///
/// Reads and writes whose place in the file is known go to the kernel by io_uring, with no lock and no allocation: for
/// raw images all, for qcow2 those to clusters that have data, found in copies of L2 slices (`Qcow2QueueMap`). All others
/// go to a few threads that use the image's own calls, and so does everything where io_uring is forbidden, as it is in
/// many containers. Discards and zeros go alone: they wait for what is on its way, and what follows waits for them.
///
/// The ring is spoken to by system calls, without liburing: three calls and two mappings are less than a dependency.
public final class RequestQueue {
    /// Who moves the bytes.
    public enum Engine: String, Sendable, CaseIterable {
        case ring = "io_uring"
        case threads
    }

    private enum State: UInt8 { case free, held, onRing, onThread, aloneOnThread }

    private struct Slot {
        var state: State
        var request: DiskRequest
    }

    /// The engine in use.
    public let engine: Engine
    /// Most requests on their way.
    public let depth: Int
    /// Requests that were submitted and are not complete.
    public private(set) var inFlight = 0

    private let image: any DiskWriter
    private let qcow2: Qcow2Image?
    private let map: Qcow2QueueMap?
    private let writesDirectly: Bool
    private let file: ImageFile
    private var ring = clinux_ring()
    private let workers: RequestWorkers
    private let slots: UnsafeMutablePointer<Slot>
    private let free: UnsafeMutablePointer<Int>
    private var freeCount: Int
    /// Slots that wait for one that goes alone, in their order.
    private var held: [Int] = []
    private var onRing = 0
    private var onThreads = 0
    private var isAlone = false
    private var isPolling = false
    private static let eventToken = UInt64.max

    /// A queue for an image.
    ///
    /// - Parameters:
    ///   - depth: most requests on their way, 1 to 4096.
    ///   - engine: nil takes io_uring where it can be had.
    public init(_ image: any DiskWriter, depth: Int = 128, engine wanted: Engine? = nil) throws(UrsaError) {
        guard (1...4096).contains(depth) else {
            throw UrsaError(.usage, "a queue of \(depth) requests; 1 to 4096 can be")
        }
        self.image = image
        self.depth = depth
        qcow2 = image as? Qcow2Image
        map = qcow2.map { Qcow2QueueMap($0.geometry) }
        // Others than raw and qcow2 don't write. Memory files have no descriptor for the ring.
        file = qcow2?.dataFile ?? (image as? RawImage)?.file ?? ImageFile(bytes: [], name: image.name)
        if let qcow2, qcow2.file.isWritable { try qcow2.prepareForRequests() }
        writesDirectly = !(qcow2?.tracksWrites ?? false)
        var opened: Int32 = -ENOSYS
        if wanted != .threads, file.descriptor >= 0, file.alignment == 1 || wanted == .ring,
            file.options.observer == nil
        {
            opened = clinux_ring_open(&ring, UInt32(depth + 8))
        }
        if opened < 0, wanted == .ring { throw UrsaError.system(Errno(-opened), "set up io_uring") }
        engine = opened < 0 ? .threads : .ring
        workers = try RequestWorkers(image, threads: opened < 0 ? min(depth, 16) : min(depth, 4), depth: depth)
        slots = .allocate(capacity: depth)
        slots.initialize(repeating: Slot(state: .free, request: DiskRequest(.flush, token: 0)), count: depth)
        free = .allocate(capacity: depth)
        for index in 0..<depth { (free + index).initialize(to: depth - 1 - index) }
        freeCount = depth
        held.reserveCapacity(depth)
    }

    /// Waits for what is on its way.
    deinit {
        while inFlight > 0 {
            guard (try? complete(atLeast: 1, { _ in })) != nil else { break }
        }
        workers.end()
        clinux_ring_close(&ring)
        slots.deallocate()
        free.deallocate()
    }

    /// Readable (poll, epoll) when requests may be complete.
    public var descriptor: Int32 { engine == .ring ? ring.fd : workers.event.raw }

    /// Whether `hasCompletions` tells of completions as they come. Where only threads do the work, it does not.
    public var showsCompletions: Bool { engine == .ring || inFlight == 0 }

    /// Whether completions wait; a look at memory, no system call.
    @inline(__always)
    public var hasCompletions: Bool { engine == .ring && clinux_ring_has_completions(&ring) != 0 }

    // ---- submitting -------------------------------------------------------------------------------------------------

    /// Takes a request; false when the queue is full. It begins with the next `submit()` or `complete`, or earlier.
    public func add(_ request: DiskRequest) -> Bool {
        guard freeCount > 0 else { return false }
        freeCount -= 1
        let slot = free[freeCount]
        slots[slot].request = request
        inFlight += 1
        if isAlone || !held.isEmpty || goesAlone(request) {
            slots[slot].state = .held
            held.append(slot)
            startHeld()
        } else {
            start(slot)
        }
        return true
    }

    /// Hands everything taken so far to the kernel.
    public func submit() throws(UrsaError) {
        guard engine == .ring else { return }
        pollWorkers()
        guard ring.pending > 0 else { return }
        try check(clinux_ring_enter(&ring, 0), "submit requests to \(image.name)")
    }

    private func goesAlone(_ request: DiskRequest) -> Bool {
        switch request.kind {
        case .read, .write: false
        case .flush: qcow2?.hasFreed.load(ordering: .acquiring) ?? false
        case .discard, .zero: true
        }
    }

    @inline(__always)
    private func start(_ slot: Int) {
        let request = slots[slot].request
        if engine == .ring, let place = place(request) {
            let isRead = if case .read = request.kind { true } else { false }
            if !isRead { qcow2?.noteWritten() }
            let result = clinux_ring_push(
                &ring, Int32(isRead ? CLINUX_RING_READV : CLINUX_RING_WRITEV), file.descriptor, request.pieces,
                UInt32(request.pieceCount), place, UInt64(slot))
            if result == 0 {
                slots[slot].state = .onRing
                onRing += 1
                return
            }
        }
        startOnThread(slot, alone: false)
    }

    private func startOnThread(_ slot: Int, alone: Bool) {
        slots[slot].state = alone ? .aloneOnThread : .onThread
        isAlone = alone
        onThreads += 1
        workers.add(RequestWorkers.Job(slot: slot, request: slots[slot].request, keepsFrees: !alone))
    }

    /// Where the bytes lie, when the kernel may move them.
    @inline(__always)
    private func place(_ request: DiskRequest) -> UInt64? {
        let isWrite: Bool
        switch request.kind {
        case .read: isWrite = false
        case .write: isWrite = true
        default: return nil
        }
        guard request.count > 0, request.pieceCount <= 1024, isWrite ? file.isWritable && writesDirectly : true else {
            return nil
        }
        let size = image.size
        guard request.offset < size, request.count <= size - request.offset else { return nil }
        guard let qcow2, let map else { return request.offset }
        return map.place(request.offset, request.count, writing: isWrite, qcow2)
    }

    /// Starts what waits, as far as that may go now.
    private func startHeld() {
        var index = 0
        while index < held.count, !isAlone {
            let slot = held[index]
            if goesAlone(slots[slot].request) {
                guard onRing == 0, onThreads == 0 else { break }
                startOnThread(slot, alone: true)
            } else {
                start(slot)
            }
            index += 1
        }
        held.removeFirst(index)
    }

    // ---- completing -------------------------------------------------------------------------------------------------

    /// Calls `body` for each request that is complete, waiting until at least `minimum` are (no more than are on their
    /// way). `body` may add requests.
    ///
    /// - Returns: how many completed.
    @discardableResult
    public func complete(
        atLeast minimum: Int, _ body: (DiskCompletion) throws(UrsaError) -> Void
    ) throws(UrsaError) -> Int {
        let wanted = min(minimum, inFlight)
        var count = 0
        if engine == .ring { try submit() }
        while true {
            count += try collect(body)
            if count >= wanted || inFlight == 0 { return count }
            if engine == .ring {
                pollWorkers()
                try check(clinux_ring_enter(&ring, 1), "wait for requests to \(image.name)")
            } else {
                var waiting = pollfd(fd: workers.event.raw, events: Int16(POLLIN), revents: 0)
                _ = poll(&waiting, 1, -1)
            }
        }
    }

    /// The ring wakes us for the threads' completions too.
    private func pollWorkers() {
        guard onThreads > 0, !isPolling else { return }
        isPolling =
            clinux_ring_push(
                &ring, Int32(CLINUX_RING_POLL), workers.event.raw, nil, 0, 0, RequestQueue.eventToken) == 0
    }

    private func collect(_ body: (DiskCompletion) throws(UrsaError) -> Void) throws(UrsaError) -> Int {
        var count = 0
        var token: UInt64 = 0
        var result: Int32 = 0
        var asksThreads = engine == .threads
        while engine == .ring, clinux_ring_pop(&ring, &token, &result) == 1 {
            if token == RequestQueue.eventToken {
                isPolling = false
                asksThreads = true
                continue
            }
            let slot = Int(token)
            onRing -= 1
            if result >= 0, UInt64(result) == slots[slot].request.count {
                if case .write = slots[slot].request.kind { qcow2?.noteWritten() }
                count += 1
                try finish(slot, nil, body)
            } else {
                // Part of it, the end of the file, or an error: the image's own call says what is so.
                startOnThread(slot, alone: isAlone)
            }
        }
        if asksThreads {
            var ended: [(Int, UrsaError?)] = []
            workers.take { ended.append(($0, $1)) }
            for (slot, error) in ended {
                onThreads -= 1
                let request = slots[slot].request
                if slots[slot].state == .aloneOnThread {
                    isAlone = false
                    map?.forgetAll()
                } else if case .write = request.kind {
                    map?.forget(request.offset, request.count)
                }
                count += 1
                try finish(slot, error, body)
            }
        }
        if !held.isEmpty { startHeld() }
        // Also for what went from the ring to a thread just now: whoever sleeps on the ring must hear of its end.
        if engine == .ring { try submit() }
        return count
    }

    @inline(__always)
    private func finish(
        _ slot: Int, _ error: UrsaError?, _ body: (DiskCompletion) throws(UrsaError) -> Void
    ) throws(UrsaError) {
        let token = slots[slot].request.token
        slots[slot].state = .free
        free[freeCount] = slot
        freeCount += 1
        inFlight -= 1
        try body(DiskCompletion(token: token, error: error))
    }
}
