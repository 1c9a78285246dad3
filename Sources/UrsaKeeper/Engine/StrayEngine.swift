import Glibc
import UrsaBase

/// Finds an engine that no status names: its keeper was killed in the moment between starting it and writing so down.
///
/// Nobody was told that such an engine runs, so it is ended before the machine is started again.
enum StrayEngine {
    /// The variable that each engine carries in its environment.
    static func mark(_ folder: String) -> String { "URSA_MACHINE_FOLDER=\(folder)" }

    /// Ends the stray engine of the machine in `folder`, if there is one.
    ///
    /// - Parameter socket: name of the monitor's socket: as long as nobody listens there, no engine runs and nothing is
    ///   searched.
    /// - Throws: `.conflict` when somebody listens who can't be found or does not end.
    static func end(folder: String, socket: String) throws(UrsaError) {
        let deadline = Deadline.after(seconds: 5)
        // A process between fork and exec listens already but shows its parent's environment, and one that was killed
        // holds its sockets until the kernel has taken it apart: look again for a while.
        while (try? UnixSocket.connect(folder + "/" + socket)) != nil {
            killMarked(folder)
            guard deadline.isPast else {
                pause(milliseconds: 10)
                continue
            }
            throw UrsaError(
                .conflict, "an engine of this machine runs that its status does not name", place: folder,
                remedy: "end the process that listens at \(folder)/\(socket)")
        }
    }

    private static func killMarked(_ folder: String) {
        let wanted = Array(mark(folder).utf8)
        for name in File.list("/proc") {
            guard let pid = Int32(name), let identity = ProcessIdentity(running: pid),
                let environment = try? File.read("/proc/\(pid)/environ", limit: 4 << 20),
                environment.split(separator: 0).contains(where: { $0.elementsEqual(wanted) })
            else { continue }
            identity.signal(SIGKILL)
            _ = identity.waitForEnd(until: .after(seconds: 10))
        }
    }
}
