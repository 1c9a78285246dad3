import CLinux
import Glibc
import UrsaBase
import UrsaQMP

/// The keeper's whole life: runs the engine, answers on the socket, records the end. One thread, one event loop.
final class KeeperServer {
    /// Most clients at a time; when there are more, the one that idles longest is dropped.
    static let clientLimit = 128

    let folder: String
    let launch: KeeperLaunch
    let loop: EventLoop
    let console: ConsoleHub
    let engineLog: EngineLog
    let events: EventWriter
    private var lastReset: Deadline?
    var status: MachineStatus
    var run: EngineRun?
    var stop = StopProgress()
    /// Restarts since the machine last ran steadily.
    var inARow = 0
    var restartTimer: UInt64?

    private let lock: FileLock
    private var listener: SharedFD?
    private var clients: [Int32: ControlConnection] = [:]
    /// Clients that want to hear of the end: those of `wait`, `stop` and `kill`.
    private var waiters: [ControlConnection] = []
    private let report: StartReport
    private var taps: [Int32: SharedFD] = [:]
    private var signals: SharedFD?
    private var isFinished = false
    private var memoryTimer: UInt64?

    /// A keeper for the machine in `folder`.
    ///
    /// - Parameters:
    ///   - lock: says that no other keeper lives; held until the end.
    ///   - isAdopting: whether it takes over a living engine.
    ///   - report: where the outcome of the start is told.
    init(
        folder: String, lock: consuming FileLock, isAdopting: Bool, report: StartReport
    ) throws(UrsaError) {
        self.folder = folder
        self.report = report
        self.lock = lock
        launch = try KeeperLaunch.read(folder: folder)
        loop = try EventLoop()
        let log = ScrollbackLog(folder + "/" + MachineFiles.console, limit: launch.logLimit, keep: isAdopting)
        console = ConsoleHub(loop: loop, log: log)
        engineLog = EngineLog(
            loop: loop, path: folder + "/" + MachineFiles.engineLog, limit: launch.logLimit, keep: isAdopting)
        events = EventWriter(path: launch.eventsPath, machine: launch.machine, name: launch.name)
        status = MachineStatus(machine: launch.machine, name: launch.name)
        status.keeper = .current
    }

    // MARK: - Life

    /// Starts the engine and serves until the machine has ended for good.
    func serve() throws(UrsaError) {
        for number in launch.inherited {
            guard fcntl(number, F_GETFD) >= 0 else {
                throw UrsaError(.bug, "descriptor \(number) was not handed to the keeper")
            }
            _ = fcntl(number, F_SETFD, FD_CLOEXEC)
            taps[number] = SharedFD(OwnedFD(number))
        }
        try listen()
        startEngine()
        try loop.run()
    }

    /// Takes over the engine that `status.json` names and serves until the machine has ended for good.
    func adopt() throws(UrsaError) {
        guard let recorded = try MachineStatus.read(folder: folder), recorded.isAlive, let engine = recorded.engine
        else {
            throw UrsaError(.notFound, "the machine \(launch.name) does not run", place: folder)
        }
        status = recorded
        status.keeper = .current
        status.trouble = nil
        try listen()
        let run = try EngineRun.adopt(
            engine, launch, folder: folder, loop: loop, console: console, log: engineLog)
        self.run = run
        for number in launch.inherited { taps[number] = run.copyDescriptor(number) }
        console.note("a new keeper took over; output in between is lost")
        engineLog.note("took over process \(engine.pid)")
        events.write("adopted")
        try watch(run)
        record()
        report.give(.success(status.json))
        giveBackMemory()
        try loop.run()
    }

