import Glibc
import Testing
import UrsaBase
import UrsaQMP

@testable import UrsaVMM

/// A machine that only remembers what it was told.
final class ListeningMachine: MonitoredMachine {
    let events: MonitorEvents
    private let loop: EventLoop
    let name = "web"
    let uuid = "01234567-89ab-4def-8123-456789abcdef"
    let memory: UInt64 = 512 << 20
    var state = MachineState.running
    let processors = [MonitoredProcessor(index: 0, thread: 41), MonitoredProcessor(index: 1, thread: 42)]
    let disks = [MonitoredDisk(format: "qcow2", size: 2 << 30, backingLayers: 1, isReadOnly: false)]
    var balloon: UInt64? = 512 << 20
    private(set) var told: [String] = []

    init(_ events: MonitorEvents, _ loop: EventLoop) {
        self.events = events
        self.loop = loop
    }

    func stop() {
        guard state == .running else { return }
        state = .paused
        events.send(.stop())
    }
    func resume() throws(UrsaError) {
        guard state != .shutdown else { throw UrsaError(.conflict, "the machine has ended") }
        guard state != .running else { return }
        state = .running
        events.send(.resume())
    }
    func pressPowerButton() {
        told.append("power button")
        events.send(.powerdown())
    }
    func reset() { events.send(.reset(.hostReset)) }
    func quit() {
        told.append("quit")
        events.send(.shutdown(.hostQuit))
        loop.after(seconds: 0) { [loop] in loop.stop() }
    }
    func setBalloon(_ bytes: UInt64) {
        balloon = bytes
        events.send(.balloon(actual: bytes))
    }
}

/// A monitor on sockets in a folder of its own, served by a thread until `end` or a `quit`.
final class MonitorBench {
    let folder: String
    /// What a person's tools connect to, and a second monitor.
    var path: String { folder + "/monitor0" }
    var second: String { folder + "/monitor1" }
    let events: MonitorEvents
    private let thread: OSThread
    private let ended: Locked<Bool>
    private let stopper: SharedFD
    /// Held, so that a server that has ended by itself breaks no pipe.
    private let stop: SharedFD

    init() throws {
        var name = Array("/tmp/ursa-monitor-XXXXXX".utf8CString)
        guard mkdtemp(&name) != nil else { throw UrsaError.system(.current, "make a folder") }
        let folder = String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        self.folder = folder
        let events = try MonitorEvents()
        self.events = events
        let listeners = [
            SharedFD(try UnixSocket.listen(folder + "/monitor0")),
            SharedFD(try UnixSocket.listen(folder + "/monitor1")),
        ]
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw UrsaError.system(.current, "make a pipe") }
        stopper = SharedFD(OwnedFD(ends[1]))
        let stop = SharedFD(OwnedFD(ends[0]))
        self.stop = stop
        let ended = Locked(false)
        self.ended = ended
        thread = try OSThread {
            do {
                let loop = try EventLoop()
                let machine = ListeningMachine(events, loop)
                let server = try MonitorServer(
                    loop: loop, listeners: listeners.map(\.raw), machine: machine, events: events)
                try loop.add(stop.raw, .read) { _ in loop.stop() }
                try loop.run()
                server.finish(seconds: 1)
            } catch { Issue.record(error) }
            ended.withLock { $0 = true }
        }
    }

    var hasEnded: Bool { ended.withLock { $0 } }

    /// Ends the server and waits for it.
    func end() {
        _ = write(stopper.raw, "x", 1)
        thread.join()
        try? File.removeTree(folder)
    }

    /// Says `text` on a connection of its own and returns the lines that come back within `seconds` after the greeting.
    func say(_ text: String, lines wanted: Int, seconds: Double = 5) throws -> [JSON] {
        let socket = try UnixSocket.connect(path)
        // It may hang up in the middle of what it does not like.
        try? sendAll(socket.raw, Array(text.utf8), to: "the monitor", until: .after(seconds: seconds))
        var buffer = LineBuffer(limit: 1 << 20)
        var lines: [JSON] = []
        let deadline = Deadline.after(seconds: seconds)
        var bytes = [UInt8](repeating: 0, count: 65536)
        while lines.count < wanted + 1, !deadline.isPast {
            var waiting = pollfd(fd: socket.raw, events: Int16(POLLIN), revents: 0)
            guard poll(&waiting, 1, deadline.millisecondsLeft) > 0 else { break }
            guard case .bytes(let count) = receiveSome(socket.raw, into: &bytes) else { break }
            buffer.append(bytes[..<count])
            while let line = try buffer.next() { lines.append(try JSON.parse(line)) }
        }
        return Array(lines.dropFirst())
    }
}
