import GRDB
import Glibc
public import UrsaBase
import UrsaImages
import UrsaKeeper
import UrsaModel
import UrsaNet
import UrsaQEMU

extension Ursa {
    /// Starts machines, all at once; ones that run already are left alone.
    ///
    /// - Parameters:
    ///   - wait: return only when every machine is reachable.
    ///   - timeout: seconds to wait for that.
    /// - Throws: the first failure of each machine; machines that this call started are stopped again then, unless
    ///   only the waiting failed.
    public func start(
        _ names: [String], wait: Bool, timeout: Double, report: @escaping @Sendable (Report) -> Void
    ) throws(UrsaError) -> [MachineView] {
        let store = try Store(home: home)
        try finishLeftovers(store)
        let begun = Deadline.now
        _ = try launch(names, store, report)
        if wait { try waitUntilReachable(names, store, begun: begun, timeout: timeout, report: report) }
        var views: [MachineView] = []
        for name in names { views.append(try machine(name)) }
        return views
    }

    /// Starts machines that do not run: networks first, then all engines at the same moment. Returns whom it started.
    func launch(
        _ names: [String], _ store: Store, _ report: @escaping @Sendable (Report) -> Void
    ) throws(UrsaError) -> [String] {
        // Locks in order of names, so that two commands never wait for each other in a circle.
        var locks: [SharedLock] = []
        var records: [MachineRecord] = []
        for name in Set(names).sorted() {
            _ = try record(name, store)
            locks.append(SharedLock(try FileLock(home.machineLockPath(name))))
            let record = try record(name, store)  // it may have changed while we waited
            let state = home.runState(name)
            if state.isOrphan {
                _ = try Keeper.adopt(folder: home.machineFolder(name), keeperProgram: Programs.keeper(), seconds: 10)
                report(.machine(name, "runs; its keeper had died, a new one took over"))
                continue
            }
            if state.isLive { continue }
            for port in record.spec.publish { try HostPorts.requireFree(port, machine: name) }
            records.append(record)
        }
        guard !records.isEmpty else {
            try converge(store) { report(.line($0.line)) }
            return []
        }
        let starting = records.map(\.name)
        try store.write { db in for name in starting { try db.claim(name, .current) } }
        do {
            try converge(store) { report(.line($0.line)) }
            let accelerator = try Accelerators.choose(records.map(\.spec.accelerator), home: home, notice: notice)
            let host = try hostNetworks(store)
            let networks = try store.read { try $0.networks() }
            let keeper = try Programs.keeper()
            var work: [@Sendable () throws(UrsaError) -> String?] = []
            for (record, accelerator) in zip(records, accelerator) {
                work.append { () throws(UrsaError) -> String? in
                    do throws(UrsaError) {
                        try startEngine(record, accelerator, networks, host, keeper)
                        return nil
                    } catch {
                        throw error.at("machine \(record.name)")
                    }
                }
            }
            _ = try OSThread.concurrently(work)
            try store.write { db in for name in starting { try db.unclaim(name) } }
        } catch {
            for name in starting { try? killEngine(name) }
            try? store.write { db in for name in starting { try db.unclaim(name) } }
            try? converge(store) { _ in }
            throw error
        }
        for name in starting {
            home.note("started", machine: name, "engine runs")
            report(.machine(name, "running"))
        }
        locks.removeAll()
        return starting
    }

    private func startEngine(
        _ record: MachineRecord, _ accelerator: AcceleratorChoice, _ networks: [NetworkRecord], _ host: HostNetworks?,
        _ keeper: String
    ) throws(UrsaError) {
        let folder = home.machineFolder(record.name)
        guard File.isDirectory(folder) else {
            throw UrsaError(
                .io, "the folder of machine \(record.name) is gone", place: folder,
                remedy: "restore it, or `ursa rm \(record.name)` to forget the machine")
        }
        var taps: [SharedFD] = []
        var cards: [QEMUCard] = []
        for (position, card) in record.cards.enumerated() {
            let isKernel = networks.first { $0.spec.name == card.network }?.spec.model == .nat && host != nil
            if isKernel, let host {
                let tap = SharedFD(try host.openTap(network: card.network, name: Ursa.tapName(record, position)))
                cards.append(QEMUCard(mac: card.mac, backend: .tap(tap.raw)))
                taps.append(tap)
            } else {
                let isFirst = !cards.contains { if case .user = $0.backend { true } else { false } }
                cards.append(QEMUCard(mac: card.mac, backend: .user(isFirst ? record.spec.publish : [])))
            }
        }
        let launch = try QEMUEngine.launch(
            QEMUEngine.Request(
                name: record.name, identifier: record.id, spec: record.spec, machineType: record.machineType,
                accelerator: accelerator, image: record.image.engineFiles(folder: folder), cards: cards,
                user: home.isRoot ? Program.User(uid: record.uid, gid: record.uid) : nil,
                settle: [Programs.own(), "settle"], environment: ["URSA_HOME=\(home.folder)"],
                eventsPath: home.eventsPath))
        _ = try Keeper.start(launch, folder: folder, keeperProgram: keeper, seconds: 30)
        _ = taps.count  // the descriptors stay open until the keeper has its own
    }

    /// Name of a card's tap: `u`, six digits of the machine's id, `t`, the card's position; at most 15 characters.
    static func tapName(_ record: MachineRecord, _ position: Int) -> String { "u\(record.id.prefix(6))t\(position)" }
}

/// A lock that can be kept in an array; gone when the last reference is.
final class SharedLock: Sendable {
    private let lock: FileLock
    init(_ lock: consuming FileLock) { self.lock = lock }
}
