import CLinux
import Glibc

/// A program to run: an argument vector, never a shell line.
public struct Program: Sendable {
    /// A user to run as, by number; supplementary groups replace the caller's.
    public struct User: Sendable, Hashable {
        /// User id.
        public var uid: UInt32
        /// Group id.
        public var gid: UInt32
        /// Supplementary group ids.
        public var groups: [UInt32]
        /// Names a user by numbers.
        public init(uid: UInt32, gid: UInt32, groups: [UInt32] = []) {
            self.uid = uid
            self.gid = gid
            self.groups = groups
        }
    }

    /// Absolute path, or a name looked up in PATH and the system folders.
    public var path: String
    /// Arguments after the program's own name.
    public var arguments: [String]
    /// Environment as `NAME=value`; nil passes the caller's on.
    public var environment: [String]?
    /// Descriptors to hand over: child number to caller's number. Standard ones left out are /dev/null.
    public var descriptors: [Int32: Int32] = [:]
    /// Network namespace to start in (a descriptor of the caller), or nil for the caller's own.
    public var networkNamespace: Int32?
    /// Working directory, or nil for the caller's.
    public var directory: String?
    /// User to become, or nil to stay.
    public var user: User?
    /// Start in a session of its own, so that it outlives the terminal.
    public var newSession = false
    /// Forbid gaining rights by exec (no_new_privs).
    public var noNewPrivileges = false
    /// Kill the program when the thread that started it ends.
    public var diesWithParent = false
    /// Largest file it may write, in bytes; writes past it fail with EFBIG.
    public var fileSizeLimit: UInt64?

    /// A program with its arguments.
    public init(_ path: String, _ arguments: [String], environment: [String]? = nil) {
        self.path = path
        self.arguments = arguments
        self.environment = environment
    }

    /// Starts the program.
    ///
    /// - Throws: `.notFound` when there is no such program, `.usage` when an argument holds a NUL byte,
    ///   else the step that failed.
    public func start() throws(UrsaError) -> Child {
        guard let resolved = Path.program(path) else {
            throw UrsaError(
                .notFound, "there is no program \(path)", remedy: "install it; `ursa doctor` names the package")
        }
        let environment = self.environment ?? Program.callersEnvironment()
        for text in arguments + environment where text.utf8.contains(0) {
            throw UrsaError(.usage, "an argument for \(path) contains a NUL byte")
        }
        let targets = descriptors.keys.sorted()
        let sources = targets.map { descriptors[$0] ?? -1 }
        var flags: UInt32 = 0
        if newSession { flags |= UInt32(CLINUX_SPAWN_NEW_SESSION) }
        if noNewPrivileges { flags |= UInt32(CLINUX_SPAWN_NO_NEW_PRIVILEGES) }
        if user != nil { flags |= UInt32(CLINUX_SPAWN_CHANGE_USER) }
        if diesWithParent { flags |= UInt32(CLINUX_SPAWN_DIE_WITH_PARENT) }
        if fileSizeLimit != nil { flags |= UInt32(CLINUX_SPAWN_IGNORE_XFSZ) }

        var argv: [UnsafeMutablePointer<CChar>?] = ([path] + arguments).map { strdup($0) } + [nil]
        var envp: [UnsafeMutablePointer<CChar>?] = environment.map { strdup($0) } + [nil]
        defer { for pointer in argv + envp { free(pointer) } }
        var step: UnsafePointer<CChar>?
        let groups = user?.groups ?? []

        let result: Int32 = resolved.withCString { cPath in
            withOptionalCString(directory) { cDirectory in
                sources.withUnsafeBufferPointer { source in
                    targets.withUnsafeBufferPointer { target in
                        groups.withUnsafeBufferPointer { group in
                            argv.withUnsafeMutableBufferPointer { arguments in
                                envp.withUnsafeMutableBufferPointer { variables in
                                    var options = clinux_spawn()
                                    options.path = cPath
                                    options.argv = UnsafePointer(arguments.baseAddress)
                                    options.envp = UnsafePointer(variables.baseAddress)
                                    options.fd_source = source.baseAddress
                                    options.fd_target = target.baseAddress
                                    options.fd_count = Int32(targets.count)
                                    options.netns_fd = networkNamespace ?? -1
                                    options.directory = cDirectory
                                    options.uid = user?.uid ?? 0
                                    options.gid = user?.gid ?? 0
                                    options.groups = group.baseAddress
                                    options.group_count = Int32(groups.count)
                                    options.flags = flags
                                    options.file_size_limit = fileSizeLimit ?? 0
                                    return clinux_spawn(&options, &step)
                                }
                            }
                        }
                    }
                }
            }
        }
        guard result > 0 else {
            let failed = step.map { String(cString: $0) } ?? "start"
            throw UrsaError.system(Errno(-result), "start \(resolved) (\(failed))")
        }
        let pidfd = clinux_pidfd_open(result)
        guard pidfd >= 0 else {
            // Nobody could end or reap it any more.
            kill(result, SIGKILL)
            while waitpid(result, nil, 0) < 0, errno == EINTR {}
            throw UrsaError.system(Errno(-pidfd), "watch \(resolved)")
        }
        return Child(pid: result, pidfd: OwnedFD(pidfd), name: Path.name(path))
    }

