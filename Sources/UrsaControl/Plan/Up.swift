import GRDB
public import UrsaBase
import UrsaImages
import UrsaKeeper
public import UrsaModel
import UrsaNet

extension Ursa {
    /// What `up` would change, host objects included. Nothing is changed, given out or built.
    public func plan(_ spec: Spec, project: String) throws(UrsaError) -> Plan {
        let store = try Store(home: home)
        let difference = try difference(spec, project: project, store)
        if !home.isRoot, spec.networks.contains(where: { $0.model != .user }) {
            notice(
                "without root, `ursa up` makes the networks in a private host of your own; addresses are given out then"
            )
        }
        var lines = difference.images.map { PlanLine("+", "image \($0): built or fetched first") }
        let host = try hostNetworks(store)
        let (machines, claims) = try store.read { (try $0.machines(), try $0.liveClaims()) }
        let live = liveMachines(machines, claims: claims)

        // What would be given out is found by giving it out and taking it back.
        let said = try store.read { try $0.host() }
        let (networks, cards, record) = try store.rehearse { db in
            let allocator = Allocator(db: db, home: home, host: host)
            for name in difference.networksToRemove { try db.release(network: name) }
            var records: [String: NetworkRecord] = [:]
            for network in spec.networks { records[network.name] = try allocator.network(network, project: project) }
            var cards: [String: [CardView]] = [:]
            for machine in spec.machines {
                let old = machines.first { $0.name == machine.name }
                cards[machine.name] = try allocator.cards(machine, networks: records, having: old?.cards ?? [])
                try db.replaceCards(machine.name, cards[machine.name] ?? [])
            }
            try db.saveHost(spec, project: project)
            return (try db.networks(), cards, try db.host())
        }
        lines += HostLines.between(said, record)
        let steps = try host.map { (host) throws(UrsaError) in
            let future = futureMachines(spec, project, machines, difference, cards)
            let alive = live.subtracting(difference.gone).union(spec.machines.map(\.name))
            let wish = try wishes(store, networks: networks, machines: future, live: alive, record: record)
            return host.plan(wish, try host.observe())
        }
        var groups = StepGroups(steps ?? [])
        for network in difference.networks {
            let record = networks.first { $0.spec.name == network.name }
            let subnets = [record?.subnet?.description, record?.subnet6?.description].compactMap { $0 }
            lines.append(
                PlanLine("+", (["network \(network.name) \(network.model.rawValue)"] + subnets).joined(separator: " ")))
            lines += groups.take(network: network.name).map(PlanLine.init(step:))
        }
        for name in difference.networksToRemove {
            lines.append(PlanLine("-", "network \(name)"))
            lines += groups.take(network: name).map(PlanLine.init(step:))
        }
        for machine in difference.create {
            lines.append(PlanLine("+", "machine \(machine.name): \(Ursa.summary(machine, cards[machine.name] ?? []))"))
            lines += machine.publish.map { PlanLine("+", "port \($0) → \(machine.name)", indent: 1) }
        }
        lines += difference.start.map { PlanLine("+", "machine \($0.name): started") }
        lines += difference.changed.map { change in
            PlanLine(
                change.needsRestart ? "!" : "~",
                "machine \(change.spec.name): \(change.words.joined(separator: "; "))\(change.needsRestart ? " (needs a restart: `ursa up --restart`)" : "")"
            )
        }
        lines += difference.gone.map {
            PlanLine("-", "machine \($0): stopped, its disk is kept (it is not in the file any more)")
        }

        return Plan(lines: lines + groups.lines)
    }

    /// The machines that there will be, with what will be given out to them.
    func futureMachines(
        _ spec: Spec, _ project: String, _ machines: [MachineRecord], _ difference: Difference,
        _ cards: [String: [CardView]]
    ) -> [MachineRecord] {
        var future = machines.filter { old in
            !spec.machines.contains { $0.name == old.name } && !difference.gone.contains(old.name)
        }
        for machine in spec.machines {
            guard var record = machines.first(where: { $0.name == machine.name }) ?? Ursa.imagined(machine, project)
            else { continue }
            record.spec = machine
            record.cards = cards[machine.name] ?? record.cards
            future.append(record)
        }
        return future
    }

