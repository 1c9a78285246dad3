import CLinux
import Glibc
import UrsaBase
import UrsaQMP

/// One run of the engine, from its start (or adoption) to its end.
final class EngineRun {
    /// The process.
    let identity: ProcessIdentity
    /// What will be said about its end, filled in as things happen.
    var end: EngineEnd
    /// When it was started or adopted, for the pace of restarts.
    let since = Deadline.now

    private let loop: EventLoop
    private let pidfd: SharedFD
    private let isChild: Bool
    private let folder: String
    private let launch: KeeperLaunch
    private(set) var monitor: Monitor?
    private var reconnects = 0
    private var reconnectTimer: UInt64?
    private var hasEnded = false
    private var onMonitor: (QMPMessage) -> Void = { _ in }

    private init(
        loop: EventLoop, identity: ProcessIdentity, pidfd: SharedFD, isChild: Bool, folder: String, launch: KeeperLaunch
    ) {
        self.loop = loop
        self.identity = identity
        self.pidfd = pidfd
        self.isChild = isChild
        self.folder = folder
        self.launch = launch
        let program = Path.name(launch.program)
        end = EngineEnd(engine: program.hasPrefix("qemu") ? "QEMU" : program)
    }

    /// Starts the engine with its files, taps and sockets.
    ///
    /// The keeper connects to the sockets before the engine exists: the listening descriptors are made here, so no
    /// byte of the console can come before somebody listens.
    /// - Parameter tap: gives the keeper's descriptor for an inherited number.
    static func start(
        _ launch: KeeperLaunch, folder: String, loop: EventLoop, console: ConsoleHub, log: EngineLog,
        tap: (Int32) -> Int32?
    ) throws(UrsaError) -> EngineRun {
        let mark = StrayEngine.mark(folder)
        var program = Program(launch.program, launch.arguments, environment: launch.environment + [mark])
        program.user = launch.user
        program.newSession = true
        program.noNewPrivileges = true
        program.directory = "/"
        var held: [SharedFD] = []
        func hand(_ fd: consuming OwnedFD, as number: Int32) {
            let shared = SharedFD(fd)
            program.descriptors[number] = shared.raw
            held.append(shared)
        }

        for file in launch.files {
            // Nonblocking only while it is opened: a FIFO in the file's place must not hold the keeper.
            let opened = try File.open(file.path, (file.isWritable ? O_RDWR : O_RDONLY) | O_NONBLOCK)
            try opened.setNonBlocking(false)
            hand(opened, as: file.fd)
        }
        for number in launch.inherited {
            guard let fd = tap(number) else {
                throw UrsaError(
                    .io, "the machine's network card was lost with its earlier keeper",
                    remedy: "start the machine again with `ursa start \(launch.name)`")
            }
            program.descriptors[number] = fd
        }
        var monitorSocket: Int32 = -1
        var consoleSocket: Int32 = -1
        defer {
            if monitorSocket >= 0 { close(monitorSocket) }
            if consoleSocket >= 0 { close(consoleSocket) }
        }
        for socket in launch.sockets {
            let path = folder + "/" + socket.name
            hand(try UnixSocket.listen(path), as: socket.fd)
            switch socket.purpose {
            case .monitor: monitorSocket = try UnixSocket.connect(path).release()
            case .console: consoleSocket = try UnixSocket.connect(path).release()
            case .people: break
            }
        }
        let errors = try makePipe()
        program.descriptors[2] = errors.write.raw
        let child = try program.start()
        // A process that has ended already has no start time to read any more; its pidfd still tells the end.
        let identity = ProcessIdentity(running: child.pid) ?? ProcessIdentity(pid: child.pid, startTime: 0)
        let run = EngineRun(
            loop: loop, identity: identity, pidfd: SharedFD(try child.pidfd.duplicate()), isChild: true,
            folder: folder, launch: launch)
        do throws(UrsaError) {
            try log.attach(errors.read)
            if consoleSocket >= 0 {
                let socket = OwnedFD(consoleSocket)
                consoleSocket = -1
                try console.attach(socket)
            }
            let socket = OwnedFD(monitorSocket)
            monitorSocket = -1
            try run.attachMonitor(socket)
        } catch {
            // An engine that nobody watches must not stay.
            child.signal(SIGKILL)
            _ = try? child.wait()
            throw error
        }
        return run
    }