    /// What a finished program left.
    public struct Output: Sendable {
        /// How it ended.
        public let end: ProcessEnd
        /// What it wrote to standard output.
        public let output: [UInt8]
        /// What it wrote to standard error, as text.
        public let errors: String
        /// Standard output as text.
        public var text: String { String(decoding: output, as: UTF8.self) }
    }

    /// Runs the program to its end and collects what it writes.
    ///
    /// - Parameters:
    ///   - input: what it reads from standard input.
    ///   - seconds: when it takes longer it is killed and `.timeout` is thrown.
    ///   - limit: most bytes kept of each output; more is an error, so a program gone wild can't eat the memory.
    public func run(input: [UInt8] = [], seconds: Double = 60, limit: Int = 64 << 20) throws(UrsaError) -> Output {
        guard let output = try run(input: input, seconds: seconds, limit: limit, early: nil) else {
            throw UrsaError(.bug, "\(Path.name(path)) was left before its end")
        }
        return output
    }

    /// The same for a program whose work may be done before it ends: it is left then, to end by itself.
    ///
    /// - Parameters:
    ///   - descriptor: what becomes readable when the work may be done.
    ///   - isDone: asked whenever it is.
    /// - Returns: what it wrote when it ended before the work was done; nil when the work is done.
    public func run(
        input: [UInt8], seconds: Double, until descriptor: Int32, _ isDone: () -> Bool
    ) throws(UrsaError) -> Output? {
        try withoutActuallyEscaping(isDone) { (isDone) throws(UrsaError) in
            try run(
                input: input, seconds: seconds, limit: 64 << 20, early: Early(descriptor: descriptor, isDone: isDone))
        }
    }

    private struct Early {
        let descriptor: Int32
        let isDone: () -> Bool
    }

    private func run(
        input: [UInt8], seconds: Double, limit: Int, early: Early?
    ) throws(UrsaError) -> Output? {
        let outPipe = try makePipe()
        let errPipe = try makePipe()
        // A file in memory, not a pipe: it can't block, and a program that does not read it raises no SIGPIPE.
        let inFile = try input.isEmpty ? nil : memoryFile(input)
        var program = self
        program.descriptors[0] = inFile?.raw
        program.descriptors[1] = outPipe.write.raw
        program.descriptors[2] = errPipe.write.raw
        let child = try program.start()
        withExtendedLifetime(inFile) {}
        close(outPipe.write)
        close(errPipe.write)
        do throws(UrsaError) {
            guard
                let collected = try collect(
                    outPipe.read, errPipe.read, child.pidfd.raw, limit: limit, seconds: seconds, early: early)
            else {
                try child.reapInBackground()
                return nil
            }
            let end = try child.wait()
            return Output(end: end, output: collected[0], errors: String(decoding: collected[1], as: UTF8.self))
        } catch {
            child.signal(SIGKILL)
            _ = try child.wait()
            throw error
        }
    }

    /// What comes out of two pipes until the program has ended. Programs that it left running may hold the pipes open
    /// for ever, so its end counts and not theirs; what it wrote before is in the pipes by then.
    private func collect(
        _ out: borrowing OwnedFD, _ err: borrowing OwnedFD, _ pidfd: Int32, limit: Int, seconds: Double, early: Early?
    ) throws(UrsaError) -> [[UInt8]]? {
        let deadline = Deadline.after(seconds: seconds)
        try out.setNonBlocking()
        try err.setNonBlocking()
        var open = [out.raw, err.raw]
        var collected: [[UInt8]] = [[], []]
        var buffer = [UInt8](repeating: 0, count: 65536)
        var hasEnded = false
        while !hasEnded {
            var polls = [
                pollfd(fd: pidfd, events: Int16(POLLIN), revents: 0),
                pollfd(fd: open[0], events: Int16(POLLIN), revents: 0),
                pollfd(fd: open[1], events: Int16(POLLIN), revents: 0),
                // A negative one is passed over.
                pollfd(fd: early?.descriptor ?? -1, events: Int16(POLLIN), revents: 0),
            ]
            let ready = poll(&polls, 4, deadline.millisecondsLeft)
            if ready < 0, errno != EINTR { throw UrsaError.system(.current, "wait for \(Path.name(path))") }
            if ready > 0, polls[3].revents != 0, let early, early.isDone() { return nil }
            hasEnded = ready > 0 && polls[0].revents != 0
            if !hasEnded, deadline.isPast {
                throw UrsaError(
                    .timeout, "\(Path.name(path)) did not finish within \(Int(max(0, min(seconds, 1e9)))) s")
            }
            for index in 0...1 {
                var again = open[index] >= 0 && (hasEnded || (ready > 0 && polls[index + 1].revents != 0))
                while again {
                    switch receiveSome(open[index], into: &buffer) {
                    case .bytes(let count):
                        collected[index].append(contentsOf: buffer[0..<count])
                        again = hasEnded
                    case .ended:
                        open[index] = -1
                        again = false
                    case .later: again = false
                    }
                    guard collected[index].count <= limit else {
                        throw UrsaError(.io, "\(Path.name(path)) wrote more than \(ByteCount(UInt64(limit)))")
                    }
                }
            }
        }
        return collected
    }

