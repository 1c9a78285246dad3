import CLinux
import Glibc
import UrsaBase

/// What a process of the program does: listens to the kernel, asks uplinks, keeps the deadline, and has the host
/// brought in line when something is not as the orders say. It changes nothing itself.
final class Watcher {
    private let role: WatchRole
    private let folder: String
    private let loop: EventLoop
    private let settler: Settler
    private let partner: Partner
    private var orders: WatchOrders
    private var stamp: Stamp
    private var tables = TableEvents()
    private var routes = RouteEvents()
    private var tableListener: KernelListener?
    private var routeListener: KernelListener?
    private var checks: [UplinkCheck] = []
    private var routers: [RouterCheck] = []
    private let files: OwnedFD
    private var deadlineTimer: UInt64?

    /// Which version of the file was read.
    private struct Stamp: Equatable {
        var inode: UInt64 = 0
        var seconds = 0
        var nanoseconds = 0
        init(_ folder: String) {
            guard let status = File.status(folder + "/" + WatchOrders.fileName) else { return }
            inode = UInt64(status.st_ino)
            seconds = status.st_mtim.tv_sec
            nanoseconds = status.st_mtim.tv_nsec
        }
    }

    init(_ role: WatchRole, _ folder: String) throws(UrsaError) {
        self.role = role
        self.folder = folder
        loop = try EventLoop()
        settler = Settler(loop)
        partner = Partner(role.other, folder, loop)
        files = OwnedFD(try check(clinux_inotify(), "watch the run folder"))
        // IN_MOVED_TO, IN_DELETE, IN_DELETE_SELF.
        try check(clinux_inotify_watch(files.raw, folder, 0x80 | 0x200 | 0x400), "watch \(folder)")
        stamp = Stamp(folder)
        guard let orders = WatchOrders.read(folder) else {
            throw UrsaError(.notFound, "there are no orders", place: folder)
        }
        self.orders = orders
    }

    /// Serves until the orders are gone. `ready` is called once everything is listened to.
    func run(_ ready: () -> Void) throws(UrsaError) {
        try loop.add(files.raw, .read) { [weak self] _ in self?.readFolder() }
        if role == .watch { try listen() }
        take(orders, isFirst: true)
        ready()
        // Started for a deadline that is gone meanwhile: `stop` before `run` would count for nothing.
        if role == .timer, orders.deadline == nil { return }
        try loop.run()
    }

    private func listen() throws(UrsaError) {
        let tables = try KernelListener(NETLINK_NETFILTER, groups: TableEvents.groups)
        let routes = try KernelListener(NETLINK_ROUTE, groups: RouteEvents.groups)
        tableListener = tables
        routeListener = routes
        try loop.add(tables.descriptor, .read) { [weak self] _ in self?.readTables() }
        try loop.add(routes.descriptor, .read) { [weak self] _ in self?.readRoutes() }
    }

    // MARK: Orders

    private func readFolder() {
        var buffer = [UInt8](repeating: 0, count: 4096)
        while read(files.raw, &buffer, buffer.count) > 0 {}
        refresh()
    }

    /// Reads the orders again when they were replaced; ends without them.
    private func refresh() {
        let now = Stamp(folder)
        guard now != stamp else { return }
        stamp = now
        guard let new = WatchOrders.read(folder) else { return loop.stop() }
        take(new, isFirst: false)
    }

    private func take(_ new: WatchOrders, isFirst: Bool) {
        let before = orders
        orders = new
        if let timer = deadlineTimer { loop.cancel(timer) }
        deadlineTimer = nil
        if new.deadline != nil {
            partner.ensure()
            keepDeadline()
        } else {
            partner.forget()
            if role == .timer { return loop.stop() }
        }
        // What reading and starting took is not needed for listening.
        loop.after(seconds: 0.5) { _ = clinux_give_back_memory() }
        guard role == .watch, isFirst || new.uplinks != before.uplinks else { return }
        for check in checks where !new.uplinks.contains(check.uplink) { check.end() }
        checks.removeAll { !new.uplinks.contains($0.uplink) }
        for uplink in new.uplinks where uplink.check != nil && !checks.contains(where: { $0.uplink == uplink }) {
            begin(uplink)
        }
        for router in routers where !new.uplinks.contains(router.uplink) { router.end() }
        routers.removeAll { !new.uplinks.contains($0.uplink) }
        for uplink in new.uplinks where !routers.contains(where: { $0.uplink == uplink }) {
            if let router = RouterCheck(uplink, loop, { [weak self] mac in self?.moved(uplink, mac) }) {
                routers.append(router)
            }
        }
    }

    // MARK: Uplinks

    private func begin(_ uplink: WatchOrders.Uplink) {
        let known = UplinkHealth.read(folder: folder, name: uplink.name)
        let check = UplinkCheck(uplink, loop, isHealthy: known?.isHealthy ?? true) { [weak self] health in
            guard let self else { return }
            try? health.write(folder: folder, name: uplink.name)
            settler.ask("uplink \(uplink.name) \(health.isHealthy ? "works" : "fails"): \(health.words)", orders)
        }
        if let check { checks.append(check) }
        if known == nil {
            let unknown = UplinkHealth(isHealthy: true, since: wallClock(), words: "not asked yet")
            try? unknown.write(folder: folder, name: uplink.name)
        }
    }

    private func moved(_ uplink: WatchOrders.Uplink, _ mac: MACAddress) {
        settler.ask("the gateway of uplink \(uplink.name) has the Ethernet address \(mac)", orders)
    }

    // MARK: Deadline

    private func keepDeadline() {
        guard let deadline = orders.deadline else { return }
        let left = deadline.secondsLeft
        if left <= 0 {
            settler.ask("a change was not confirmed in time", orders)
            // Until the orders say that it was taken back.
            deadlineTimer = loop.after(seconds: 2) { [weak self] in self?.keepDeadline() }
        } else {
            // Looked at again after a while: the loop's clock stands still while the host sleeps.
            deadlineTimer = loop.after(seconds: min(left, 5)) { [weak self] in self?.keepDeadline() }
        }
    }

    // MARK: News

    private func readTables() {
        guard let listener = tableListener else { return }
        guard let messages = listener.receive() else { return overflow() }
        var meanings: [String] = []
        for message in messages {
            // Whoever changes something says in the orders first what will be right.
            if let meaning = tables.meaning(message, orders) { meanings.append(meaning) }
        }
        tell(meanings)
    }

    private func readRoutes() {
        guard let listener = routeListener else { return }
        guard let messages = listener.receive() else { return overflow() }
        refresh()
        tell(messages.compactMap { routes.meaning($0, orders) })
    }

    private func tell(_ meanings: [String]) {
        guard !meanings.isEmpty else { return }
        refresh()
        for meaning in meanings { settler.ask(meaning, orders) }
    }

    private func overflow() {
        refresh()
        settler.ask("more changes than could be listened to", orders)
    }
}
