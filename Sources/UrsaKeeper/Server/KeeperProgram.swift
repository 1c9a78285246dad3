import CLinux
import Glibc
import UrsaBase

/// The `ursa-keeper` program: reads its arguments, leaves its caller's session, serves.
public enum KeeperProgram {
    /// Runs the keeper with the arguments after the program's name; returns the exit status.
    ///
    /// Arguments: `--folder PATH` (the machine's folder), `--report FD` (pipe for the outcome of the start), `--lock FD`
    /// (the keeper's lock, held by the caller until now), `--adopt` (take over a living engine).
    public static func run(_ arguments: [String]) -> Int32 {
        var folder: String?
        var reportFD: Int32?
        var lockFD: Int32?
        var isAdopting = false
        var rest = arguments[...]
        while let word = rest.popFirst() {
            switch word {
            case "--folder": folder = rest.popFirst()
            case "--report": reportFD = rest.popFirst().flatMap { Int32($0) }
            case "--lock": lockFD = rest.popFirst().flatMap { Int32($0) }
            case "--adopt": isAdopting = true
            default: return complain("unknown argument \(word)")
            }
        }
        guard let folder, folder.hasPrefix("/") else { return complain("--folder needs an absolute path") }
        for fd in [reportFD, lockFD] { if let fd { _ = fcntl(fd, F_SETFD, FD_CLOEXEC) } }
        guard clinux_detach() >= 0 else { return complain("can't leave the caller's session") }
        _ = clinux_set_process_name("ursa-keeper")
        umask(0o077)
        chdir("/")
        _ = clinux_ignore_sigpipe()
        let report = StartReport(reportFD)
        do throws(UrsaError) {
            let server = try KeeperServer(
                folder: folder, lock: try lock(folder, lockFD), isAdopting: isAdopting, report: report)
            if isAdopting { try server.adopt() } else { try server.serve() }
            return 0
        } catch {
            report.give(.failure(error))
            return 1
        }
    }

    private static func lock(_ folder: String, _ inherited: Int32?) throws(UrsaError) -> FileLock {
        if let inherited { return FileLock(inherited: OwnedFD(inherited)) }
        guard let lock = try FileLock.attempt(folder + "/" + MachineFiles.lock) else {
            throw UrsaError(.conflict, "this machine has a keeper already", place: folder)
        }
        return lock
    }

    private static func complain(_ words: String) -> Int32 {
        try? writeAllBytes(2, Array("ursa-keeper: \(words)\n".utf8), "standard error")
        return 2
    }
}