    /// Takes over an engine whose keeper died. The monitor and the console are connected anew.
    ///
    /// - Throws: `.notFound` when the engine does not live any more.
    static func adopt(
        _ identity: ProcessIdentity, _ launch: KeeperLaunch, folder: String, loop: EventLoop, console: ConsoleHub,
        log: EngineLog
    ) throws(UrsaError) -> EngineRun {
        guard let pidfd = identity.open() else {
            throw UrsaError(.notFound, "the engine of \(launch.name) does not run any more")
        }
        let run = EngineRun(
            loop: loop, identity: identity, pidfd: SharedFD(pidfd), isChild: false, folder: folder, launch: launch)
        run.end.hasRun = true
        // Opening a pipe by its descriptor in /proc makes a new reading end, so the engine's words are heard again.
        if let errors = try? File.open("/proc/\(identity.pid)/fd/2", O_RDONLY | O_NONBLOCK) { try? log.attach(errors) }
        for socket in launch.sockets where socket.purpose == .console {
            if let fd = try? UnixSocket.connect(folder + "/" + socket.name) { try console.attach(fd) }
        }
        return run
    }

    /// Begins to tell about the run: the engine's messages and its end.
    func watch(messages: @escaping (QMPMessage) -> Void, ended: @escaping () -> Void) throws(UrsaError) {
        onMonitor = messages
        try loop.add(pidfd.raw, .read) { [weak self] _ in
            guard let self, !self.hasEnded else { return }
            self.hasEnded = true
            self.loop.remove(self.pidfd.raw)
            if let timer = self.reconnectTimer { self.loop.cancel(timer) }
            // What it said before it died comes first: the SHUTDOWN event says why.
            self.monitor?.close()
            self.monitor = nil
            self.reap()
            ended()
        }
        if monitor == nil { reconnect() }
    }

    /// A descriptor of the engine's, copied into this process (pidfd_getfd(2)); needs ptrace rights over the engine.
    func copyDescriptor(_ number: Int32) -> SharedFD? {
        let fd = clinux_pidfd_getfd(pidfd.raw, number)
        return fd >= 0 ? SharedFD(OwnedFD(fd)) : nil
    }

    /// Sends a signal to exactly this engine.
    func signal(_ number: Int32) { _ = clinux_pidfd_send_signal(pidfd.raw, number) }

    /// Runs a command on the monitor; fails at once while there is none.
    func command(
        _ name: String, _ arguments: JSON? = nil, seconds: Double = 5,
        completion: @escaping Monitor.Completion = { _ in }
    ) {
        guard let monitor else {
            completion(.failure(UrsaError(.io, "the engine's monitor is not connected")))
            return
        }
        monitor.command(name, arguments, seconds: seconds, completion: completion)
    }

    private func attachMonitor(_ socket: consuming OwnedFD) throws(UrsaError) {
        monitor = try Monitor(loop: loop, socket: socket, seconds: launch.startTimeout) { [weak self] message in
            guard let self else { return }
            if case .lost = message {
                self.monitor = nil
                if !self.hasEnded { self.reconnectLater() }
            }
            if case .ready = message { self.reconnects = 0 }
            self.onMonitor(message)
        }
    }

    /// The engine lives but its monitor does not: try again, ever more rarely.
    private func reconnectLater() {
        reconnects += 1
        let delay = min(30, 0.25 * Double(1 << min(reconnects, 8)))
        reconnectTimer = loop.after(seconds: delay) { [weak self] in self?.reconnect() }
    }

    private func reconnect() {
        guard !hasEnded, monitor == nil, let name = launch.sockets.first(where: { $0.purpose == .monitor })?.name else {
            return
        }
        do throws(UrsaError) { try attachMonitor(try UnixSocket.connect(folder + "/" + name)) } catch {
            reconnectLater()
        }
    }

    private func reap() {
        guard isChild else { return }
        var code: Int32 = 0
        var status: Int32 = 0
        guard clinux_wait(pidfd.raw, 1, &code, &status) == 0 else { return }
        end.exit = code == CLD_EXITED ? .exited(status) : .signalled(status)
    }
}