    private func listen() throws(UrsaError) {
        _ = clinux_ignore_sigpipe()
        let signals = SharedFD(
            OwnedFD(try check(clinux_signalfd([SIGTERM, SIGINT, SIGHUP], 3), "watch for signals")))
        self.signals = signals
        try loop.add(signals.raw, .read) { [weak self] _ in self?.takeSignals() }
        let listener = SharedFD(try UnixSocket.listen(folder + "/" + MachineFiles.keeperSocket, backlog: 128))
        guard fcntl(listener.raw, F_SETFL, O_NONBLOCK) >= 0 else { throw UrsaError.system(.current, "listen") }
        self.listener = listener
        try loop.add(listener.raw, .read) { [weak self] _ in self?.accept() }
    }

    /// A request to end the keeper is one to stop the machine: the host goes down.
    private func takeSignals() {
        var buffer = [UInt8](repeating: 0, count: 128 * 4)
        guard let signals, case .bytes(let count) = receiveSome(signals.raw, into: &buffer) else { return }
        // struct signalfd_siginfo (signalfd(2)): 128 bytes, the signal's number first.
        for offset in stride(from: 0, to: count, by: 128) where Int32(buffer[offset]) == SIGTERM {
            askToStop(seconds: launch.stopTimeout)
        }
    }

    // MARK: - Engine

    func startEngine() {
        restartTimer = nil
        status.state = .starting
        status.started = wallClock()
        status.ended = nil
        status.exit = nil
        do throws(UrsaError) {
            let run = try EngineRun.start(
                launch, folder: folder, loop: loop, console: console, log: engineLog, tap: { self.taps[$0]?.raw })
            self.run = run
            status.engine = run.identity
            try watch(run)
            record()
            let limit = launch.startTimeout
            loop.after(seconds: limit) { [weak self, weak run] in
                guard let self, let run, self.run === run, !run.end.hasRun else { return }
                run.end.silence = Int(limit.rounded(.up))
                run.signal(SIGKILL)
            }
        } catch {
            engineLog.note(error.description)
            status.reason = "can't start the engine: \(error.message)"
            status.failed = true
            hasEnded(isFailure: true, error: error)
        }
    }

    /// Gives memory back when the present work is done.
    private func giveBackMemory() {
        guard memoryTimer == nil else { return }
        memoryTimer = loop.after(seconds: 1) { [weak self] in
            self?.memoryTimer = nil
            _ = clinux_give_back_memory()
        }
    }

    private func watch(_ run: EngineRun) throws(UrsaError) {
        try run.watch(
            messages: { [weak self, weak run] message in
                guard let self, let run, self.run === run else { return }
                self.take(message, run)
            },
            ended: { [weak self, weak run] in
                guard let self, let run, self.run === run else { return }
                self.engineEnded(run)
            })
    }

    private func take(_ message: QMPMessage, _ run: EngineRun) {
        switch message {
        case .ready:
            if status.trouble != nil {
                status.trouble = nil
                record()
            }
            run.command("query-status") { [weak self, weak run] result in
                guard let self, let run, self.run === run, case .success(let value) = result else { return }
                self.isUp(run, value["status"]?.string ?? "unknown")
            }
        case .event(let event): take(event, run)
        case .lost(let error):
            engineLog.note(error.message)
            status.trouble = error.message
            record()
        case .reply: break
        }
    }

    private func isUp(_ run: EngineRun, _ word: String) {
        let isFirst = !run.end.hasRun
        run.end.hasRun = true
        if status.state != .stopping { status.state = word == "running" ? .running : .paused }
        record()
        guard isFirst else { return }
        let count = status.restarts > 0 ? ", restart \(status.restarts)" : ""
        events.write("started", "pid \(run.identity.pid)\(count)")
        report.give(.success(status.json))
        if stop.isAsked { pressPowerButton() }
        // The start is over; from here on the keeper mostly sleeps and should be small.
        giveBackMemory()
    }