    private static func summary(_ machine: MachineSpec, _ cards: [CardView]) -> String {
        let processors = machine.cpus == 1 ? "1 cpu" : "\(machine.cpus) cpus"
        let addresses = cards.map { card in
            [card.network, card.address?.description, card.address6?.description, card.mac.description].compactMap {
                $0
            }
            .joined(separator: " ")
        }
        return (["\(machine.image), \(processors), \(machine.memory)"] + addresses).joined(separator: ", ")
    }

    /// A record of a machine that is not there yet, for the pure part of planning.
    private static func imagined(_ machine: MachineSpec, _ project: String) -> MachineRecord? {
        MachineRecord(
            name: machine.name, id: String(repeating: "0", count: 32), project: project, spec: machine,
            image: Image(name: machine.image, boot: .disk, origin: ""), machineType: "", uid: 0, made: 0,
            phase: .creating, cards: [])
    }

    func difference(_ spec: Spec, project: String, _ store: Store) throws(UrsaError) -> Difference {
        let (machines, networks, claims) = try store.read {
            (try $0.machines(), try $0.networks(), try $0.liveClaims())
        }
        let stored = Set(try images.list().map(\.name))
        return try Difference(
            spec, project: project, machines: machines, networks: networks,
            running: liveMachines(machines, claims: claims), stored: stored)
    }

    /// Makes the host what the spec says: images, networks, machines, running. What a failure half way leaves is undone.
    ///
    /// - Throws: what went wrong; with `wait`, `.timeout` names the step at which each machine stopped.
    public func up(
        _ spec: Spec, project: String, options: UpOptions, report: @escaping @Sendable (Report) -> Void
    ) throws(UrsaError) -> [MachineView] {
        let begun = Deadline.now
        let store = try Store(home: home)
        try finishLeftovers(store)
        let difference = try difference(spec, project: project, store)
        var images: [String: Image] = [:]
        for machine in difference.create where images[machine.image] == nil {
            images[machine.image] = try ensureImage(machine.image)
        }
        let existing = try store.read { db in try db.machines(project: project) }
        let tooSmall = spec.machines.compactMap { machine in
            let image = images[machine.image] ?? existing.first { $0.name == machine.name }?.image
            return image.flatMap { Ursa.memoryFault(machine, $0) }
        }
        if let error = UrsaError.all(tooSmall) { throw error }
        try requireNothingPending(store)
        let host = try hostNetworks(store)
        tellFallback(spec)
        try store.write { db in
            if host != nil { try db.saveHost(spec, project: project) }
            let allocator = Allocator(db: db, home: home, host: host)
            // First, so that a network under a new name may keep its subnet.
            for name in difference.networksToRemove { try db.release(network: name) }
            for network in spec.networks { _ = try allocator.network(network, project: project) }
        }

        var made: [String] = []
        do {
            for machine in difference.create {
                guard let image = images[machine.image] else { continue }
                // Another `up` of the same file may have been quicker: then it is there as wanted.
                guard try make(machine, image, spec.networks, project: project, store) else { continue }
                made.append(machine.name)
                report(.machine(machine.name, "created"))
            }
            let gone = try store.read { db in try difference.gone.flatMap { try db.machines(named: $0) } }
            try halt(gone, StopOptions(), report)
            let restart = difference.changed.filter { options.restartChanged && $0.needsRestart }.map(\.spec.name)
            try halt(try store.read { db in try restart.flatMap { try db.machines(named: $0) } }, StopOptions(), report)
            // What a running machine can't have yet stays out of the store, so that the next `up` still sees it.
            try takeOver(
                difference.start + difference.changed.map { options.restartChanged ? $0.spec : $0.live }, store)
            if !options.restartChanged {
                for change in difference.changed where change.needsRestart {
                    notice(
                        "machine \(change.spec.name) runs with its old settings (\(change.words.joined(separator: "; "))); `ursa up --restart` restarts it"
                    )
                }
            }
            _ = try launch(spec.machines.map(\.name), store, report)
        } catch {
            // Machines that this call made have nothing on their disks yet.
            for name in made where (try? remove([name], force: true)) != nil { report(.machine(name, "taken back")) }
            throw error
        }
        if options.wait {
            try waitUntilReachable(
                spec.machines.map(\.name), store, begun: begun, timeout: options.timeout, report: report)
        }
        return try views(spec.machines.map(\.name), store)
    }

