import CLinux
import Glibc
import UrsaBase

/// The monitor's side of its broker: what was asked and not yet answered. For one thread at a time.
final class VsockOutlet {
    /// Most requests that wait for the broker; while so many do, the guest waits.
    static let limit = 64

    /// A request of the guest's.
    struct Wish {
        let ports: VsockPorts
        let room: UInt32
        let forwarded: UInt32
    }

    /// What came of a wish.
    enum Outcome {
        case connected(Wish, SharedFD)
        case refused(VsockPorts)
    }

    private struct Waiting {
        let number: UInt32
        let wish: Wish
        /// The guest does not want it any more; what comes is closed.
        var isCancelled = false
    }

    private let socket: SharedFD
    private let log: @Sendable (String) -> Void
    private var waiting: [Waiting] = []
    private var number: UInt32 = 0
    private var hasEnded = false
    /// Ports whose socket the machine's user may not write to, told once each; a guest can ask for as many as it likes.
    private var closed: Set<UInt32> = []
    private static let mostClosed = 16

    init(_ socket: SharedFD, log: @escaping @Sendable (String) -> Void) {
        self.socket = socket
        self.log = log
    }

    /// Readable when there is an outcome; nil when there will never be one again.
    var descriptor: Int32? { hasEnded ? nil : socket.raw }
    /// Requests that wait for the broker.
    var count: Int { waiting.count }
    var isFull: Bool { waiting.count >= VsockOutlet.limit }

    /// Forgets what was asked for an earlier driver of the device; what still comes for it is closed.
    func restart() { for index in waiting.indices { waiting[index].isCancelled = true } }

    func isWaiting(for ports: VsockPorts) -> Bool {
        waiting.contains { !$0.isCancelled && $0.wish.ports == ports }
    }

    /// The guest takes a request back.
    func cancel(_ ports: VsockPorts) {
        for index in waiting.indices where waiting[index].wish.ports == ports { waiting[index].isCancelled = true }
    }

    /// Asks the broker; false when it can't.
    func ask(_ wish: Wish) -> Bool {
        guard !hasEnded, !isFull else { return false }
        number &+= 1
        var request = VsockBroker.Request(number: number, port: wish.ports.host)
        let size = UInt32(MemoryLayout<VsockBroker.Request>.size)
        let sent = clinux_send_message(socket.raw, &request, size, -1, 0)
        // A full socket can't be with so few requests; whatever it is, this request is refused.
        guard sent == Int32(size) else { return false }
        waiting.append(Waiting(number: number, wish: wish))
        return true
    }

    /// People wonder why their program is not reached: they made its socket for themselves only.
    private func tellClosed(_ port: UInt32) {
        guard closed.count < VsockOutlet.mostClosed, closed.insert(port).inserted else { return }
        log(
            "the socket of vsock port \(port) is not writable for the machine's group, so the guest was refused (umask 007)"
        )
    }

    /// The next outcome; nil when there is none yet.
    func next() -> Outcome? {
        while !hasEnded {
            var answer = VsockBroker.Answer()
            var fd: Int32 = -1
            let size = UInt32(MemoryLayout<VsockBroker.Answer>.size)
            let count = clinux_receive_message(socket.raw, &answer, size, &fd, 0)
            if count == -EAGAIN { return nil }
            let connection: SharedFD? = fd >= 0 ? SharedFD(OwnedFD(fd)) : nil
            guard count == Int32(size) else {
                hasEnded = true
                log(
                    "the broker of vsock connections has ended; programs of the guest reach no port of the host any more"
                )
                break
            }
            guard let index = waiting.firstIndex(where: { $0.number == answer.number }) else { continue }
            let asked = waiting.remove(at: index)
            if asked.isCancelled { continue }
            guard let connection else {
                if answer.error == UInt32(EACCES) { tellClosed(asked.wish.ports.host) }
                return .refused(asked.wish.ports)
            }
            return .connected(asked.wish, connection)
        }
        while let asked = waiting.popLast() { if !asked.isCancelled { return .refused(asked.wish.ports) } }
        return nil
    }
}
