import UrsaBase
import UrsaModel
import UrsaNet

/// All that is known of the networks at one moment, gathered once for a command that looks at them: the store's records,
/// who lives, what is wanted of the host for that, and what would be with every machine running.
struct NetworkScene {
    var records: [NetworkRecord]
    var machines: [MachineRecord]
    var live: Set<String>
    /// What is wanted right now.
    var wish: HostWish
    /// What would be wanted if everything ran: it has the networks and members that are down too.
    var whole: HostWish
    /// Nil without root: then what is up can't be seen.
    var host: HostNetworks?
    var mark: HomeMark

    init(_ ursa: Ursa, _ store: Store) throws(UrsaError) {
        let (records, machines, claims) = try store.read { (try $0.networks(), try $0.machines(), try $0.liveClaims()) }
        self.records = records
        self.machines = machines
        live = ursa.liveMachines(machines, claims: claims)
        host = try ursa.hostNetworks(store)
        mark = try ursa.mark(store)
        wish = try ursa.wishes(store)
        var all = records
        for index in all.indices { all[index].wanted = true }
        whole = try ursa.everything(store, networks: all, machines: machines)
    }

    /// Names of the networks that should be up right now.
    var wanted: Set<String> { Set(wish.networks.map(\.name) + wish.bridges.map(\.name)) }

    /// The record of a machine.
    func machine(_ name: String) -> MachineRecord? { machines.first { $0.name == name } }

    /// Published ports and forwards of a machine in words: `tcp 8080 → 80`.
    func ports(of machine: String) -> [String] {
        whole.networks.flatMap(\.ports).filter { $0.machine == machine }.map { Ursa.words($0) }
    }
}

extension Ursa {
    /// The store of a home that is there: looking at networks makes none.
    func existingStore() throws(UrsaError) -> Store {
        guard File.exists(home.storePath) else {
            throw UrsaError(
                .notFound, "there are no machines and networks yet", place: home.folder,
                remedy: "`ursa run tiny` makes a machine, `ursa up` all of a file")
        }
        return try Store(home: home)
    }

    /// What is wanted of the host when all these machines run, by what `spec` says of the host, else by what the store
    /// has of that.
    func everything(
        _ store: Store, networks: [NetworkRecord], machines: [MachineRecord], spec: Spec? = nil
    ) throws(UrsaError) -> HostWish {
        let said = try store.read { try $0.host() }
        var record = said
        if let spec {
            // Numbers of uplinks that have none yet are of no matter to who only looks.
            let numbers = said?.numbers ?? [:]
            record = spec.saysHost ? HostRecord(project: said?.project ?? "", spec: spec, numbers: numbers) : nil
            for (index, uplink) in spec.uplinks.enumerated() where record?.numbers[uplink.name] == nil {
                record?.numbers[uplink.name] = UInt8(clamping: index + 1)
            }
        }
        return try wishes(
            store, networks: networks, machines: machines, live: Set(machines.map(\.name)), record: record)
    }

    /// A published port in words: `tcp 8080 → 80`, `comcast tcp 2222 → 22`, `udp 192.0.2.2:53 → 53`.
    static func words(_ port: PublishedPort) -> String {
        let place =
            switch port.hostAddress {
            case .v4(let address): "\(address):\(port.hostPort)"
            case .v6(let address): "[\(address)]:\(port.hostPort)"
            case nil: "\(port.hostPort)"
            }
        return (port.uplink.map { "\($0) " } ?? "") + "\(port.isUDP ? "udp" : "tcp") \(place) → \(port.guestPort)"
    }
}
