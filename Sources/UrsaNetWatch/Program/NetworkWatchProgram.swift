import CLinux
import Glibc
import UrsaBase

/// The program that watches a home's networks: `ursa-keeper --watch FOLDER` and `ursa-keeper --timer FOLDER`.
public enum NetworkWatchProgram {
    /// Whether arguments (after the program's name) ask for this program.
    public static func isMeant(_ arguments: [String]) -> Bool {
        arguments.first.map { $0 == "--watch" || $0 == "--timer" } ?? false
    }

    /// Runs it; returns the exit status.
    ///
    /// Arguments: the role, the home's run folder, and `--report FD`: a pipe that is closed once everything is listened
    /// to. One process per home and role: a second one ends at once.
    public static func run(_ arguments: [String]) -> Int32 {
        guard arguments.count >= 2, let role = WatchRole(rawValue: String(arguments[0].dropFirst(2))),
            arguments[1].hasPrefix("/")
        else { return 2 }
        let folder = arguments[1]
        let report = arguments.count == 4 && arguments[2] == "--report" ? Int32(arguments[3]) : nil
        if let report { _ = fcntl(report, F_SETFD, FD_CLOEXEC) }
        guard clinux_detach() >= 0 else { return 1 }
        _ = clinux_set_process_name("ursa-net\(role.rawValue)")
        umask(0o022)
        chdir("/")
        _ = clinux_ignore_sigpipe()
        do throws(UrsaError) {
            guard let lock = try FileLock.attempt(role.lockPath(folder)) else { return 0 }
            let me = ProcessIdentity.current
            try File.replace(role.pidPath(folder), Array("\(me.pid) \(me.startTime)\n".utf8), durable: false)
            defer { try? File.remove(role.pidPath(folder)) }
            let watcher = try Watcher(role, folder)
            try watcher.run {
                if let report { close(report) }
                _ = clinux_give_back_memory()
            }
            withExtendedLifetime(lock) {}
            return 0
        } catch { return 1 }
    }
}
