import GRDB
import Glibc
public import UrsaBase
import UrsaImages
public import UrsaModel
import UrsaNet
import UrsaQEMU

extension Ursa {
    /// Makes one machine outside of any project: name, addresses, disk. It is not started.
    ///
    /// - Throws: `.conflict` when the name, an address or a port is taken; `.invalidSpec` for a wrong setting.
    public func create(_ machine: MachineSpec) throws(UrsaError) -> MachineView {
        let store = try Store(home: home)
        try finishLeftovers(store)
        let image = try ensureImage(machine.image)
        let known = try store.read { try $0.networks() }
        var networks: [NetworkSpec] = []
        for nic in machine.networks {
            if let record = known.first(where: { $0.spec.name == nic.network }) {
                networks.append(record.spec)
            } else if nic.network == "default" {
                networks.append(NetworkSpec(name: "default"))
            } else {
                let near = nearMiss(nic.network, among: known.map(\.spec.name) + ["default"])
                throw UrsaError(
                    .notFound, "there is no network \(nic.network)", place: "--network",
                    remedy: near.map { "did you mean \($0)?" }
                        ?? "`ursa net ls` lists the networks; `default` always works")
            }
        }
        try make(machine, image, networks, project: nil, store)
        return try self.machine(machine.name)
    }

    /// The image, built or pulled when it is missing.
    func ensureImage(_ name: String) throws(UrsaError) -> Image {
        try images.ensure(name, progress: progress)
    }

    /// Gives out what the machine needs and makes its folder. Killed half way, the next command removes it.
    ///
    /// - Returns: false when another command made the same machine of the same project meanwhile.
    @discardableResult
    func make(
        _ spec: MachineSpec, _ image: Image, _ networks: [NetworkSpec], project: String?, _ store: Store
    ) throws(UrsaError) -> Bool {
        try FileLock.holding(home.machineLocksPath, slot: FileLock.slot(spec.name)) { () throws(UrsaError) -> Bool in
            let old = try store.read { try $0.machines(named: spec.name).first }
            if let old, project != nil, old.project == project, old.phase == .ready, old.spec == spec { return false }
            try makeLocked(spec, image, networks, project, store)
            return true
        }
    }

    private func makeLocked(
        _ spec: MachineSpec, _ image: Image, _ networks: [NetworkSpec], _ project: String?, _ store: Store
    ) throws(UrsaError) {
        if let fault = Ursa.memoryFault(spec, image) { throw fault }
        let machineType =
            spec.engine == .native
            ? NativeEngine.machineType : try QEMUProbe.find(cache: home.qemuCachePath).machineType
        let host = try hostNetworks(store)
        if let size = spec.disk, let disk = image.disk, size < disk.virtualSize {
            throw UrsaError(
                .invalidSpec, "a disk of \(size) is smaller than image \(spec.image) (\(disk.virtualSize.rounded))",
                place: "machine \(spec.name)", remedy: "ask for at least \(disk.virtualSize)")
        }
        let record = try store.write { db in
            if let old = try db.machines(named: spec.name).first {
                throw UrsaError(
                    .conflict, "machine \(spec.name) exists already",
                    place: old.project.map { "made by \($0)" } ?? "made by `ursa run`",
                    remedy: "choose another name, or `ursa rm \(spec.name)`")
            }
            let allocator = Allocator(db: db, home: home, host: host)
            var records: [String: NetworkRecord] = [:]
            for network in networks { records[network.name] = try allocator.network(network, project: project) }
            let identity = try db.fact("home")
            let made = wallClock()
            var record = MachineRecord(
                name: spec.name, id: String(hexadecimal(SHA256.digest("\(identity)/\(spec.name)/\(made)")).prefix(32)),
                project: project, spec: spec, image: image, machineType: machineType, uid: try allocator.user(),
                made: made, phase: .creating, cards: try allocator.cards(spec, networks: records))
            try db.insert(record)
            if spec.vsock { record.cid = try allocator.vsockAddress(of: spec.name) }
            try db.claim(spec.name, .current)
            return record
        }
        do {
            try furnish(record)
            try store.write { db in
                try db.setPhase(spec.name, .ready)
                try db.unclaim(spec.name)
            }
        } catch {
            try? File.removeTree(home.machineFolder(spec.name))
            try? store.write { try $0.deleteMachine(spec.name) }
            throw error
        }
        home.note("created", machine: spec.name, "from image \(spec.image)")
    }

    /// Said before anything is made: a guest with too little memory dies in its first second without a word why.
    static func memoryFault(_ spec: MachineSpec, _ image: Image) -> UrsaError? {
        guard let least = image.minimumMemory, spec.memory < least else { return nil }
        return UrsaError(
            .invalidSpec, "image \(spec.image) does not boot with \(spec.memory) of memory",
            place: "machine \(spec.name), memory", remedy: "give it \(least) or more")
    }

    /// The machine's folder: disk and first-boot seed.
    private func furnish(_ record: MachineRecord) throws(UrsaError) {
        let folder = home.machineFolder(record.name)
        try File.removeTree(folder)
        try File.makeDirectory(folder, mode: 0o700)
        if record.image.disk != nil || record.spec.disk != nil {
            try Overlay.create(
                path: folder + "/disk.qcow2", base: record.image.disk == nil ? nil : record.image,
                size: record.spec.disk)
        }
        try writeSeed(record)
    }

    /// Removes machines with their disks. A running one only with `force`.
    public func remove(_ names: [String], force: Bool) throws(UrsaError) {
        let store = try Store(home: home)
        try finishLeftovers(store)
        var errors: [UrsaError] = []
        for name in names {
            do throws(UrsaError) {
                try FileLock.holding(home.machineLocksPath, slot: FileLock.slot(name)) { () throws(UrsaError) in
                    try removeLocked(name, store, force: force)
                }
            } catch { errors.append(error) }
        }
        try forgetUnusedNetworks(store)
        try converge(store) { _ in }
        if let error = UrsaError.all(errors) { throw error }
    }

    private func removeLocked(_ name: String, _ store: Store, force: Bool) throws(UrsaError) {
        _ = try record(name, store)
        if home.runState(name).isLive {
            guard force else {
                throw UrsaError(
                    .conflict, "machine \(name) is running",
                    remedy: "`ursa stop \(name)` first, or `ursa rm --force \(name)`")
            }
            try killEngine(name)
        }
        try store.write { try $0.setPhase(name, .deleting) }
        try File.removeTree(home.machineFolder(name))
        try store.write { try $0.deleteMachine(name) }
        home.note("removed", machine: name, "with its disk")
    }

    /// Networks that no file and no machine asks for any more give their subnets back.
    func forgetUnusedNetworks(_ store: Store) throws(UrsaError) {
        try store.write { db in
            let used = Set(try db.machines().flatMap { $0.cards.map(\.network) })
            for network in try db.networks()
            where network.project == nil && !network.wanted && !used.contains(network.spec.name) {
                try db.deleteNetwork(network.spec.name)
            }
        }
    }

    func record(_ name: String, _ store: Store) throws(UrsaError) -> MachineRecord {
        if let record = try store.read({ try $0.machines(named: name).first }) { return record }
        let names = try store.read { try $0.machines().map(\.name) }
        throw UrsaError(
            .notFound, "there is no machine \(name)",
            remedy: nearMiss(name, among: names).map { "did you mean \($0)?" } ?? "`ursa ps -a` lists the machines")
    }
}
