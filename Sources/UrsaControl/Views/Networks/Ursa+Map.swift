public import UrsaBase
public import UrsaModel
public import UrsaNet

extension Ursa {
    /// The map of the host's networks with all machines, running or not. Without root the parts that only root may see
    /// are left out, and a note says so.
    public func networkMap() throws(UrsaError) -> NetworkMap {
        guard File.exists(home.storePath) else {
            return NetworkMap.make(
                home: nil, wish: HostWish(), view: try HostView.look(), machines: [], up: [],
                notes: ["there are no machines and networks yet"])
        }
        let store = try Store(home: home)
        let scene = try NetworkScene(self, store)
        let host = HostNetworks(home: scene.mark)
        var impairments: [String: [String: Impairment]] = [:]
        var troubles: [String: String] = [:]
        if let root = scene.host {
            troubles = root.health(scene.wish.watched)
            for network in scene.wish.networks {
                impairments[network.name] = (try? root.impairments(network: network.name)) ?? [:]
            }
        }
        var notes: [String] = []
        if scene.host == nil, !scene.records.isEmpty {
            notes.append("without root: whether networks are whole can't be seen")
        }
        return NetworkMap.make(
            home: scene.mark, wish: scene.whole, view: try host.view(),
            machines: scene.machines.map { mapMachine($0, scene) }, up: scene.wanted, troubles: troubles,
            impairments: impairments, notes: notes)
    }

    /// The map of what a spec would make of this host; nothing is changed or given out.
    public func networkMap(of spec: Spec, project: String) throws(UrsaError) -> NetworkMap {
        let store = try Store(home: home)
        let future = try future(spec, project: project, store)
        var view = try HostNetworks(home: mark(store)).view()
        // With the first network the host will.
        view.isForwarding = view.isForwarding || spec.networks.contains { $0.model != .isolated && $0.model != .user }
        let whole = try everything(store, networks: future.networks, machines: future.machines, spec: spec)
        let machines = future.machines.filter { machine in spec.machines.contains { $0.name == machine.name } }
        let ports = { (name: String) in whole.networks.flatMap(\.ports).filter { $0.machine == name }.map(Ursa.words) }
        return NetworkMap.make(
            home: try mark(store), wish: whole, view: view,
            machines: machines.map { record in
                MapMachine(
                    name: record.name, isRunning: true, state: "planned", cards: Ursa.mapCards(record),
                    ports: ports(record.name))
            }, up: Set(whole.networks.map(\.name) + whole.bridges.map(\.name)),
            notes: ["planned: what `ursa up` would make of this host"])
    }

    /// The records that `up` of a spec would leave, found by giving out what it takes and taking that back.
    private func future(
        _ spec: Spec, project: String, _ store: Store
    ) throws(UrsaError) -> (networks: [NetworkRecord], machines: [MachineRecord]) {
        let difference = try difference(spec, project: project, store)
        let host = try hostNetworks(store)
        let machines = try store.read { try $0.machines() }
        let (networks, cards) = try store.rehearse { db in
            let allocator = Allocator(db: db, home: home, host: host)
            for name in difference.networksToRemove { try db.release(network: name) }
            var records: [String: NetworkRecord] = [:]
            for network in spec.networks { records[network.name] = try allocator.network(network, project: project) }
            var cards: [String: [CardView]] = [:]
            for machine in spec.machines {
                let old = machines.first { $0.name == machine.name }?.cards ?? []
                cards[machine.name] = try allocator.cards(machine, networks: records, having: old)
                try db.replaceCards(machine.name, cards[machine.name] ?? [])
            }
            return (try db.networks(), cards)
        }
        var wanted = networks.filter { record in spec.networks.contains { $0.name == record.spec.name } }
        for index in wanted.indices { wanted[index].wanted = true }
        return (wanted, futureMachines(spec, project, machines, difference, cards))
    }

    private func mapMachine(_ record: MachineRecord, _ scene: NetworkScene) -> MapMachine {
        let view = view(record, home.runState(record.name), isClaimed: scene.live.contains(record.name))
        return MapMachine(
            name: record.name, isRunning: scene.live.contains(record.name), state: view.state.rawValue,
            cards: Ursa.mapCards(record), ports: scene.ports(of: record.name))
    }

    private static func mapCards(_ record: MachineRecord) -> [NetworkMap.Card] {
        record.cards.enumerated().map { position, card in
            var addresses: [IPAddress] = []
            if let address = card.address { addresses.append(.v4(address)) }
            if let address = card.address6 { addresses.append(.v6(address)) }
            // One that is only planned has no identity yet, and so no link.
            let isThere = record.id.contains { $0 != "0" }
            return NetworkMap.Card(
                network: card.network, mac: card.mac, addresses: addresses,
                tap: isThere ? tapName(record, position) : nil)
        }
    }
}
