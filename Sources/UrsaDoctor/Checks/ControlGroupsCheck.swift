import Glibc

/// Control groups: which version, and which controllers this process may use.
struct ControlGroupsCheck: Check {
    let topic = "cgroups"
    private let mount = "/sys/fs/cgroup"
    private let wanted = ["cpu", "io", "memory", "pids"]

    func examine(_ host: HostFacts) -> [Finding] {
        if host.exists(mount + "/cgroup.controllers") { return [unified(host)] }
        let old = wanted.filter { host.exists("\(mount)/\($0 == "io" ? "blkio" : $0)") }
        if host.exists(mount + "/unified/cgroup.controllers") {
            return [
                note(
                    "hybrid: the controllers (\(old.joined(separator: ", "))) are on version 1; limits of machines need version 2"
                )
            ]
        }
        if !old.isEmpty {
            return [note("version 1 (\(old.joined(separator: ", "))): limits of machines need version 2")]
        }
        return [note("not mounted: no limits for machines")]
    }

    private func unified(_ host: HostFacts) -> Finding {
        // The line "0::/path" names our own group in version 2 (cgroups(7)).
        let own = host.lines("/proc/self/cgroup").first { $0.hasPrefix("0::") }.map { String($0.dropFirst(3)) } ?? "/"
        let isRoot = host.account.uid == 0
        let folder = isRoot ? mount : mount + (own == "/" ? "" : own)
        let controllers = (host.peek(folder + "/cgroup.controllers") ?? "").split(separator: " ").map(String.init)
        let missing = wanted.filter { !controllers.contains($0) }
        if !isRoot, access(host.path(folder), W_OK) != 0 {
            return note("version 2, but the group \(own) is not ours: no limits for machines without root")
        }
        return missing.isEmpty
            ? ok("version 2 with \(wanted.joined(separator: ", "))")
            : note("version 2 without \(missing.joined(separator: ", ")): such limits can't be set")
    }
}
