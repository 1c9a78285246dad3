import Glibc
public import UrsaBase

/// Starts keepers.
public enum Keeper {
    /// Starts a machine: writes `launch.json` and a keeper that starts the engine. Returns as soon as the engine runs.
    ///
    /// The keeper leaves the caller's session and is no child of it.
    /// - Parameters:
    ///   - launch: what to run.
    ///   - folder: the machine's folder, an absolute path; it must exist.
    ///   - taps: the engine's descriptor number to the caller's descriptor, for each of `launch.inherited`.
    ///   - keeperProgram: path of `ursa-keeper`.
    ///   - seconds: time for the engine to run.
    /// - Throws: `.conflict` when the machine runs already, `.invalidSpec` for a wrong launch, `.timeout`, else what the
    ///   engine said.
    public static func start(
        _ launch: KeeperLaunch, folder: String, taps: [Int32: Int32] = [:], keeperProgram: String, seconds: Double = 60
    ) throws(UrsaError) -> MachineStatus {
        try launch.validate()
        guard Set(taps.keys) == Set(launch.inherited) else {
            throw UrsaError(.bug, "the taps handed over are not those of the launch", place: folder)
        }
        let lock = try lock(folder)
        if let status = try? MachineStatus.read(folder: folder), status.isAlive {
            throw UrsaError(
                .conflict, "\(launch.name) is running already, without its keeper", place: folder,
                remedy: "run `ursa ps`, which gives it a new one")
        }
        for socket in launch.sockets where socket.purpose == .monitor {
            try StrayEngine.end(folder: folder, socket: socket.name)
        }
        try File.replace(folder + "/" + KeeperLaunch.fileName, Array((launch.json.pretty + "\n").utf8), durable: false)
        return try run([], folder, lock, taps, launch.name, keeperProgram, seconds)
    }

    /// Gives a machine whose keeper died a new one.
    ///
    /// - Throws: `.notFound` when the machine does not run, `.conflict` when it has a keeper.
    public static func adopt(
        folder: String, keeperProgram: String, seconds: Double = 10
    ) throws(UrsaError) -> MachineStatus {
        try run(["--adopt"], folder, try lock(folder), [:], Path.name(folder), keeperProgram, seconds)
    }

    /// The lock that a keeper holds for its life. It is taken here and handed on, so that of two that start the same
    /// machine at the same moment one is refused before it touches anything.
    ///
    /// A keeper tells the end of its machine a moment before it leaves: that moment is waited for.
    private static func lock(_ folder: String) throws(UrsaError) -> FileLock {
        let deadline = Deadline.after(seconds: 5)
        while true {
            if let lock = try FileLock.attempt(folder + "/" + MachineFiles.lock) { return lock }
            guard let status = try MachineStatus.read(folder: folder), status.state == .ended, !deadline.isPast else {
                throw UrsaError(.conflict, "the machine is running already", place: folder)
            }
            pause(milliseconds: 2)
        }
    }

    private static func run(
        _ arguments: [String], _ folder: String, _ lock: consuming FileLock, _ taps: [Int32: Int32], _ name: String,
        _ program: String, _ seconds: Double
    ) throws(UrsaError) -> MachineStatus {
        let report = try makePipe()
        let reader = report.read
        try reader.setNonBlocking()
        var keeper = Program(program, arguments + ["--folder", folder, "--report", "3", "--lock", "4"])
        keeper.descriptors = taps.merging([3: report.write.raw, 4: lock.descriptor]) { tap, _ in tap }
        let child = try keeper.start()
        close(report.write)
        _ = consume lock
        let deadline = Deadline.after(seconds: seconds)
        var lines = LineBuffer(limit: 65536)
        var buffer = [UInt8](repeating: 0, count: 4096)
        var isOver = false
        while true {
            if let line = try lines.next() {
                // The first process ends at once, its child is the keeper.
                _ = try? child.wait()
                let answer = try JSON.parse(line)
                if let error = answer["error"] { throw UrsaError(json: error) }
                guard let status = answer["ok"] else { throw UrsaError(.bug, "the keeper's report is strange") }
                return try MachineStatus(json: status)
            }
            if isOver {
                let end = try child.wait()
                throw UrsaError(.io, "the keeper of \(name) \(end) before the machine ran", place: program)
            }
            var waiting = pollfd(fd: reader.raw, events: Int16(POLLIN), revents: 0)
            if poll(&waiting, 1, deadline.millisecondsLeft) == 0, deadline.isPast {
                _ = try? child.wait()
                throw UrsaError(
                    .timeout, "\(name) did not run within \(Int(seconds)) s",
                    remedy: "see what it says with `ursa console \(name)`, or stop it with `ursa stop \(name)`")
            }
            switch receiveSome(reader.raw, into: &buffer) {
            case .bytes(let count): lines.append(buffer[..<count])
            case .later: break
            case .ended: isOver = true
            }
        }
    }

    private static func close(_ fd: consuming OwnedFD) {}
}
