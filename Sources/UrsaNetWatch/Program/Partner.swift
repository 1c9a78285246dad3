import CLinux
import Glibc
import UrsaBase

/// The two roles in which the program runs. While a change waits to be confirmed both are there, and each starts the
/// other again when it is killed: the deadline is kept whichever of them dies.
enum WatchRole: String {
    /// Looks after networks and uplinks.
    case watch
    /// Only keeps the deadline.
    case timer

    var other: WatchRole { self == .watch ? .timer : .watch }
    /// The lock that the role's process holds for its life.
    func lockPath(_ folder: String) -> String { "\(folder)/\(rawValue).lock" }
    /// Where it says who it is.
    func pidPath(_ folder: String) -> String { "\(folder)/\(rawValue).pid" }
}

/// Keeps the process of the other role alive.
final class Partner {
    private let role: WatchRole
    private let folder: String
    private let loop: EventLoop
    private var pidfd: OwnedFD?
    /// Starts again, at most so often.
    private var last: Deadline?
    /// When it is looked after next.
    private var timer: UInt64?

    init(_ role: WatchRole, _ folder: String, _ loop: EventLoop) {
        self.role = role
        self.folder = folder
        self.loop = loop
    }

    /// Makes sure that it lives, and is told of its death.
    func ensure() {
        guard pidfd == nil else { return }
        // Who holds the lock lives. The lock is tried and let go: the new process takes it itself.
        if (try? FileLock.holdingIfFree(role.lockPath(folder), { () throws(UrsaError) in })) ?? nil != nil {
            if let last, Deadline.now.seconds(since: last) < 0.2 { return later() }
            last = .now
            start()
        }
        guard let words = File.peek(role.pidPath(folder))?.split(separator: " "), words.count == 2,
            let pid = Int32(words[0]), let startTime = UInt64(words[1]),
            let opened = ProcessIdentity(pid: pid, startTime: startTime).open()
        else { return later() }
        let raw = opened.raw
        pidfd = consume opened
        let isWatched: Void? = try? loop.add(raw, .read) { [weak self] _ in
            guard let self else { return }
            forget()
            ensure()
        }
        if isWatched == nil { pidfd = nil }
    }

    /// Lets it go its way.
    func forget() {
        // Else it would be started again for orders that have no use for it any more.
        if let timer { loop.cancel(timer) }
        timer = nil
        guard let raw = pidfd?.raw else { return }
        loop.remove(raw)
        pidfd = nil
    }

    private func later() {
        if let timer { loop.cancel(timer) }
        timer = loop.after(seconds: 0.1) { [weak self] in
            self?.timer = nil
            self?.ensure()
        }
    }

    private func start() {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        guard count > 0, count < buffer.count else { return }
        let own = String(decoding: buffer[0..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        // The file may have been replaced by a newer one meanwhile; this name then leads nowhere.
        let path = access(own, X_OK) == 0 ? own : "/proc/self/exe"
        guard let child = try? Program(path, ["--\(role.rawValue)", folder]).start() else { return }
        // It goes on in a child of its own; the first process ends at once.
        _ = try? child.wait()
    }
}
