import Glibc
import UrsaBase

/// The machine's serial console: one engine on one side, a log and any number of viewers on the other.
///
/// A viewer is a position in the log. So a slow one costs no memory and holds up nobody; when the log has moved on past
/// its position it is told how much it missed.
final class ConsoleHub {
    /// Most viewers at a time.
    static let viewerLimit = 32
    /// Most bytes typed by viewers that wait for the guest to take them.
    static let inputLimit = 65536
    /// Seconds after which a viewer that takes nothing is dropped.
    static let patience = 30.0

    private final class Viewer {
        let fd: SharedFD
        let isWriter: Bool
        var position: UInt64
        var notice: ArraySlice<UInt8> = []
        var lastProgress = Deadline.now
        var isReading = true
        var interest: EventLoop.Interest = .read
        init(fd: SharedFD, isWriter: Bool, position: UInt64) {
            self.fd = fd
            self.isWriter = isWriter
            self.position = position
        }
    }

    private let loop: EventLoop
    let log: ScrollbackLog
    private var engine: SharedFD?
    private var input: ArraySlice<UInt8> = []
    private var viewers: [Int32: Viewer] = [:]
    private var lastReceived = Deadline.now
    /// Whether the engine's bytes are left to gather for a moment.
    private var isResting = false
    private var buffer = [UInt8](repeating: 0, count: 16384)

    init(loop: EventLoop, log: ScrollbackLog) {
        self.loop = loop
        self.log = log
    }

    var viewerCount: Int { viewers.count }

    // MARK: - Engine

    /// Takes the connection to the engine's serial port.
    func attach(_ socket: consuming OwnedFD) throws(UrsaError) {
        detach()
        try socket.setNonBlocking()
        let shared = SharedFD(socket)
        engine = shared
        isResting = false
        try loop.add(shared.raw, .read) { [weak self] interest in
            if interest.contains(.write) { self?.sendInput() }
            self?.receive(rounds: 4)
        }
    }

    /// Takes what the engine has sent so far, then forgets the connection.
    func detach() {
        guard let engine else { return }
        receive(rounds: 256)
        loop.remove(engine.raw)
        self.engine = nil
        input = []
    }

    /// Writes a line of the keeper's own into the console.
    func note(_ text: String) {
        log.append(Array("\r\n[ursa: \(text)]\r\n".utf8)[...])
        for viewer in viewers.values { pump(viewer) }
    }

    private func receive(rounds: Int) {
        var total = 0
        for _ in 0..<rounds {
            guard let engine else { return }
            switch receiveSome(engine.raw, into: &buffer) {
            case .bytes(let count):
                log.append(buffer[..<count])
                total += count
            case .later:
                slowDown(total)
                return serveViewers()
            case .ended:
                loop.remove(engine.raw)
                self.engine = nil
                input = []
                return serveViewers()
            }
        }
        serveViewers()
    }

    /// A guest that prints without pause comes in single bytes; taking them a millisecond later, many at a time, costs a
    /// hundredth of the processor time. The first bytes after a pause are never delayed.
    private func slowDown(_ count: Int) {
        let now = Deadline.now
        defer { lastReceived = now }
        guard let engine, !isResting, count > 0, count < 4096, now.seconds(since: lastReceived) < 0.003 else { return }
        isResting = true
        watchEngine()
        loop.after(seconds: 0.001) { [weak self, weak engine] in
            guard let self, let engine, self.engine === engine else { return }
            self.isResting = false
            self.watchEngine()
            self.receive(rounds: 4)
        }
    }

    private func watchEngine() {
        guard let engine else { return }
        var interest: EventLoop.Interest = []
        if !isResting { interest.insert(.read) }
        if !input.isEmpty { interest.insert(.write) }
        loop.change(engine.raw, interest)
    }

    private func sendInput() {
        let wasFull = isInputFull
        while let engine, !input.isEmpty {
            guard case .bytes(let count) = sendSome(engine.raw, input) else { break }
            input = input.dropFirst(count)
        }
        watchEngine()
        if wasFull, !isInputFull { for viewer in viewers.values { watch(viewer) } }
    }

    private var isInputFull: Bool { input.count >= ConsoleHub.inputLimit }

    // MARK: - Viewers