    /// Runs the program and returns its standard output; a failing exit is thrown with the program's own words.
    @discardableResult
    public func require(_ action: String, input: [UInt8] = [], seconds: Double = 60) throws(UrsaError) -> String {
        let result = try run(input: input, seconds: seconds)
        guard result.end.isSuccess else {
            let words = result.errors.trimmed
            throw UrsaError(.io, "can't \(action): \(words.isEmpty ? "\(Path.name(path)) \(result.end)" : words)")
        }
        return result.text
    }

    private static func callersEnvironment() -> [String] {
        var result: [String] = []
        var pointer = environ
        while let entry = pointer.pointee {
            result.append(String(cString: entry))
            pointer = pointer.advanced(by: 1)
        }
        return result
    }
}

/// How a process ended.
public enum ProcessEnd: Hashable, Sendable, CustomStringConvertible {
    /// It called exit with this status.
    case exited(Int32)
    /// A signal ended it.
    case signalled(Int32)

    /// Whether it exited with status 0.
    public var isSuccess: Bool { self == .exited(0) }
    /// `exited with status 1`, `was killed by signal 9 (Killed)`.
    public var description: String {
        switch self {
        case .exited(let status): "exited with status \(status)"
        case .signalled(let number):
            "was killed by signal \(number) (\(strsignal(number).map { String(cString: $0) } ?? "unknown"))"
        }
    }
}

/// A child process, watched by a pidfd. Dropping the value does not end the process.
public struct Child: ~Copyable, Sendable {
    /// Process id; not reused before `wait` has returned.
    public let pid: Int32
    /// Descriptor that becomes readable when the process ends.
    public let pidfd: OwnedFD
    /// The program's name, for messages.
    public let name: String

    /// Sends a signal; a process that has ended already is fine.
    public func signal(_ number: Int32) { _ = clinux_pidfd_send_signal(pidfd.raw, number) }

    /// Waits for the end until a deadline; true when it has ended (call `wait` then to reap it).
    public func waitForEnd(until deadline: Deadline) throws(UrsaError) -> Bool {
        var waiting = pollfd(fd: pidfd.raw, events: Int16(POLLIN), revents: 0)
        while true {
            let result = poll(&waiting, 1, deadline.millisecondsLeft)
            if result > 0 { return true }
            if result < 0, errno != EINTR { throw UrsaError.system(.current, "wait for \(name)") }
            if deadline.isPast { return false }
        }
    }

    /// Has the process reaped when it ends, by a thread of its own that waits for it.
    func reapInBackground() throws(UrsaError) {
        let own = SharedFD(
            OwnedFD(try retrying("keep a descriptor of \(name)") { fcntl(pidfd.raw, F_DUPFD_CLOEXEC, 3) }))
        _ = try OSThread {
            pthread_detach(pthread_self())
            var code: Int32 = 0
            var status: Int32 = 0
            _ = clinux_wait(own.raw, 0, &code, &status)
        }
    }

    /// Waits for the end and reaps the process.
    public func wait() throws(UrsaError) -> ProcessEnd {
        var code: Int32 = 0
        var status: Int32 = 0
        try check(clinux_wait(pidfd.raw, 0, &code, &status), "wait for \(name)")
        return code == CLD_EXITED ? .exited(status) : .signalled(status)
    }
}

private func withOptionalCString<R>(_ text: String?, _ body: (UnsafePointer<CChar>?) -> R) -> R {
    guard let text else { return body(nil) }
    return text.withCString(body)
}

/// A file in memory with this content, positioned at its start.
private func memoryFile(_ content: [UInt8]) throws(UrsaError) -> SharedFD {
    let fd = OwnedFD(try check(clinux_memfd("input"), "make a file in memory"))
    try fd.writeAll(content, to: "a file in memory")
    try retrying("rewind a file in memory") { lseek(fd.raw, 0, SEEK_SET) }
    return SharedFD(fd)
}

private func close(_ fd: consuming OwnedFD) {}
