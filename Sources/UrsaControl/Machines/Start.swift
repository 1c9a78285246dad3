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
        return try views(names, store)
    }

    /// Starts machines that do not run: networks first, then all engines at the same moment. Returns whom it started.
    func launch(
        _ names: [String], _ store: Store, _ report: @escaping @Sendable (Report) -> Void
    ) throws(UrsaError) -> [String] {
        // Locks in order of names, so that two commands never wait for each other in a circle.
        var locks: [SharedLock] = []
        var records: [MachineRecord] = []
        for name in Set(names).sorted() {
            locks.append(SharedLock(try FileLock(home.machineLocksPath, slot: FileLock.slot(name))))
            let record = try record(name, store)
            let state = home.runState(name)
            if state.isOrphan {
                _ = try Keeper.adopt(folder: home.machineFolder(name), keeperProgram: Programs.keeper(), seconds: 10)
                report(.machine(name, "runs; its keeper had died, a new one took over"))
                continue
            }
            if state.isLive { continue }
            // A keeper tells the end of its machine a moment before it leaves, and the taps with it.
            if state.keeperLives { _ = state.status?.keeper?.waitForEnd(until: .after(seconds: 5)) }
            // An ordinary user's ports are opened by the holder of the private host, which tells.
            if !home.isRootless {
                for port in record.spec.publish { try HostPorts.requireFree(port, machine: name) }
            }
            records.append(record)
        }
        guard !records.isEmpty else {
            try convergeAndTell(store, report)
            return []
        }
        // A machine that no engine can run is refused before any network is made for it.
        let engines = try engines(records, store)
        let starting = records.map(\.name)
        try store.write { db in for name in starting { try db.claim(name, .current) } }
        do {
            try startNetworksAndEngines(records, engines, store, report)
            try store.write { db in for name in starting { try db.unclaim(name) } }
        } catch {
            for name in starting { try? killEngine(name) }
            try? store.write { db in for name in starting { try db.unclaim(name) } }
            try? converge(store) { _ in }
            throw error
        }
        for name in starting {
            report(.machine(name, "running"))
        }
        locks.removeAll()
        return starting
    }

    /// Networks and engines at the same time: an engine waits only for the bridge that its taps go to, not for DHCP, names
    /// and firewall, which its guest needs much later. That is a third of the time of a start.
    private func startNetworksAndEngines(
        _ records: [MachineRecord], _ engines: [Engine], _ store: Store, _ report: @escaping @Sendable (Report) -> Void
    ) throws(UrsaError) {
        let networks = Locked<Result<Void, UrsaError>?>(nil)
        let worker = try OSThread {
            let result: Result<Void, UrsaError>
            do throws(UrsaError) {
                try convergeAndTell(store, report)
                result = .success(())
            } catch { result = .failure(error) }
            networks.withLock { $0 = result }
        }
        let machines: Result<Void, UrsaError>
        do throws(UrsaError) {
            machines = .success(try startEngines(records, engines, store) { networks.withLock { $0 != nil } })
        } catch { machines = .failure(error) }
        worker.join()
        // Where the network failed, the engines' complaint is only its echo.
        try networks.withLock { $0 }?.get()
        try machines.get()
    }

    /// What runs each of these machines this time.
    private func engines(_ records: [MachineRecord], _ store: Store) throws(UrsaError) -> [Engine] {
        let networks = try store.read { try $0.networks() }
        let wishes = records.map { record in
            let cards = record.cards.map { card in
                home.isRoot && networks.contains { $0.spec.name == card.network && $0.hasTaps }
            }
            let files = record.engineFiles(folder: home.machineFolder(record.name))
            return Engines.Wish(spec: record.spec, lacks: NativeEngine.lacks(record.spec, images: files, cards: cards))
        }
        return try Engines.choose(wishes, home: home, notice: notice)
    }

    private func startEngines(
        _ records: [MachineRecord], _ engines: [Engine], _ store: Store,
        networksAreDone: @escaping @Sendable () -> Bool
    ) throws(UrsaError) {
        let host = try hostNetworks(store)
        let networks = try store.read { try $0.networks() }
        let qemu =
            engines.contains { $0 != .native } ? try QEMUProbe.find(cache: home.qemuCachePath) : nil
        let keeper = try Programs.keeper()
        try OSThread.concurrently(Array(zip(records, engines))) { (record, engine) throws(UrsaError) in
            try startEngine(record, engine, qemu, networks, host, keeper, networksAreDone)
        }
    }

    private func startEngine(
        _ record: MachineRecord, _ engine: Engine, _ qemu: QEMUInstallation?, _ networks: [NetworkRecord],
        _ host: HostNetworks?,
        _ keeper: String, _ networksAreDone: () -> Bool
    ) throws(UrsaError) {
        let folder = home.machineFolder(record.name)
        guard File.isDirectory(folder) else {
            throw UrsaError(
                .io, "the folder of machine \(record.name) is gone", place: folder,
                remedy: "restore it, or `ursa rm \(record.name)` to forget the machine")
        }
        var taps: [SharedFD] = []
        var cards: [QEMUEngine.NIC] = []
        let queues = Engines.queuePairs(cpus: record.spec.cpus, cards: record.cards.count, engine)
        for (position, card) in record.cards.enumerated() {
            if let network = networks.first(where: { $0.spec.name == card.network }), network.hasTaps, let host {
                let name = Ursa.tapName(record, position)
                let nic = position < record.spec.networks.count ? record.spec.networks[position] : nil
                taps += try openPort(name, network, nic, queues: queues, host, networksAreDone)
                let ports = host.mtu(ofTap: name, network: card.network)
                let mtu = [ports, nic?.mtu].compactMap { $0 }.min()
                cards.append(hasTaps ? .tap(mac: card.mac, mtu: mtu, queues: queues) : .frames(mac: card.mac, mtu: mtu))
            } else {
                cards.append(.user(mac: card.mac))
            }
        }
        // An ordinary user has one user id, inside and outside.
        let user = home.isRoot && !home.isRootless ? Program.User(uid: record.uid, gid: record.uid) : nil
        let launch = try launch(record, engine, qemu, folder: folder, cards: cards, user: user)
        var descriptors: [Int32: Int32] = [:]
        for (number, tap) in zip(launch.inherited, taps) { descriptors[number] = tap.raw }
        // The descriptors stay open until the keeper has its own.
        defer { withExtendedLifetime(taps) {} }
        do throws(UrsaError) {
            _ = try Keeper.start(launch, folder: folder, taps: descriptors, keeperProgram: keeper, seconds: 30)
        } catch {
            throw error.at("machine \(record.name)")
        }
    }

    private func launch(
        _ record: MachineRecord, _ engine: Engine, _ qemu: QEMUInstallation?, folder: String, cards: [QEMUEngine.NIC],
        user: Program.User?
    ) throws(UrsaError) -> KeeperLaunch {
        let images = record.engineFiles(folder: folder)
        let uuid = Ursa.uuid(record.id)
        let settle = [Programs.own(), "settle"]
        // The kernel moves packets faster than any engine; the keeper opens the device.
        let usesVhost = engine != .qemu(.tcg) && access("/dev/vhost-net", R_OK | W_OK) == 0
        guard case .qemu(let accelerator) = engine, let qemu else {
            let vsock = record.vsock(folder: folder)
            try vsock?.prepare(user)
            return try NativeEngine.make(
                record.spec, identity: record.id, uuid: uuid, program: Programs.monitor(), images: images, nics: cards,
                user: user, usesVhost: usesVhost, settle: settle, eventsPath: home.eventsPath, vsock: vsock)
        }
        // A machine that was made for the other engine takes what this QEMU has.
        let machineType = record.machineType == NativeEngine.machineType ? nil : record.machineType
        return try QEMUEngine.make(
            record.spec, identity: record.id, uuid: uuid, qemu: qemu, machineType: machineType,
            accelerator: accelerator, images: images, nics: cards,
            user: accelerator == .kvm ? user.map(QEMUEngine.withKVM) : user, usesVhost: usesVhost, settle: settle,
            eventsPath: home.eventsPath)
    }

    /// Whether machines get taps. The tun node is closed to ordinary users on some systems; root always has it.
    private var hasTaps: Bool { !home.isRootless || HostNetworks.hasTaps }

    /// Opens a port as soon as the bridge is there; gives up when the networks are done and it is not.
    private func openPort(
        _ name: String, _ network: NetworkRecord, _ nic: NICSpec?, queues: Int, _ host: HostNetworks,
        _ networksAreDone: () -> Bool
    ) throws(UrsaError) -> [SharedFD] {
        while true {
            let isLastChance = networksAreDone()
            do throws(UrsaError) {
                let isolated = nic?.isIsolated ?? false
                guard hasTaps else {
                    return [SharedFD(try openFrames(name, network.spec.name, isIsolated: isolated, host))]
                }
                return try host.openTap(
                    network: network.spec.name, name: name, queues: queues, isIsolated: isolated,
                    bridge: network.spec.bridge)
            } catch {
                guard error.code == .notFound, !isLastChance else { throw error }
            }
            pause(milliseconds: 1)
        }
    }

    /// The machine's id in the form of RFC 4122.
    static func uuid(_ id: String) -> String {
        let digits = Array(id)
        let cuts = [0, 8, 12, 16, 20, 32]
        return zip(cuts, cuts.dropFirst()).map { String(digits[min($0, digits.count)..<min($1, digits.count)]) }
            .joined(separator: "-")
    }

    /// Name of a card's tap: `u`, six digits of the machine's id, `t`, the card's position; at most 15 characters.
    static func tapName(_ record: MachineRecord, _ position: Int) -> String { "u\(record.id.prefix(6))t\(position)" }
}

/// A lock that can be kept in an array; gone when the last reference is.
final class SharedLock: Sendable {
    private let lock: FileLock
    init(_ lock: consuming FileLock) { self.lock = lock }
}

extension MachineRecord {
    /// What the engine starts from: the image's files and the machine's own.
    func engineFiles(folder: String) -> QEMUEngine.Images {
        var files = QEMUEngine.Images()
        if File.exists(folder + "/disk.qcow2") {
            files.disk = .init(path: folder + "/disk.qcow2", format: .qcow2)
            if let base = image.disk {
                files.backing = [.init(path: base.path, format: base.format == .raw ? .raw : .qcow2)]
            }
        }
        if case .kernel(let kernel) = image.boot {
            files.kernel = kernel.kernel
            files.initrd = kernel.initrd
            files.kernelArguments = kernel.arguments + " ursa.hostname=\(name)"
        }
        if let kernel = image.directKernel {
            let words = image.boot == .disk ? kernel.arguments : files.kernelArguments
            files.directKernel = .init(kernel: kernel.kernel, initrd: kernel.initrd, arguments: words)
        }
        if File.exists(folder + "/seed.iso") { files.seed = folder + "/seed.iso" }
        return files
    }
}