    /// Takes over a connection; `early` was typed before.
    func addViewer(_ fd: SharedFD, isWriter: Bool, replay: Bool, early: [UInt8]) throws(UrsaError) {
        guard viewers.count < ConsoleHub.viewerLimit else {
            throw UrsaError(.conflict, "\(ConsoleHub.viewerLimit) viewers watch this console already")
        }
        let viewer = Viewer(fd: fd, isWriter: isWriter, position: replay ? log.start : log.end)
        try loop.add(fd.raw, .read) { [weak self, weak viewer] interest in
            guard let self, let viewer else { return }
            if interest.contains(.read) { self.receive(from: viewer) }
            if interest.contains(.write) { self.pump(viewer) }
            if !interest.isDisjoint(with: .hangUp), !viewer.interest.contains(.read) { self.drop(viewer) }
        }
        viewers[fd.raw] = viewer
        if isWriter { type(early[...]) }
        pump(viewer)
    }

    /// Gives every viewer what it takes at once, then closes all.
    func finish() {
        for viewer in viewers.values { pump(viewer) }
        for viewer in viewers.values { drop(viewer) }
    }

    /// Whether some viewer has not got everything yet.
    var isBehind: Bool { viewers.values.contains { $0.position < log.end || !$0.notice.isEmpty } }

    private func drop(_ viewer: Viewer) {
        loop.remove(viewer.fd.raw)
        viewers[viewer.fd.raw] = nil
    }

    /// Drops a viewer that takes nothing any more, but not what it typed before it went (`echo reboot | ursa console`).
    private func bury(_ viewer: Viewer) {
        for _ in 0..<16 where viewer.isWriter && viewer.isReading {
            guard case .bytes(let count) = receiveSome(viewer.fd.raw, into: &buffer) else { break }
            type(buffer[..<count])
        }
        drop(viewer)
    }

    private func serveViewers() {
        for viewer in viewers.values {
            pump(viewer)
            if viewer.position < log.end, Deadline.now.seconds(since: viewer.lastProgress) > ConsoleHub.patience {
                drop(viewer)
            }
        }
    }

    private func receive(from viewer: Viewer) {
        switch receiveSome(viewer.fd.raw, into: &buffer) {
        case .bytes(let count): if viewer.isWriter { type(buffer[..<count]) }
        case .later: break
        case .ended:
            // It may have closed only its sending half (a pipe into `ursa console`) and still want to see.
            viewer.isReading = false
            watch(viewer)
        }
    }

    private func type(_ bytes: ArraySlice<UInt8>) {
        guard engine != nil else { return }
        input = Array(input + bytes)[...]
        sendInput()
        if isInputFull { for viewer in viewers.values { watch(viewer) } }
    }

    /// Waits for what the viewer needs next: room to write when it is behind, its typing while the guest takes it.
    private func watch(_ viewer: Viewer) {
        guard viewers[viewer.fd.raw] === viewer else { return }
        var interest: EventLoop.Interest = []
        if viewer.isReading, !(viewer.isWriter && isInputFull) { interest.insert(.read) }
        if viewer.position < log.end || !viewer.notice.isEmpty { interest.insert(.write) }
        if interest != viewer.interest { loop.change(viewer.fd.raw, interest) }
        viewer.interest = interest
    }

    /// Sends the viewer what it has not seen, as much as it takes, at most 256 KiB at a time.
    private func pump(_ viewer: Viewer) {
        var budget = 262_144
        while budget > 0 {
            if viewer.notice.isEmpty {
                guard let (position, bytes) = log.read(at: viewer.position) else { break }
                if position > viewer.position {
                    let missed = position - viewer.position
                    viewer.notice = Array("\r\n[ursa: \(missed) bytes left out, this viewer is slow]\r\n".utf8)[...]
                    viewer.position = position
                    continue
                }
                switch sendSome(viewer.fd.raw, bytes) {
                case .bytes(let count):
                    viewer.position += UInt64(count)
                    viewer.lastProgress = .now
                    budget -= count
                case .later: return watch(viewer)
                case .ended: return bury(viewer)
                }
            } else {
                switch sendSome(viewer.fd.raw, viewer.notice) {
                case .bytes(let count): viewer.notice = viewer.notice.dropFirst(count)
                case .later: return watch(viewer)
                case .ended: return bury(viewer)
                }
            }
        }
        if viewer.position >= log.end { viewer.lastProgress = .now }
        watch(viewer)
    }
}
