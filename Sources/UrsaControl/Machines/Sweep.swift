import GRDB
import Glibc
public import UrsaBase
import UrsaImages
import UrsaKeeper
import UrsaModel
import UrsaNet
import UrsaNetWatch
import UrsaRootless

extension Ursa {
    /// The networks of the host, nil without root.
    func hostNetworks(_ store: Store) throws(UrsaError) -> HostNetworks? {
        guard home.isRoot else { return nil }
        return HostNetworks(home: try mark(store))
    }

    /// The mark that this home's objects on the host carry.
    func mark(_ store: Store) throws(UrsaError) -> HomeMark {
        let identity = try store.read { try $0.fact("home") }
        return HomeMark(
            id: identity, isDefault: home.isDefault, folder: home.networkFolder,
            runFolder: home.isRootless ? home.rootlessFolder + "/run" : "/run/ursa/\(identity)",
            // The real one is root's; inside, names are asked of the networks' own servers.
            hostsFile: home.isRootless ? home.rootlessFolder + "/hosts" : "/etc/hosts")
    }

    /// Brings the host in line with what runs: finishes what killed commands left, gives machines whose keeper died a
    /// new one, mends or removes networks. Called by keepers when a machine has ended, by every command that changes
    /// something, and by people after damage.
    public func settle() throws(UrsaError) {
        let store = try Store(home: home)
        try finishLeftovers(store)
        adoptOrphans(store)
        try converge(store) { _ in }
    }

    /// Machines half made or half deleted by a command that no longer lives.
    func finishLeftovers(_ store: Store) throws(UrsaError) {
        try takeBackOverdue(store)
        let half = try store.read { db in
            let live = try db.liveClaims()
            return try db.machines().filter { $0.phase != .ready && !live.contains($0.name) }.map(\.name)
        }
        for name in half {
            // Who holds the lock is at work on it right now.
            _ = try FileLock.holdingIfFree(home.machineLocksPath, slot: FileLock.slot(name)) { () throws(UrsaError) in
                try? killEngine(name)
                try File.removeTree(home.machineFolder(name))
                try store.write { try $0.deleteMachine(name) }
                home.note("removed", machine: name, "left half made by a command that was ended")
            }
        }
    }

    /// Engines whose keeper is gone get a new keeper.
    func adoptOrphans(_ store: Store) {
        guard let machines = try? store.read({ try $0.machines() }) else { return }
        for machine in machines {
            let state = home.runState(machine.name)
            guard state.isOrphan else { continue }
            do throws(UrsaError) {
                _ = try FileLock.holdingIfFree(home.machineLocksPath, slot: FileLock.slot(machine.name)) {
                    () throws(UrsaError) in
                    _ = try Keeper.adopt(
                        folder: home.machineFolder(machine.name), keeperProgram: Programs.keeper(), seconds: 10)
                    home.note("adopted", machine: machine.name, "its keeper had died; a new one took over")
                }
            } catch {
                notice("machine \(machine.name) runs without a keeper and none could take over: \(error)")
            }
        }
    }

    /// Ends what runs of a machine without asking the guest.
    func killEngine(_ name: String) throws(UrsaError) {
        var state = home.runState(name)
        // The keeper, where there is one, ends the engine and writes down why.
        if state.keeperLives, let client = try? KeeperClient(folder: home.machineFolder(name)),
            (try? client.kill(seconds: 10)) != nil
        {
            state = home.runState(name)
        }
        guard let status = state.status else { return }
        if state.keeperLives, let keeper = status.keeper { keeper.signal(SIGKILL) }
        if state.engineLives, let engine = status.engine {
            engine.signal(SIGKILL)
            guard engine.waitForEnd(until: .after(seconds: 10)) else {
                throw UrsaError(
                    .timeout, "the engine of machine \(name) (pid \(engine.pid)) does not end",
                    remedy: "look for a hung disk or network file system")
            }
        }
    }

    /// Names of machines that run or that a living command is starting.
    func liveMachines(_ machines: [MachineRecord], claims: Set<String>) -> Set<String> {
        Set(machines.map(\.name).filter { claims.contains($0) || home.runState($0).isLive })
    }

    /// Makes the host's networks what the machines that live need, under the host lock.
    func converge(_ store: Store, report: (any Step) -> Void) throws(UrsaError) {
        guard let host = try hostNetworks(store) else { return }
        try FileLock.holding(home.hostLockPath) { () throws(UrsaError) in
            let wish = try wishes(store)
            let pending = try store.read { try $0.pending() }
            let watch = try orderWatch(wish, pending, host, store)
            for words in host.notices(wish) { notice(words) }
            let steps = try host.converge(wish, report: report)
            if home.isRootless { try settleRootless(wish, store) }
            watch?.wait()
            // Now the gateways' Ethernet addresses are known.
            if !wish.uplinks.isEmpty {
                _ = try orderWatch(wish, pending, host, store)
                tellTroubles(of: wish, host)
            }
            for step in steps where step.line.contains("namespace") {
                let kind = step.line.hasPrefix("-") ? "network-down" : "network-up"
                home.note(kind, HostNetworks.network(of: step) ?? step.line)
            }
        }
    }

    /// The same, and tells what was done once all of it is.
    func convergeAndTell(_ store: Store, _ report: (Report) -> Void) throws(UrsaError) {
        var done: [any Step] = []
        try converge(store) { done.append($0) }
        for line in StepGroups(done).lines { report(.line(line.description)) }
    }

    func wishes(_ store: Store) throws(UrsaError) -> HostWish {
        let (networks, machines, claims) = try store.read { db in
            (try db.networks(), try db.machines(), try db.liveClaims())
        }
        return try wishes(
            store, networks: networks, machines: machines, live: liveMachines(machines, claims: claims),
            record: try store.read { try $0.host() })
    }

    /// The same of records that may only be imagined, as if `live` ran.
    func wishes(
        _ store: Store, networks: [NetworkRecord], machines: [MachineRecord], live: Set<String>, record: HostRecord?
    ) throws(UrsaError) -> HostWish {
        Wishes.host(networks, machines, live: live, record: record, isHealthy: isHealthy(try mark(store)))
    }
}

/// Our own programs, found beside the one that runs.
enum Programs {
    /// The keeper: beside `ursa`, or in `../libexec/ursa`; URSA_KEEPER names another (for tests of a build).
    static func keeper() throws(UrsaError) -> String { try find("ursa-keeper", variable: "URSA_KEEPER") }

    /// The native engine's monitor, found in the same way; URSA_VMM names another.
    static func monitor() throws(UrsaError) -> String { try find(NativeEngine.programName, variable: "URSA_VMM") }

    /// The holder of ordinary users' private hosts, found in the same way; URSA_ROOTLESS_HOLDER names another.
    static func rootless() throws(UrsaError) -> String { try find("ursa-rootless", variable: "URSA_ROOTLESS_HOLDER") }

    private static func find(_ name: String, variable: String) throws(UrsaError) -> String {
        if let asked = getenv(variable).map({ String(cString: $0) }), !asked.isEmpty { return asked }
        let folder = Path.parent(own())
        for candidate in ["\(folder)/\(name)", "\(Path.parent(folder))/libexec/ursa/\(name)"]
        where access(candidate, X_OK) == 0 {
            return candidate
        }
        throw UrsaError(
            .notFound, "the program \(name) is missing", place: folder,
            remedy: "run `make install` again, or name it with \(variable)")
    }

    /// The running program's own path.
    static func own() -> String {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &buffer, buffer.count - 1)
        guard count > 0 else { return "/usr/local/bin/ursa" }
        return String(decoding: buffer[0..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