    /// Says what becomes of networks of the host when there is neither root nor a private host.
    private func tellFallback(_ spec: Spec) {
        guard !home.isRoot else { return }
        for network in spec.networks where network.model != .user {
            notice(
                """
                network \(network.name): no root and no private host, so each machine has user networking: published ports \
                work, machines do not see each other
                """)
        }
    }

    /// Stores the new settings of machines that exist already.
    private func takeOver(_ changed: [MachineSpec], _ store: Store) throws(UrsaError) {
        guard !changed.isEmpty else { return }
        let host = try hostNetworks(store)
        try store.write { db in
            let networks = Dictionary(
                try db.networks().map { ($0.spec.name, $0) }, uniquingKeysWith: { first, _ in first })
            let allocator = Allocator(db: db, home: home, host: host)
            for machine in changed {
                guard var record = try db.machines(named: machine.name).first, record.spec != machine else { continue }
                record.cards = try allocator.cards(machine, networks: networks, having: record.cards)
                record.spec = machine
                try db.replaceCards(machine.name, record.cards)
                try db.update(record)
                if machine.vsock { _ = try allocator.vsockAddress(of: machine.name) }
            }
        }
    }

    // MARK: Down

    /// What `down` would change.
    public func planDown(project: String, remove: Bool) throws(UrsaError) -> Plan {
        let store = try Store(home: home)
        let (machines, networks, claims) = try store.read {
            (try $0.machines(), try $0.networks(), try $0.liveClaims())
        }
        let live = liveMachines(machines, claims: claims)
        var lines: [PlanLine] = []
        for machine in machines where machine.project == project {
            if live.contains(machine.name) { lines.append(PlanLine("-", "machine \(machine.name): stopped")) }
            if remove { lines.append(PlanLine("!", "machine \(machine.name): deleted with its disk")) }
        }
        if let host = try hostNetworks(store) {
            let stay = live.subtracting(machines.filter { $0.project == project }.map(\.name))
            let left = networks.map { network in
                var network = network
                if network.project == project { network.wanted = false }
                return network
            }
            let said = try store.read { try $0.host() }
            let record = said?.project == project ? nil : said
            lines += HostLines.between(said, record)
            let wish = try wishes(store, networks: left, machines: machines, live: stay, record: record)
            lines += StepGroups(host.plan(wish, try host.observe())).lines
        }
        return Plan(lines: lines)
    }

    /// Stops the project's machines, all at once, and takes its networks away. The machines keep their disks and
    /// addresses for the next `up`, unless `remove` deletes them too.
    public func down(
        project: String, remove deleting: Bool, options: StopOptions, report: @escaping @Sendable (Report) -> Void
    ) throws(UrsaError) {
        let store = try Store(home: home)
        try finishLeftovers(store)
        // What was not confirmed goes first: it must not come back afterwards.
        _ = try takeBack(store)
        let machines = try store.read { try $0.machines(project: project) }
        try halt(machines.filter { home.runState($0.name).isLive }, options, report)
        try store.write { db in
            try db.releaseHost(project: project)
            for network in try db.networks() where network.project == project {
                var network = network
                network.wanted = false
                try db.save(network)
            }
        }
        if deleting {
            if !machines.isEmpty { try remove(machines.map(\.name), force: true) }
            try store.write { db in
                for network in try db.networks() where network.project == project {
                    try db.release(network: network.spec.name)
                }
            }
            for machine in machines { report(.machine(machine.name, "deleted with its disk")) }
        }
        try convergeAndTell(store, report)
    }
}
