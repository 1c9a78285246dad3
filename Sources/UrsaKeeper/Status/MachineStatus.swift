public import UrsaBase

/// What a machine does now and how it got there: `status.json` of its folder, judged against the kernel.
public struct MachineStatus: Sendable, Hashable {
    /// What the machine does.
    public enum State: String, Sendable, Hashable {
        /// The engine was started and has not answered yet.
        case starting
        /// The guest's processors run.
        case running
        /// The guest's processors are held.
        case paused
        /// The machine was asked to end.
        case stopping
        /// It ended and will start again.
        case restarting
        /// It ended for good.
        case ended
    }

    /// The machine's identity.
    public var machine: String
    /// The machine's name.
    public var name: String
    /// What it does.
    public var state: State
    /// The engine's process; the last one when it has ended.
    public var engine: ProcessIdentity?
    /// The keeper's process.
    public var keeper: ProcessIdentity?
    /// The host's boot under which the processes lived.
    public var boot: String
    /// Start of the engine, seconds since 1970.
    public var started: Double?
    /// End of the engine, seconds since 1970; nil while it runs.
    public var ended: Double?
    /// How often the keeper started it again.
    public var restarts: Int
    /// Why it ended last, in words for people; nil before the first end.
    public var reason: String?
    /// Whether the last end was a failure: a crash, a panic, a refused start.
    public var failed: Bool
    /// How the engine's process ended, where that is known.
    public var exit: ProcessEnd?
    /// What hinders the keeper without ending the machine: a full disk, a lost monitor.
    public var trouble: String?

    /// A status before the first start.
    public init(machine: String, name: String) {
        self.machine = machine
        self.name = name
        state = .starting
        boot = bootIdentifier()
        restarts = 0
        failed = false
    }

    /// Whether the engine's process lives: by pid, start time and boot, never by the file alone.
    public var isAlive: Bool { boot == bootIdentifier() && engine?.isAlive ?? false }
    /// Whether the keeper's process lives.
    public var isKept: Bool { boot == bootIdentifier() && keeper?.isAlive ?? false }
    /// Whether the engine lives without a keeper: `Keeper.adopt` gives it a new one.
    public var isOrphan: Bool { isAlive && !isKept }

    /// The status of the machine in `folder`, nil when none was ever started there.
    ///
    /// What the file says is corrected by what the kernel says: a machine whose processes are gone has ended.
    /// - Throws: `.io` when the file can't be read or is no status.
    public static func read(folder: String) throws(UrsaError) -> MachineStatus? {
        let path = folder + "/" + MachineFiles.status
        let bytes: [UInt8]
        do throws(UrsaError) { bytes = try File.read(path, limit: 1 << 20) } catch {
            if error.code == .notFound { return nil }
            throw error
        }
        do throws(UrsaError) { return try MachineStatus(json: JSON.parse(bytes)).judged() } catch {
            throw error.at(path)
        }
    }

    /// The same status, corrected when its processes are gone.
    func judged() -> MachineStatus {
        guard state != .ended, !isKept, !isAlive else { return self }
        var truth = self
        truth.state = .ended
        truth.failed = true
        if boot != bootIdentifier() {
            truth.reason = "the host went down or was restarted"
        } else {
            truth.reason = "the engine and its keeper were both killed, so nobody saw why"
        }
        return truth
    }
}

extension MachineStatus {
    /// The stored form.
    public var json: JSON {
        .record([
            "version": 1,
            "machine": .string(machine),
            "name": .string(name),
            "state": .string(state.rawValue),
            "engine": engine?.json,
            "keeper": keeper?.json,
            "boot": .string(boot),
            "started": started.map(JSON.number),
            "ended": ended.map(JSON.number),
            "restarts": .integer(Int64(restarts)),
            "reason": reason.map(JSON.string),
            "failed": .bool(failed),
            "exit": exit.map { end in
                switch end {
                case .exited(let status): .record(["status": .integer(Int64(status))])
                case .signalled(let number): .record(["signal": .integer(Int64(number))])
                }
            },
            "trouble": trouble.map(JSON.string),
        ])
    }

    /// Reads the stored form, without judging it.
    ///
    /// - Throws: `.io` when a member is missing or wrong.
    public init(json: JSON) throws(UrsaError) {
        guard json["version"]?.integer == 1, let machine = json["machine"]?.string, let name = json["name"]?.string,
            let state = json["state"]?.string.flatMap(State.init(rawValue:)), let boot = json["boot"]?.string
        else { throw UrsaError(.io, "this is no machine status") }
        self.init(machine: machine, name: name)
        self.state = state
        self.boot = boot
        engine = json["engine"].flatMap(ProcessIdentity.init(json:))
        keeper = json["keeper"].flatMap(ProcessIdentity.init(json:))
        started = json["started"]?.decimal
        ended = json["ended"]?.decimal
        restarts = Int(json["restarts"]?.integer ?? 0)
        reason = json["reason"]?.string
        failed = json["failed"]?.bool ?? false
        trouble = json["trouble"]?.string
        if let status = json["exit"]?["status"]?.integer { exit = .exited(Int32(clamping: status)) }
        if let number = json["exit"]?["signal"]?.integer { exit = .signalled(Int32(clamping: number)) }
    }
}

extension ProcessIdentity {
    var json: JSON { ["pid": .integer(Int64(pid)), "start": .integer(Int64(clamping: startTime))] }

    init?(json: JSON) {
        guard let pid = json["pid"]?.integer, let start = json["start"]?.integer, start >= 0,
            let number = Int32(exactly: pid)
        else { return nil }
        self.init(pid: number, startTime: UInt64(start))
    }
}
