import Glibc
import UrsaBase

/// Asks again and again whether an uplink works, and tells when the answer has changed.
final class UplinkCheck {
    let uplink: WatchOrders.Uplink
    private let check: WatchOrders.Check
    private let loop: EventLoop
    private let tell: (UplinkHealth) -> Void
    private var socket: EchoSocket?
    private let id = UInt16.random(in: 1...UInt16.max)
    private var sequence: UInt16 = 0
    private var isWaiting = false
    /// Answers, or lost ones, in a row.
    private var answered = 0
    private var lost = 0
    private(set) var isHealthy: Bool
    private var timer: UInt64?

    /// Begins to ask. `isHealthy` is what was known before.
    init?(
        _ uplink: WatchOrders.Uplink, _ loop: EventLoop, isHealthy: Bool, _ tell: @escaping (UplinkHealth) -> Void
    ) {
        guard let check = uplink.check else { return nil }
        self.uplink = uplink
        self.check = check
        self.loop = loop
        self.isHealthy = isHealthy
        self.tell = tell
        ask()
    }

    /// Ends the asking; needed before the last reference goes.
    func end() {
        if let timer { loop.cancel(timer) }
        closeSocket()
    }

    private func closeSocket() {
        guard let descriptor = socket?.descriptor else { return }
        loop.remove(descriptor)
        socket = nil
    }

    private func ask() {
        if isWaiting { count(wasAnswered: false) }
        // One that lost its interface, or was bound to an earlier one of that name, never works again.
        if lost > 0 { closeSocket() }
        if socket == nil { openSocket() }
        sequence &+= 1
        isWaiting = true
        _ = socket?.ask(sequence)
        timer = loop.after(seconds: Double(check.interval)) { [weak self] in self?.ask() }
    }

    private func openSocket() {
        guard let new = try? EchoSocket(check.target, interface: uplink.interface, mark: uplink.mark, id: id) else {
            return
        }
        let descriptor = new.descriptor
        socket = consume new
        if (try? loop.add(descriptor, .read, { [weak self] _ in self?.listen() })) == nil { socket = nil }
    }

    private func listen() {
        guard let answers = socket?.answers() else { return }
        guard isWaiting, answers.contains(sequence) else { return }
        isWaiting = false
        count(wasAnswered: true)
    }

    private func count(wasAnswered: Bool) {
        answered = wasAnswered ? answered + 1 : 0
        lost = wasAnswered ? 0 : lost + 1
        let words: String
        if isHealthy, lost >= check.threshold {
            words = "\(check.target) has not answered \(lost) times over \(uplink.interface)"
        } else if !isHealthy, answered >= check.threshold {
            words = "\(check.target) answers again over \(uplink.interface)"
        } else {
            return
        }
        isHealthy = wasAnswered
        tell(UplinkHealth(isHealthy: isHealthy, since: wallClock(), words: words))
    }
}
