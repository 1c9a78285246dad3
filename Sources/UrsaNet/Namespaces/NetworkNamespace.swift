import CLinux
import Glibc
import UrsaBase

/// A named network namespace, kept as ip-netns(8) keeps them: a bind mount below /run/netns, so that a person's own
/// `ip netns exec` works and a namespace lives on without any process.
struct NetworkNamespace: Sendable, Hashable {
    /// Where named namespaces are mounted; `ip netns` knows this folder.
    static let folder = "/run/netns"
    /// The name, as `ip netns list` prints it.
    let name: String
    /// The bind mount's path.
    var path: String { Self.folder + "/" + name }

    /// A descriptor of the namespace of the calling thread.
    static func current() throws(UrsaError) -> OwnedFD {
        // Not /proc/self: that is the process's first thread, which may be in another namespace.
        try File.open("/proc/thread-self/ns/net", O_RDONLY)
    }

    /// A descriptor of the namespace, or nil when there is none; a left-over file that is no namespace counts as none.
    func open() throws(UrsaError) -> OwnedFD? {
        var here = stat()
        var own = stat()
        // All namespaces are on one pseudo file system (nsfs), so they share its device number.
        guard stat(path, &here) == 0, stat("/proc/thread-self/ns/net", &own) == 0, here.st_dev == own.st_dev
        else { return nil }
        return try File.open(path, O_RDONLY)
    }

    /// Whether the namespace is there.
    var exists: Bool {
        var here = stat()
        var own = stat()
        return stat(path, &here) == 0 && stat("/proc/thread-self/ns/net", &own) == 0 && here.st_dev == own.st_dev
    }

    /// Runs `body` on a thread of its own inside the namespace. Throws `.notFound` when there is none.
    func run<R: Sendable>(_ body: @escaping @Sendable () throws(UrsaError) -> R) throws(UrsaError) -> R {
        guard let fd = try open() else { throw UrsaError(.notFound, "there is no network namespace \(name)") }
        let raw = fd.raw
        return try OSThread.run { () throws(UrsaError) -> R in
            try check(clinux_setns_network(raw), "enter the network namespace \(name)")
            return try body()
        }
    }

    /// Makes /run/netns a shared mount, as `ip netns` does, so that services with mount namespaces of their own see
    /// new namespaces too. Once per boot.
    static func prepareFolder() throws(UrsaError) {
        try File.makeDirectory(folder)
        // The lock that ip-netns(8) takes for the same work; two mounts over each other would hide namespaces.
        let lock = try File.open(folder, O_RDONLY | O_DIRECTORY)
        try retrying("lock \(folder)") { flock(lock.raw, LOCK_EX) }
        // Field 5 of mountinfo is the mount point, see proc(5).
        let mounts = (try? File.readText("/proc/thread-self/mountinfo")) ?? ""
        if mounts.split(separator: "\n").contains(where: { $0.split(separator: " ").dropFirst(4).first ?? "" == folder }
        ) {
            return
        }
        try check(clinux_make_shared(folder), "share \(folder)")
    }

    /// Makes the namespace and runs `body` inside. `.conflict` when it exists.
    func create(_ body: @escaping @Sendable () throws(UrsaError) -> Void) throws(UrsaError) {
        guard !exists else { throw UrsaError(.conflict, "the network namespace \(name) exists") }
        _ = try File.open(path, O_RDONLY | O_CREAT, mode: 0)
        try OSThread.run { () throws(UrsaError) in
            try check(clinux_unshare_network(), "make a network namespace")
            // Set up first, named after: a kill in between leaves nothing, since the namespace dies with the thread.
            try body()
            try bindCurrent()
        }
    }

    /// Gives the calling thread's namespace this name.
    private func bindCurrent() throws(UrsaError) {
        try check(clinux_bind_mount("/proc/thread-self/ns/net", path), "name the network namespace \(name)")
    }

    /// Gives the namespace of a process this name, when the name is free: finds a namespace again whose mount was
    /// taken away while a process lives in it.
    func adopt(process: Int32) throws(UrsaError) {
        guard !exists else { return }
        _ = try File.open(path, O_RDONLY | O_CREAT, mode: 0)
        try check(clinux_bind_mount("/proc/\(process)/ns/net", path), "name the network namespace \(name) again")
    }

    /// Takes the name away; the kernel takes the namespace apart when nothing uses it. A missing one is fine.
    func remove() throws(UrsaError) {
        while exists {
            try check(clinux_unmount_detach(path), "unmount the network namespace \(name)")
        }
        try File.remove(path)
    }
}
