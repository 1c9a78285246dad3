import Glibc
public import UrsaBase

/// The machine's monitors: QMP on listening unix sockets, several clients each, all served by one event loop.
///
/// The same client drives this engine and QEMU (see `UrsaQMP`), and people's own QMP tools can talk to it.
public final class MonitorServer {
    /// Most clients of one socket; further ones wait until one of them goes. Sockets don't share the number, so strangers
    /// on the one for people never keep the keeper out.
    public static let clientLimit = 8

    private final class Door {
        let listener: Int32
        var clients: [MonitorConnection] = []
        var isOpen = true
        init(_ listener: Int32) { self.listener = listener }
    }

    private let loop: EventLoop
    private let events: MonitorEvents
    private var doors: [Door] = []
    private var timer: UInt64?
    unowned let machine: any MonitoredMachine

    /// Serves a machine.
    ///
    /// - Parameters:
    ///   - loop: serves the sockets; the machine is called on its thread.
    ///   - listeners: listening stream sockets, which stay the caller's.
    ///   - events: what the machine tells.
    public init(
        loop: EventLoop, listeners: [Int32], machine: any MonitoredMachine, events: MonitorEvents
    ) throws(UrsaError) {
        self.loop = loop
        self.machine = machine
        self.events = events
        for listener in listeners {
            guard fcntl(listener, F_SETFL, fcntl(listener, F_GETFL) | O_NONBLOCK) >= 0 else {
                throw UrsaError.system(.current, "listen on descriptor \(listener) for the monitor")
            }
            let door = Door(listener)
            doors.append(door)
            try loop.add(listener, .read) { [weak self, unowned door] _ in self?.accept(door) }
        }
        try loop.add(events.signal.raw, .read) { [weak self] _ in self?.deliver() }
    }

    /// Tells what the machine has told so far to every client.
    func deliver() { deliver(all: false) }

    private func deliver(all: Bool) {
        let (ready, later) = events.take(all: all)
        for event in ready {
            let line = event.json.line
            for door in doors { for client in door.clients { client.tell(line) } }
        }
        guard let later, timer == nil else { return }
        timer = loop.after(seconds: later) { [weak self] in
            self?.timer = nil
            self?.deliver()
        }
    }

    /// Tells the last events and waits at most `seconds` until the clients have taken them, before the process ends.
    public func finish(seconds: Double) {
        deliver(all: true)
        let deadline = Deadline.after(seconds: seconds)
        while doors.contains(where: { $0.clients.contains { $0.pending > 0 } }), !deadline.isPast {
            pause(milliseconds: 1)
            for door in doors { for client in door.clients { client.flush() } }
        }
    }

    func forget(_ client: MonitorConnection) {
        for door in doors {
            guard let index = door.clients.firstIndex(where: { $0 === client }) else { continue }
            door.clients.remove(at: index)
            if !door.isOpen {
                door.isOpen = true
                loop.change(door.listener, .read)
            }
        }
    }

    private func accept(_ door: Door) {
        while true {
            guard door.clients.count < MonitorServer.clientLimit else {
                door.isOpen = false
                loop.change(door.listener, [])
                return
            }
            let raw = Glibc.accept(door.listener, nil, nil)
            guard raw >= 0 else { return }
            _ = fcntl(raw, F_SETFD, FD_CLOEXEC)
            if let client = try? MonitorConnection(loop: loop, fd: OwnedFD(raw), server: self) {
                door.clients.append(client)
            }
        }
    }
}
