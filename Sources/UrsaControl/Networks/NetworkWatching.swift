import UrsaBase
import UrsaModel
import UrsaNet
import UrsaNetWatch

extension Ursa {
    /// The run folder's watcher.
    func watch(_ store: Store) throws(UrsaError) -> NetworkWatch { NetworkWatch(folder: try mark(store).runFolder) }

    /// Tells the watcher what will be right, before the host is changed, and starts it when it does not run. Without
    /// anything to watch it ends.
    func orderWatch(
        _ wish: HostWish, _ pending: PendingChange?, _ host: HostNetworks, _ store: Store
    ) throws(UrsaError) -> NetworkWatch.Start? {
        let mark = try mark(store)
        let watch = NetworkWatch(folder: mark.runFolder)
        // Nobody else can reach into an ordinary user's namespace, so there is nothing to watch but deadlines.
        guard pending != nil || !(wish.isEmpty || home.isRootless) else {
            try watch.end()
            return nil
        }
        let gateways = host.sharedGateways(of: wish.uplinks)
        let orders = WatchOrders(
            settle: [Programs.own(), "settle"], eventsPath: home.eventsPath, table: mark.tableName,
            links: host.ownLinks(of: wish), interfaces: Set(wish.uplinks.map(\.interface)).sorted(),
            needsForwarding: wish.networks.contains { $0.model != .isolated },
            watchesOthers: !wish.networks.isEmpty || !wish.bridges.isEmpty,
            uplinks: wish.uplinks.compactMap { uplink in
                let router = gateways[uplink.name].map {
                    WatchOrders.Router(address: $0.address, mac: $0.mac, asker: $0.asker)
                }
                let check = uplink.check.map {
                    WatchOrders.Check(target: $0.target, interval: $0.interval, threshold: $0.threshold)
                }
                guard router != nil || check != nil else { return nil }
                return WatchOrders.Uplink(
                    name: uplink.name, interface: uplink.interface, mark: uplink.mark, router: router, check: check)
            },
            deadline: pending?.deadline)
        UplinkHealth.forget(folder: mark.runFolder, except: Set(wish.uplinks.map(\.name)))
        do throws(UrsaError) {
            return try watch.order(orders, program: try Programs.keeper())
        } catch {
            notice("the networks are not watched: \(error.message)")
            return nil
        }
    }

    /// Says which uplinks can't be used; the others work without them.
    func tellTroubles(of wish: HostWish, _ host: HostNetworks) {
        guard let problems = try? host.problems(of: wish.uplinks) else { return }
        for (name, words) in problems.sorted(by: { $0.key < $1.key }) {
            notice("uplink \(name) is left out: \(words)")
        }
    }

    /// Whether an uplink works, as far as is known.
    func isHealthy(_ mark: HomeMark) -> (String) -> Bool {
        { name in UplinkHealth.read(folder: mark.runFolder, name: name)?.isHealthy ?? true }
    }

    // MARK: Changes that wait to be confirmed

    /// Takes a change back whose deadline is over. True when there was one.
    @discardableResult
    func takeBackOverdue(_ store: Store) throws(UrsaError) -> Bool {
        guard !store.isReadOnly, let pending = try store.read({ try $0.pending() }), pending.deadline.secondsLeft <= 0
        else { return false }
        return try takeBack(store) { $0.deadline.secondsLeft <= 0 }
    }

    /// Takes the change that waits back, if it is meant. Only the store: `converge` then follows.
    func takeBack(_ store: Store, where isMeant: (PendingChange) -> Bool = { _ in true }) throws(UrsaError) -> Bool {
        let undone = try store.write { db -> PendingChange? in
            // Another process may have been quicker.
            guard let pending = try db.pending(), isMeant(pending) else { return nil }
            try db.restore(pending.former)
            try db.forgetPending()
            return pending
        }
        if let undone { home.note("taken-back", "\(undone.what): it was not confirmed") }
        return undone != nil
    }

    /// Fails while a change waits to be confirmed: another one on top of it could not be taken back.
    func requireNothingPending(_ store: Store) throws(UrsaError) {
        guard let pending = try store.read({ try $0.pending() }) else { return }
        let left = Int(pending.deadline.secondsLeft.rounded(.up))
        throw UrsaError(
            .conflict, "\(pending.what) waits to be confirmed, for \(left) s more", place: home.folder,
            remedy: "`ursa net confirm` keeps it; else it is taken back by itself")
    }
}
