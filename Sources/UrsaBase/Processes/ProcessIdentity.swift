import CLinux
import Glibc

/// Which process, beyond doubt: pids are reused, a pid together with its start time and boot is not.
public struct ProcessIdentity: Hashable, Sendable {
    /// The process id.
    public let pid: Int32
    /// Clock ticks from boot to the process's start (field 22 of /proc/PID/stat, proc(5)).
    public let startTime: UInt64

    /// Names a process by values stored earlier.
    public init(pid: Int32, startTime: UInt64) {
        self.pid = pid
        self.startTime = startTime
    }

    /// The process that has `pid` now, or nil when none has, or when it is a zombie.
    public init?(running pid: Int32) {
        guard pid > 0, let text = try? File.readText("/proc/\(pid)/stat", limit: 65536),
            let close = text.lastIndex(of: ")")
        else { return nil }
        // After the name in brackets: state is field 3, the start time field 22.
        let fields = text[text.index(after: close)...].split(separator: " ")
        guard fields.count > 19, fields[0] != "Z", fields[0] != "X", let start = UInt64(fields[19]) else { return nil }
        self.init(pid: pid, startTime: start)
    }

    /// The calling process.
    public static var current: ProcessIdentity {
        ProcessIdentity(running: getpid()) ?? ProcessIdentity(pid: getpid(), startTime: 0)
    }

    /// Whether exactly this process runs now.
    public var isAlive: Bool { ProcessIdentity(running: pid) == self }

    /// A descriptor for the process (pidfd), or nil when it has ended.
    public func open() -> OwnedFD? {
        let fd = clinux_pidfd_open(pid)
        guard fd >= 0 else { return nil }
        let owned = OwnedFD(fd)
        // The pid may have been reused between reading and opening: look again, now that the pidfd pins it.
        guard isAlive else { return nil }
        return owned
    }

    /// Sends a signal to exactly this process; false when it has ended.
    @discardableResult
    public func signal(_ number: Int32) -> Bool {
        guard let fd = open() else { return false }
        return clinux_pidfd_send_signal(fd.raw, number) == 0
    }

    /// Waits until the process has ended (it need not be a child); false when the deadline passed first.
    public func waitForEnd(until deadline: Deadline) -> Bool {
        guard let fd = open() else { return true }
        var waiting = pollfd(fd: fd.raw, events: Int16(POLLIN), revents: 0)
        while poll(&waiting, 1, deadline.millisecondsLeft) <= 0 {
            if deadline.isPast { return !isAlive }
        }
        return true
    }
}

/// The id of the running kernel's boot; processes and kernel objects noted under another id are gone.
public func bootIdentifier() -> String { File.peek("/proc/sys/kernel/random/boot_id") ?? "unknown" }
