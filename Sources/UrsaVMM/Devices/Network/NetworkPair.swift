import Glibc
import UrsaBase

/// One pair of queues and the thread that carries frames between them and the host.
///
/// Both directions sleep only together: notifications are asked for, and the back end is watched, when neither has work.
final class NetworkPair: @unchecked Sendable {
    // SAFETY: used by the thread of the active device only.

    /// Frames in one direction before the other has its turn.
    private static let burst = 64

    private unowned let device: NetworkDevice
    private let backend: NetworkBackend
    private let receive: ActiveQueue
    private let transmit: ActiveQueue
    private let control: ActiveQueue?
    private let features: VirtioFeatures
    private var isDead = false

    init(
        _ device: NetworkDevice, _ backend: NetworkBackend, _ receive: ActiveQueue, _ transmit: ActiveQueue,
        control: ActiveQueue?, _ features: VirtioFeatures
    ) {
        self.device = device
        self.backend = backend
        self.receive = receive
        self.transmit = transmit
        self.control = control
        self.features = features
    }

    func run(_ thread: QueueThread) {
        guard var receiving = try? receive.makeQueue(), var sending = try? transmit.makeQueue() else { return }
        var room = ReceiveBuffers(
            merges: features.contains(.Net.mergeable), wanted: device.largestFrame(features),
            header: backend.headerSize, largest: Int(receive.largest))
        // Holds a frame that the host does not take yet.
        var frame = transmit.makeChain()
        var isWaiting = false
        var watched: (read: Bool, write: Bool)?
        var poll = BriefPoll()
        let control = control.flatMap { ControlQueue($0) }
        while !thread.shouldEnd {
            sending.disableNotifications()
            receiving.disableNotifications()
            var received = Progress.none
            var sent = Progress.none
            repeat {
                received = isDead ? .none : take(&receiving, &room)
                sent = put(&sending, &frame, &isWaiting)
            } while (received == .some || sent == .some) && !thread.shouldEnd
            if received == .broken { return receive.fail(receiving.fault ?? .badRequest) }
            if sent == .broken { return transmit.fail(sending.fault ?? .badRequest) }
            if let control, !control.serve(device, features) { return }
            // Asks only for what can wake: buffers when there are none, frames when there is a place for them.
            let needsBuffers = received == .starved
            if !isWaiting {
                var looks: UInt = 0
                if poll.finds({
                    if sending.hasWork || needsBuffers && receiving.hasWork || thread.shouldEnd { return true }
                    // To ask the host for a frame is a system call.
                    looks &+= 1
                    guard looks & 31 == 0, !needsBuffers, !isDead else { return false }
                    return take(&receiving, &room) != .none
                }) {
                    continue
                }
            }
            if needsBuffers, receiving.enableNotifications() { continue }
            if !isWaiting, sending.enableNotifications() { continue }
            let wanted = (read: !needsBuffers && !isDead, write: isWaiting)
            if watched?.read != wanted.read || watched?.write != wanted.write {
                if isDead {
                    thread.unwatch(backend.raw)
                } else {
                    thread.watch(backend.raw, read: wanted.read, write: wanted.write)
                }
                watched = wanted
            }
            poll.sleep(thread)
        }
    }

    private enum Progress { case none, some, starved, broken }

    // MARK: From the host to the guest

    private func take(_ queue: inout Queue, _ room: inout ReceiveBuffers) -> Progress {
        var result = Progress.none
        frames: for _ in 0..<NetworkPair.burst {
            guard room.fill(from: &queue) else { return .broken }
            guard room.isEnough else {
                result = .starved
                break
            }
            let count = room.receive(backend)
            switch count {
            case 1...:
                room.deliver(count, into: &queue)
                result = .some
            case -Int(EAGAIN), -Int(EINTR):
                // What was done before counts as work: more may have come meanwhile.
                break frames
            case 0 where backend.kind != .frames: break frames
            default:
                failed(count)
                break frames
            }
        }
        receive.publish(&queue)
        return result
    }

    private func failed(_ result: Int) {
        isDead = true
        device.linkFailed(
            result == 0
                ? "the other side of the network card is gone"
                : "the host's side of the network card failed: \(Errno(Int32(truncatingIfNeeded: -result)))")
    }

    // MARK: From the guest to the host

    private func put(_ queue: inout Queue, _ frame: inout Chain, _ isWaiting: inout Bool) -> Progress {
        var result = Progress.none
        sending: for _ in 0..<NetworkPair.burst {
            if !isWaiting {
                switch queue.next(into: &frame) {
                case .none: break sending
                case .broken: return .broken
                case .chain: break
                }
                // A frame without its header is none; and where the host's side knows no header, it ends here.
                guard frame.readableBytes > 12, backend.headerSize == 12 || frame.skip(12) else {
                    queue.add(frame.head, written: 0)
                    result = .some
                    continue
                }
            }
            isWaiting = false
            if !isDead, let pieces = frame.readable.baseAddress {
                let count = backend.send(pieces, frame.readable.count)
                if count == -Int(EAGAIN) {
                    isWaiting = true
                    break sending
                }
                // Whatever else the host says of a frame, it is lost, as frames may be.
            }
            queue.add(frame.head, written: 0)
            result = .some
        }
        transmit.publish(&queue)
        return result
    }
}

/// The control queue, where a pair's thread serves it too.
private final class ControlQueue {
    private let active: ActiveQueue
    private var queue: Queue
    private var chain: Chain

    init?(_ active: ActiveQueue) {
        guard let queue = try? active.makeQueue() else { return nil }
        self.active = active
        self.queue = queue
        chain = active.makeChain()
    }

    /// False when the driver broke the rules.
    func serve(_ device: NetworkDevice, _ features: VirtioFeatures) -> Bool {
        repeat {
            working: while true {
                switch queue.next(into: &chain) {
                case .none: break working
                case .broken:
                    active.fail(queue.fault ?? .badRequest)
                    return false
                case .chain:
                    guard let written = NetworkControl.serve(&chain, device, features) else {
                        active.fail(.badRequest)
                        return false
                    }
                    queue.add(chain.head, written: UInt32(written))
                    active.publish(&queue)
                }
            }
        } while queue.enableNotifications()
        return true
    }
}
