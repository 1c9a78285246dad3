import CLinux
import Glibc
public import UrsaBase
public import UrsaNet

/// The private host of an ordinary user: a user namespace in which the user is root, with a network and a mount
/// namespace of its own, held by a small process. All that Ursa does on a host as root it does in there by the same
/// code; passt(1) is its way out, and doors lead in from ports of the real host.
///
/// Needs no right but the one to make user namespaces (user_namespaces(7)).
public struct RootlessHost: Sendable {
    /// Where the holder's files are. Belongs to the user, mode 0700.
    public let folder: String

    /// The private host that keeps its files in `folder`, an absolute path not below /run.
    public init(folder: String) { self.folder = folder }

    /// Whether the calling process is inside one, put there by `enter`.
    public static let isInside: Bool = {
        guard getenv(Names.variable) != nil, geteuid() == 0, let map = File.peek("/proc/self/uid_map") else {
            return false
        }
        // The first namespace maps all there are; ours one user.
        return map.split(whereSeparator: { $0 == " " || $0 == "\t" }).last.map { $0 != "4294967295" } ?? false
    }()

    /// The process that holds the namespaces, nil when none lives.
    public var holder: ProcessIdentity? {
        guard let text = try? File.readText(folder + "/" + Names.holder), let json = try? JSON.parse(text),
            let pid = json["pid"]?.integer.flatMap({ Int32(exactly: $0) }),
            let start = json["startTime"]?.integer.flatMap({ UInt64(exactly: $0) })
        else { return nil }
        let identity = ProcessIdentity(pid: pid, startTime: start)
        return identity.isAlive ? identity : nil
    }

    /// Keeps the private host, where there is one, from ending as long as the lock lives: `end` waits until nobody has one. Waits for a
    /// host that is just ending, so that none or a lasting one is found afterwards. Makes the folder.
    public func keep() throws(UrsaError) -> FileLock {
        try File.makeDirectory(folder, mode: 0o700)
        return try FileLock.share(folder + "/" + Names.use)
    }

    /// Makes the private host where there is none; returns when it is ready to be entered. Only with the lock of `keep`.
    ///
    /// - Parameter program: path of `ursa-rootless`.
    /// - Throws: `.unsupported` when the kernel or its settings allow no user namespaces, with what to do.
    public func start(program: String) throws(UrsaError) -> ProcessIdentity {
        if let holder { return holder }
        guard !folder.hasPrefix("/run/") else {
            throw UrsaError(
                .unsupported, "an ordinary user's state can't be below /run, which is replaced inside", place: folder,
                remedy: "name another folder with URSA_HOME")
        }
        let pipe = try makePipe()
        var holder = Program(program, ["--folder", folder, "--report", "3"])
        holder.descriptors = [3: pipe.write.raw]
        holder.newSession = true
        holder.directory = "/"
        let child = try holder.start()
        let read = pipe.read
        _ = consume pipe.write
        var report: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        let deadline = Deadline.after(seconds: 20)
        while report.last != 10 {
            var waiting = pollfd(fd: read.raw, events: Int16(POLLIN), revents: 0)
            guard poll(&waiting, 1, deadline.millisecondsLeft) > 0 else {
                if deadline.isPast { throw UrsaError(.timeout, "the private host is not ready after 20 seconds") }
                continue
            }
            guard case .bytes(let count) = receiveSome(read.raw, into: &buffer) else { break }
            report += buffer[0..<count]
        }
        // The outer process leaves its first parent at once.
        _ = try child.waitForEnd(until: .after(seconds: 5))
        guard let json = try? JSON.parse(String(decoding: report, as: UTF8.self)) else {
            throw UrsaError(.io, "the private host's holder died", place: folder + "/" + Names.log)
        }
        if let error = json["error"] { throw UrsaError(json: error) }
        guard let identity = self.holder else {
            throw UrsaError(.io, "the private host's holder died at once", place: folder + "/" + Names.log)
        }
        return identity
    }

