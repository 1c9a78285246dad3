import Glibc
public import UrsaBase

/// Gives orders to the watcher of a home's networks, and starts it when it does not run.
public struct NetworkWatch: Sendable {
    /// The home's run folder.
    public let folder: String

    /// The watcher of a home.
    public init(folder: String) { self.folder = folder }

    private var path: String { folder + "/" + WatchOrders.fileName }

    /// The orders that are there.
    public var orders: WatchOrders? { WatchOrders.read(folder) }

    /// Whether the watcher runs.
    public var isRunning: Bool {
        (try? FileLock.holdingIfFree(WatchRole.watch.lockPath(folder), { () throws(UrsaError) in })) ?? nil == nil
    }

    /// Writes the orders and makes sure that somebody follows them. Called before the host is changed, so that the
    /// change is not taken for damage; `Start.wait` afterwards, so that no damage from then on is missed.
    ///
    /// - Parameter program: path of `ursa-keeper`, a role of which the watcher is.
    public func order(_ orders: WatchOrders, program: String) throws(UrsaError) -> Start {
        try File.makeDirectory(folder)
        if self.orders != orders { try File.replace(path, orders.json.line, durable: false) }
        guard let lock = try FileLock.attempt(WatchRole.watch.lockPath(folder)) else { return Start(nil) }
        // Let go only now: the new process takes it itself, and two that start it find it taken by one.
        close(lock)
        let pipe = try makePipe()
        var watcher = Program(program, ["--watch", folder, "--report", "3"])
        watcher.descriptors = [3: pipe.write.raw]
        let child = try watcher.start()
        let reader = SharedFD(try pipe.read.duplicate())
        close(pipe)
        // It goes on in a child of its own; the first process ends at once.
        _ = try child.wait()
        return Start(reader)
    }

    /// Takes the orders away: the watcher ends.
    public func end() throws(UrsaError) {
        try File.remove(path)
        UplinkHealth.forget(folder: folder, except: [])
        for role in [WatchRole.watch, .timer] {
            // The locks stay: a file that is taken away while somebody opens it would be no lock any more.
            if (try? FileLock.holdingIfFree(role.lockPath(folder), { () throws(UrsaError) in })) ?? nil != nil {
                try File.remove(role.pidPath(folder))
            }
        }
    }

    private func close(_ lock: consuming FileLock) {}
    private func close(_ pipe: consuming Pipe) {}

    /// A watcher that is being started.
    public struct Start: Sendable {
        private let reader: SharedFD?
        init(_ reader: SharedFD?) { self.reader = reader }

        /// Waits until it listens, or has given up; two seconds at most.
        public func wait() {
            guard let reader else { return }
            var waiting = pollfd(fd: reader.raw, events: Int16(POLLIN), revents: 0)
            _ = poll(&waiting, 1, 2000)
        }
    }
}
