import CLinux
import Glibc
import UrsaBase
import UrsaDisk

/// The end of the program by a signal: the terminal is put right, then the status is 130.
///
/// Nothing else but images that are half made needs cleaning: every step of the work survives kill -9, and the next command
/// mends what is left.
enum Signals {
    /// Exit status of a program that a person interrupted.
    static let interrupted: Int32 = 130

    /// Blocks the signals everywhere and waits for them on a thread of their own, where everything may be called.
    static func handle() throws(UrsaError) {
        // Those that the caller ignores stay so: nohup(1) and background jobs of a script mean it.
        let numbers = [SIGINT, SIGTERM, SIGHUP].filter { !isIgnored($0) }
        let descriptor = clinux_signalfd(numbers, Int32(numbers.count))
        guard descriptor >= 0 else { throw UrsaError.system(Errno(-descriptor), "wait for signals") }
        _ = try OSThread {
            var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            while true {
                while poll(&waiting, 1, -1) <= 0 {}
                let isFirst = state.withLock { state in
                    defer { state.isPending = true }
                    return state.isPostponed && !state.isPending
                }
                guard isFirst else { break }
                // struct signalfd_siginfo has 128 bytes.
                var taken = [UInt8](repeating: 0, count: 128)
                _ = read(descriptor, &taken, taken.count)
            }
            Terminal.leaveRaw()
            Screen.clearProgress()
            UnfinishedFile.removeAll()
            _exit(interrupted)
        }
    }

    private static let state = Locked((isPostponed: false, isPending: false))

    /// From now on the first signal only makes `isPending` true, for work that has an end of its own to write; the second
    /// one ends the program.
    static func postpone() { state.withLock { $0.isPostponed = true } }

    /// Whether a signal has come since `postpone`.
    static var isPending: Bool { state.withLock { $0.isPending } }

    private static func isIgnored(_ number: Int32) -> Bool {
        var action = sigaction()
        guard sigaction(number, nil, &action) == 0 else { return false }
        let ignore = unsafeBitCast(SIG_IGN, to: Int.self)
        return unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self) == ignore
    }

    /// Makes signals what they were, for a program that takes this one's place.
    static func restore() {
        _ = clinux_unblock_signals()
        signal(SIGPIPE, SIG_DFL)
    }
}
