public import UrsaBase

/// All that a keeper needs to run one machine: what the engine is, what it gets, and what happens when it ends.
///
/// It is stored as `launch.json` (mode 0600) in the machine's folder, so that a keeper can be replaced by another.
public struct KeeperLaunch: Sendable, Hashable {
    /// A file that the keeper opens anew at each start of the engine.
    public struct EngineFile: Sendable, Hashable {
        /// Number of the descriptor in the engine, 10…999.
        public var fd: Int32
        /// Absolute path.
        public var path: String
        /// Whether the engine may write.
        public var isWritable: Bool
        /// A file for the engine.
        public init(fd: Int32, path: String, isWritable: Bool) {
            self.fd = fd
            self.path = path
            self.isWritable = isWritable
        }
    }

    /// A listening unix socket in the machine's folder that the engine gets as a descriptor.
    public struct EngineSocket: Sendable, Hashable {
        /// Who speaks there.
        public enum Purpose: String, Sendable, Hashable {
            /// The keeper's own QMP monitor; there is exactly one.
            case monitor
            /// The machine's serial console, read by the keeper; at most one.
            case console
            /// For people's tools; the keeper only makes it.
            case people
        }
        /// File name in the machine's folder.
        public var name: String
        /// Number of the listening descriptor in the engine, 10…999.
        public var fd: Int32
        /// Who speaks there.
        public var purpose: Purpose
        /// A listening socket for the engine.
        public init(name: String, fd: Int32, purpose: Purpose) {
            self.name = name
            self.fd = fd
            self.purpose = purpose
        }
    }

    /// What happens when the machine ends without being asked to.
    public enum Restart: Sendable, Hashable {
        /// It stays ended.
        case never
        /// It starts again after a crash of the engine or a guest panic, at most `limit` times in a row (nil: no limit).
        case onFailure(limit: Int?)
        /// It starts again unless a person stopped it.
        case always
    }

    /// How restarts are spread over time.
    public struct Pace: Sendable, Hashable {
        /// Seconds before the first restart; doubles with each further one in a row.
        public var first: Double
        /// Most seconds between end and restart.
        public var longest: Double
        /// Seconds of running after which earlier ends are forgotten.
        public var steady: Double
        /// A pace; the defaults are 0.5 s, doubling up to 60 s, forgotten after 60 s.
        public init(first: Double = 0.5, longest: Double = 60, steady: Double = 60) {
            self.first = first
            self.longest = longest
            self.steady = steady
        }
        /// Seconds to wait before restart number `count` in a row (from 1).
        func delay(_ count: Int) -> Double {
            var delay = first
            for _ in 1..<max(1, min(count, 64)) { delay = min(delay * 2, longest) }
            return min(delay, longest)
        }
    }

    /// The machine's identity, for events.
    public var machine: String
    /// The machine's name, for events and messages.
    public var name: String
    /// Absolute path of the engine program.
    public var program: String
    /// Its arguments.
    public var arguments: [String]
    /// Its whole environment as `NAME=value`.
    public var environment: [String]
    /// The user it becomes, nil to stay the keeper's.
    public var user: Program.User?
    /// Files it gets.
    public var files: [EngineFile]
    /// Descriptors that the keeper inherits under the same numbers and holds over restarts (taps), 10…999.
    public var inherited: [Int32]
    /// Listening sockets it gets.
    public var sockets: [EngineSocket]
    /// What happens at its end.
    public var restart: Restart
    /// How restarts are spread.
    public var pace: Pace
    /// Seconds from the power button to the kill, 0…3600.
    public var stopTimeout: Int
    /// Seconds in which the engine must answer on its monitor after its start.
    public var startTimeout: Double
    /// Program with arguments that is started, and not waited for, when the machine has ended for good.
    public var settle: [String]
    /// File that gets one JSON line per event, nil for none.
    public var eventsPath: String?
    /// Bytes of one log file; of the console two are kept (`console.log`, `console.log.1`), of the engine's own words too.
    public var logLimit: Int

    /// The name of the file in the machine's folder.
    public static let fileName = "launch.json"

    /// A launch with the defaults of the keeper.
    public init(
        machine: String, name: String, program: String, arguments: [String],
        environment: [String] = ["PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C"], user: Program.User? = nil,
        files: [EngineFile] = [], inherited: [Int32] = [], sockets: [EngineSocket] = [], restart: Restart = .never,
        pace: Pace = Pace(), stopTimeout: Int = 30, startTimeout: Double = 30, settle: [String] = [],
        eventsPath: String? = nil, logLimit: Int = 1 << 20
    ) {
        self.machine = machine
        self.name = name
        self.program = program
        self.arguments = arguments
        self.environment = environment
        self.user = user
        self.files = files
        self.inherited = inherited
        self.sockets = sockets
        self.restart = restart
        self.pace = pace
        self.stopTimeout = stopTimeout
        self.startTimeout = startTimeout
        self.settle = settle
        self.eventsPath = eventsPath
        self.logLimit = logLimit
    }

    /// Checks what the types do not say: ranges, absolute paths, each descriptor named once, one monitor.
    ///
    /// - Throws: `.invalidSpec` with all that is wrong.
    public func validate() throws(UrsaError) {
        var wrong: [UrsaError] = []
        func need(_ holds: Bool, _ message: String) {
            if !holds { wrong.append(UrsaError(.invalidSpec, message, place: KeeperLaunch.fileName)) }
        }
        let numbers = files.map(\.fd) + inherited + sockets.map(\.fd)
        need(numbers.allSatisfy { (10...999).contains($0) }, "descriptor numbers must be 10…999")
        need(Set(numbers).count == numbers.count, "a descriptor number stands twice")
        need(numbers.count <= 60, "more than 60 descriptors")
        need(program.hasPrefix("/"), "the engine's path must be absolute")
        need(files.allSatisfy { $0.path.hasPrefix("/") }, "paths of the engine's files must be absolute")
        need(sockets.filter { $0.purpose == .monitor }.count == 1, "there must be exactly one monitor socket")
        need(sockets.filter { $0.purpose == .console }.count <= 1, "there can be only one console socket")
        need(Set(sockets.map(\.name)).count == sockets.count, "a socket name stands twice")
        let taken = [MachineFiles.keeperSocket, MachineFiles.status, MachineFiles.lock, KeeperLaunch.fileName]
        for socket in sockets {
            need(
                !socket.name.isEmpty && !socket.name.contains("/") && !socket.name.hasPrefix(".")
                    && !taken.contains(socket.name), "\(socket.name) can't be the name of a socket")
        }
        need((0...3600).contains(stopTimeout), "the stop timeout must be 0…3600 s")
        need((0.1...3600).contains(startTimeout), "the start timeout must be 0.1…3600 s")
        need(pace.first >= 0 && pace.longest <= 86400 && pace.steady >= 0, "the pace of restarts is out of range")
        need((4096...(64 << 20)).contains(logLimit), "the log limit must be 4 KiB…64 MiB")
        need(settle.first.map { $0.hasPrefix("/") } ?? true, "the settle program's path must be absolute")
        let texts = [machine, name, program] + arguments + environment + settle
        need(!texts.contains { $0.utf8.contains(0) }, "a text contains a NUL byte")
        if let error = UrsaError.all(wrong) { throw error }
    }
}