    /// Enters the private host and starts the running program again in it, with the same arguments, in the same
    /// working directory. Only while the process has a single thread. Returns only by an error.
    ///
    /// - Parameter use: the lock of `keep`. The started program has it until it ends, and hands it to no other.
    public func enter(
        _ holder: ProcessIdentity, use: consuming FileLock, arguments: [String]
    ) throws(UrsaError) -> Never {
        func namespace(_ kind: String) throws(UrsaError) -> OwnedFD {
            try File.open("/proc/\(holder.pid)/ns/\(kind)", O_RDONLY)
        }
        let user = try namespace("user")
        let network = try namespace("net")
        let mounts = try namespace("mnt")
        guard holder.isAlive else { throw UrsaError(.conflict, "the private host ended just now", remedy: "try again") }
        // A relative name would be looked up in the wrong place after the change of the mount namespace.
        var path = [CChar](repeating: 0, count: 4096)
        guard readlink("/proc/self/exe", &path, path.count - 1) > 0 else {
            throw UrsaError.system(.current, "find the running program")
        }
        var folder = [CChar](repeating: 0, count: 4096)
        let hasFolder = getcwd(&folder, folder.count) != nil
        try check(
            clinux_enter_user_host(user.raw, network.raw, mounts.raw), "enter the private host of \(getuid())")
        if hasFolder { _ = chdir(folder) }
        setenv(Names.variable, "1", 1)
        // `Program` closes what a child is not given, so this reaches the program itself only.
        _ = fcntl(use.descriptor, F_SETFD, 0)
        var vector: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        execv(path, &vector)
        throw UrsaError.system(.current, "start again inside the private host")
    }

    /// Makes the doors these and no others: opens new ones, closes those that are no longer wanted.
    ///
    /// - Throws: `.conflict` when a port is in use; then nothing was changed.
    public func setDoors(_ doors: [Door]) throws(UrsaError) {
        try ask(.record(["do": "doors", "doors": .array(doors.map(\.json))]))
    }

    /// Hands a port's frames to the holder, which carries them until the engine ends and then removes the port.
    public func carry(_ port: borrowing FramePort, name: String) throws(UrsaError) {
        try ask(
            .record(["do": "carry", "name": .string(name)]),
            descriptors: [port.link.raw, port.carrier.raw, port.namespace.raw])
    }

    /// Ends the private host, as soon as no command is at work inside, unless it is used again before that (`setDoors`, `carry`). Returns at
    /// once.
    public func end() throws(UrsaError) { try ask(.record(["do": "end"])) }

    /// What the holder says of itself: `passt` (whether it runs, with a reason), `doors`.
    public func status() throws(UrsaError) -> JSON { try ask(.record(["do": "status"])) }

    @discardableResult
    private func ask(_ request: JSON, descriptors: [Int32] = []) throws(UrsaError) -> JSON {
        let socket: OwnedFD
        do { socket = try UnixSocket.connect(folder + "/" + Names.control) } catch {
            throw UrsaError(
                .notFound, "the private host's holder does not run", place: folder,
                remedy: "stop the machines and start them again")
        }
        try sendAll(socket.raw, request.line, to: "the private host's holder", until: .after(seconds: 5))
        if !descriptors.isEmpty {
            try check(clinux_send_fds(socket.raw, descriptors, Int32(descriptors.count)), "pass descriptors")
        }
        let answer = try Line.read(socket.raw, seconds: 20)
        if let error = answer["error"] { throw UrsaError(json: error) }
        return answer
    }
}

/// Names of files and of the variable by which a process inside knows where it is.
enum Names {
    static let variable = "URSA_ROOTLESS"
    static let holder = "holder.json"
    static let control = "control.sock"
    /// Locked by the outer process: there is one private host.
    static let lock = "lock"
    /// Shared by the commands inside, locked alone by a holder that ends.
    static let use = "use"
    static let log = "log"
}

/// One JSON value on a line, as both sides of the holder's sockets send it.
enum Line {
    static func read(_ fd: Int32, seconds: Double) throws(UrsaError) -> JSON {
        let deadline = Deadline.after(seconds: seconds)
        var line: [UInt8] = []
        while line.last != 10 {
            var waiting = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
            guard poll(&waiting, 1, deadline.millisecondsLeft) > 0 else {
                if deadline.isPast { throw UrsaError(.timeout, "no answer in \(Int(seconds)) seconds") }
                continue
            }
            // Byte by byte: what follows the line may come with descriptors.
            var byte: UInt8 = 0
            let count = recv(fd, &byte, 1, 0)
            if count < 0, errno == EINTR || errno == EAGAIN { continue }
            guard count == 1 else { throw UrsaError(.io, "the other side closed the connection") }
            line.append(byte)
            guard line.count < 1 << 20 else { throw UrsaError(.io, "a line is too long") }
        }
        return try JSON.parse(String(decoding: line, as: UTF8.self))
    }
}
