import CLinux
import Glibc
import UrsaBase

/// The `ursa-rootless` program: an outer process, which stays on the real host, and an inner one, which holds the
/// private host's namespaces.
public enum RootlessProgram {
    /// Runs with the arguments after the program's name; returns the exit status.
    ///
    /// Arguments: `--folder PATH`, `--report FD` (pipe for the outcome of the start); `--inner` for the inner process,
    /// which finds its descriptors at fixed numbers.
    public static func run(_ arguments: [String]) -> Int32 {
        var folder: String?
        var report: Int32?
        var isInner = false
        var rest = arguments[...]
        while let word = rest.popFirst() {
            switch word {
            case "--folder": folder = rest.popFirst()
            case "--report": report = rest.popFirst().flatMap { Int32($0) }
            case "--inner": isInner = true
            default: return complain("unknown argument \(word)")
            }
        }
        guard let folder, folder.hasPrefix("/") else { return complain("--folder needs an absolute path") }
        guard let report else { return complain("--report is missing") }
        _ = fcntl(report, F_SETFD, FD_CLOEXEC)
        _ = clinux_set_process_name("ursa-rootless")
        _ = clinux_ignore_sigpipe()
        umask(0o077)
        do throws(UrsaError) {
            if isInner {
                try InnerHolder.run(folder: folder, report: report)
            } else {
                guard clinux_detach() >= 0 else { return complain("can't leave the caller's session") }
                try OuterHolder(folder: folder, report: report).run()
            }
            return 0
        } catch {
            Report.failure(error, report)
            return 1
        }
    }

    private static func complain(_ words: String) -> Int32 {
        try? writeAllBytes(2, Array("ursa-rootless: \(words)\n".utf8), "standard error")
        return 2
    }
}

/// The outcome of the start, told once to who started it.
enum Report {
    static func ready(_ fd: Int32) {
        try? writeAllBytes(fd, JSON.record(["ready": true]).line, "the report")
        close(fd)
    }
    static func failure(_ error: UrsaError, _ fd: Int32) {
        try? writeAllBytes(fd, JSON.record(["error": error.json]).line, "the report")
    }
}