    private func take(_ event: QMPEvent, _ run: EngineRun) {
        let reason = event.data["reason"]?.string
        switch event.name {
        case "SHUTDOWN":
            run.end.shutdownCause = reason ?? "unknown"
            if reason == "guest-panic" { run.end.isPanicked = true }
        case "GUEST_PANICKED", "GUEST_CRASHLOADED":
            run.end.isPanicked = true
            events.write("panicked", "the guest's kernel gave up")
        case "RESET":
            // QEMU tells of one reboot several times: the guest tries several ways until one works.
            if let last = lastReset, Deadline.now.seconds(since: last) < 1 { break }
            lastReset = .now
            events.write("reset", reason == "guest-reset" ? "the guest rebooted" : reason ?? "for an unknown reason")
        case "STOP" where status.state == .running, "RESUME" where status.state == .paused:
            status.state = event.name == "STOP" ? .paused : .running
            record()
            events.write(event.name == "STOP" ? "paused" : "resumed")
        case "BLOCK_IO_ERROR":
            let operation = event.data["operation"]?.string ?? "an access"
            events.write(
                "disk-error", "\(operation) failed: \((event.data["reason"]?.string ?? "unknown").prefix(200))")
        default: break
        }
    }

    private func engineEnded(_ run: EngineRun) {
        self.run = nil
        console.detach()
        engineLog.detach()
        run.end.lastWords = engineLog.lastWords
        if stop.isAsked { run.end.request = stop.request }
        status.exit = run.end.exit
        status.reason = run.end.reason
        status.failed = run.end.isFailure
        if Deadline.now.seconds(since: run.since) >= launch.pace.steady { inARow = 0 }
        let error = run.end.hasRun ? nil : UrsaError(.io, run.end.reason, place: launch.name)
        hasEnded(isFailure: run.end.isFailure, error: error)
    }

    // MARK: - End

    private func hasEnded(isFailure: Bool, error: UrsaError?) {
        status.ended = wallClock()
        let reason = status.reason ?? "unknown"
        events.write("ended", reason)
        engineLog.note("ended: \(reason)")
        console.note(reason)
        // Whoever waits for the first start hears of its failure; a machine that never ran is not tried again.
        if !report.isGiven, let error {
            finish(error)
            return
        }
        guard mayRestart(isFailure: isFailure) else {
            finish(nil)
            return
        }
        inARow += 1
        status.restarts += 1
        status.state = .restarting
        record()
        let delay = launch.pace.delay(inARow)
        let tenths = Int(min(max(delay, 0), 1e6) * 10)
        events.write("restarting", "in \(tenths / 10).\(tenths % 10) s, restart \(status.restarts)")
        restartTimer = loop.after(seconds: delay) { [weak self] in self?.startEngine() }
    }

    private func mayRestart(isFailure: Bool) -> Bool {
        if stop.isAsked { return false }
        switch launch.restart {
        case .never: return false
        case .always: return true
        case .onFailure(let limit):
            guard isFailure else { return false }
            guard let limit, inARow >= limit else { return true }
            status.reason = "\(status.reason ?? "failed"); not started again after \(limit) restarts in a row"
            return false
        }
    }

    /// The machine has ended for good: record it, tell everybody, leave.
    func finish(_ error: UrsaError?) {
        guard !isFinished else { return }
        isFinished = true
        status.state = .ended
        record()
        if let listener {
            loop.remove(listener.raw)
            self.listener = nil
        }
        for name in launch.sockets.map(\.name) + [MachineFiles.keeperSocket] { try? File.remove(folder + "/" + name) }
        report.give(error.map { .failure($0) } ?? .success(status.json))
        if let program = launch.settle.first {
            do throws(UrsaError) {
                var settle = Program(program, Array(launch.settle.dropFirst()))
                settle.newSession = true
                settle.directory = "/"
                _ = try settle.start()
            } catch {
                engineLog.note(error.description)
            }
        }
        for waiter in waiters { waiter.finish(.success(status.json)) }
        waiters = []
        for client in clients.values { client.closeWhenSent() }
        leave(until: .after(seconds: 2))
    }

    /// Gives slow viewers and clients a moment to take the last bytes.
    private func leave(until deadline: Deadline) {
        if (console.isBehind || !clients.isEmpty), !deadline.isPast {
            loop.after(seconds: 0.01) { [weak self] in self?.leave(until: deadline) }
            return
        }
        console.finish()
        loop.stop()
    }

