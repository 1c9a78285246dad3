import CLinux
import GRDB
import Glibc
public import UrsaBase
public import UrsaImages
import UrsaKeeper
import UrsaModel
import UrsaNet

/// How a console is attached.
public enum ConsoleMode: Sendable {
    /// What the person types goes to the machine.
    case readWrite
    /// The person only watches.
    case readOnly
}

extension Ursa {
    /// All machines, in the order in which they were made. Takes no lock and waits for nobody.
    public func machines() throws(UrsaError) -> [MachineView] { try listing().machines }

    /// One machine.
    ///
    /// - Throws: `.notFound` with the nearest name.
    public func machine(_ name: String) throws(UrsaError) -> MachineView {
        try views([name], try Store(home: home))[0]
    }

    /// Machines by name, in that order.
    func views(_ names: [String], _ store: Store) throws(UrsaError) -> [MachineView] {
        let claims = try store.read { try $0.liveClaims() }
        var result: [MachineView] = []
        for name in names { result.append(view(try record(name, store), isClaimed: claims.contains(name))) }
        return result
    }

    private func view(_ record: MachineRecord, isClaimed: Bool) -> MachineView {
        view(record, home.runState(record.name), isClaimed: isClaimed)
    }

    func view(_ record: MachineRecord, _ run: RunState, isClaimed: Bool) -> MachineView {
        var state = MachineView.State.stopped
        var reason = run.status?.reason
        if run.isOrphan {
            state = .orphaned
        } else if run.isLive {
            state =
                switch run.status?.state {
                case .starting: .starting
                case .paused: .paused
                case .stopping: .stopping
                case .restarting: .restarting
                default: .running
                }
            if state != .restarting { reason = nil }
        } else if isClaimed {
            state = .starting
        } else if run.status?.failed == true {
            state = .failed
        }
        let used = Engines.used(folder: home.machineFolder(record.name))
        return MachineView(
            name: record.name, state: state, reason: reason, spec: record.spec, project: record.project,
            cards: record.cards, started: run.isLive ? run.status?.started : nil, made: record.made,
            restarts: run.isLive ? run.status?.restarts ?? 0 : 0,
            enginePid: run.engineLives ? run.status?.engine?.pid : nil,
            keeperPid: run.keeperLives ? run.status?.keeper?.pid : nil,
            engine: used?.engine, accelerator: run.isLive ? used?.accelerator : nil,
            machineType: record.machineType, vsock: record.vsock(folder: home.machineFolder(record.name)))
    }

    /// Everything that is known of one machine.
    public func inspect(_ name: String) throws(UrsaError) -> JSON {
        let store = try Store(home: home)
        let record = try record(name, store)
        let claims = try store.read { try $0.liveClaims() }
        let folder = home.machineFolder(name)
        let view = view(record, isClaimed: claims.contains(name))
        let run = home.runState(name)
        var engine: JSON?
        if run.engineLives, run.keeperLives, let client = try? KeeperClient(folder: folder),
            let answer = try? client.qmp("query-status")
        {
            engine = answer
        }
        let all = try networks().filter { network in record.cards.contains { $0.network == network.spec.name } }
        return .record([
            "machine": view.json,
            "id": .string(record.id),
            "spec": record.spec.json,
            "image": record.image.json,
            "user": .integer(Int64(record.uid)),
            "folder": .string(folder),
            "files": .record([
                "disk": File.exists(folder + "/disk.qcow2") ? .string(folder + "/disk.qcow2") : nil,
                "console": .string(folder + "/console.log"), "qmp": .string(folder + "/qmp.sock"),
            ]),
            "taps": .array(record.cards.indices.map { .string(Ursa.tapName(record, $0)) }),
            "networks": .array(all.map(\.json)),
            "status": (try? JSON.parse(File.read(folder + "/status.json"))),
            "commandLine": (try? KeeperLaunch.read(folder: folder)).map {
                .array(([$0.program] + $0.arguments).map(JSON.string))
            },
            "engine": engine,
        ])
    }

    /// A connected socket with the console's raw bytes: first what was printed since power-on, then what comes.
    public func console(_ name: String, mode: ConsoleMode, replay: Bool) throws(UrsaError) -> OwnedFD {
        let store = try Store(home: home)
        _ = try record(name, store)
        var state = home.runState(name)
        if state.isOrphan {
            adoptOrphans(store)
            state = home.runState(name)
        }
        guard state.keeperLives else {
            throw UrsaError(
                .conflict, "machine \(name) is not running",
                remedy: "`ursa start \(name)`; `ursa logs \(name)` shows its last console")
        }
        return try KeeperClient(folder: home.machineFolder(name)).console(
            mode == .readOnly ? .readOnly : .readWrite, replay: replay)
    }

    /// Which log of a machine.
    public enum LogKind: String, Sendable, CaseIterable {
        /// What the machine printed on its serial console.
        case console
        /// What the engine itself printed.
        case engine
    }

    /// The files of a log, oldest first; they may be missing when the machine never started.
    public func logPaths(_ name: String, kind: LogKind) throws(UrsaError) -> [String] {
        let store = try Store(home: home)
        _ = try record(name, store)
        let path = home.machineFolder(name) + "/\(kind.rawValue).log"
        return [path + ".1", path].filter { File.exists($0) }
    }

    /// The image store with the catalogue of this host.
    public var images: ImageStore {
        get throws(UrsaError) { ImageStore(folder: home.imagesFolder, recipes: try Catalogues.recipes(home)) }
    }

    /// Names of the machines that were made from an image.
    public func imageUsers(_ image: String) throws(UrsaError) -> [String] {
        guard File.exists(home.storePath) else { return [] }
        let store = try Store(home: home)
        return try store.read { try $0.machines() }.filter { $0.spec.image == image || $0.image.identifier == image }
            .map(\.name)
    }

    /// Identifiers of the image versions that machines were made from.
    public func usedImages() throws(UrsaError) -> Set<String> {
        guard File.exists(home.storePath) else { return [] }
        return Set(try Store(home: home).read { try $0.machines() }.map(\.image.identifier))
    }

    /// What machines use now; ones that don't run are left out.
    public func usage(_ names: [String]) throws(UrsaError) -> [UsageView] {
        let store = try Store(home: home)
        let records = try store.read { try $0.machines() }.filter { names.isEmpty || names.contains($0.name) }
        let host = try hostNetworks(store)
        let counters = Dictionary(
            Set(records.flatMap { $0.cards.map(\.network) }).map { ($0, host?.counters(network: $0) ?? [:]) },
            uniquingKeysWith: { first, _ in first })
        return records.compactMap { record -> UsageView? in
            let run = home.runState(record.name)
            guard run.engineLives, let pid = run.status?.engine?.pid else { return nil }
            var view = ProcessUsage.view(record, engine: pid, keeper: run.keeperLives ? run.status?.keeper?.pid : nil)
            for (position, card) in record.cards.enumerated() {
                guard let tap = counters[card.network]?[Ursa.tapName(record, position)] else { continue }
                // What the host sends to a tap is what the guest receives.
                view.received = (view.received ?? 0) &+ tap.sent
                view.sent = (view.sent ?? 0) &+ tap.received
            }
            return view
        }
    }
}