    /// Writes `status.json`; a disk that does not take it is noted for those who ask on the socket.
    func record() {
        do throws(UrsaError) {
            try File.replace(
                folder + "/" + MachineFiles.status, Array((status.json.pretty + "\n").utf8), durable: false)
        } catch {
            status.trouble = error.message
        }
    }

    // MARK: - Clients

    private func accept() {
        for _ in 0..<16 {
            guard let listener else { return }
            let raw = Glibc.accept(listener.raw, nil, nil)
            guard raw >= 0 else { return }
            _ = fcntl(raw, F_SETFD, FD_CLOEXEC)
            let fd = OwnedFD(raw)
            var uid: UInt32 = UInt32.max
            // The engine's user must not command its keeper: only root and the keeper's own user may.
            guard clinux_peer_uid(raw, &uid) == 0, uid == 0 || uid == geteuid() else { continue }
            if clients.count >= KeeperServer.clientLimit {
                let idle = clients.values.filter { !$0.isBusy }.min { $0.since < $1.since }
                guard let idle else { continue }
                idle.close()
            }
            do throws(UrsaError) {
                let client = try ControlConnection(loop: loop, fd: fd) { [weak self] in self?.take($1, from: $0) }
                client.onClose = { [weak self, weak client] in
                    self?.clients[raw] = nil
                    self?.waiters.removeAll { $0 === client }
                }
                clients[raw] = client
            } catch {
                engineLog.note(error.description)
            }
        }
    }

    private func take(_ request: JSON, from client: ControlConnection) {
        switch request["command"]?.string {
        case "status": client.finish(.success(status.json))
        case "wait": waiters.append(client)
        case "stop":
            let seconds = request["seconds"]?.integer ?? Int64(launch.stopTimeout)
            guard (0...3600).contains(seconds) else {
                return client.finish(.failure(UrsaError(.usage, "the seconds to stop in must be 0…3600")))
            }
            waiters.append(client)
            client.progress(seconds > 0 ? "pressing the power button" : "ending \(launch.name)")
            askToStop(seconds: Int(seconds))
        case "kill":
            waiters.append(client)
            kill()
        case "pause": proxy("stop", nil, 5, client)
        case "resume": proxy("cont", nil, 5, client)
        case "qmp":
            guard let name = request["execute"]?.string else {
                return client.finish(.failure(UrsaError(.usage, "the QMP command to execute is missing")))
            }
            let seconds = request["seconds"]?.decimal ?? 5
            proxy(name, request["arguments"], max(0.1, min(seconds, 600)), client)
        case "console": openConsole(request, client)
        default: client.finish(.failure(UrsaError(.usage, "the keeper does not know this command")))
        }
    }

    private func proxy(_ name: String, _ arguments: JSON?, _ seconds: Double, _ client: ControlConnection) {
        guard let run else {
            return client.finish(.failure(UrsaError(.conflict, "the machine \(launch.name) is not running now")))
        }
        run.command(name, arguments, seconds: seconds) { [weak self] result in
            client.finish(result)
            // Some answers are as long as the schema (200 KB) and leave a heap of megabytes behind.
            self?.giveBackMemory()
        }
    }

    private func openConsole(_ request: JSON, _ client: ControlConnection) {
        guard console.viewerCount < ConsoleHub.viewerLimit else {
            return client.finish(
                .failure(UrsaError(.conflict, "\(ConsoleHub.viewerLimit) viewers watch this console already")))
        }
        let early = client.release(answer: ["ok": [:]])
        try? console.addViewer(
            client.fd, isWriter: request["mode"]?.string != "ro", replay: request["replay"]?.bool ?? true, early: early)
    }

    /// Tells all who wait for the end how it goes.
    func progress(_ words: String) { for waiter in waiters { waiter.progress(words) } }
}
