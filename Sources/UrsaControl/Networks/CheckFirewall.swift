public import UrsaBase
import UrsaFirewall
public import UrsaModel
import UrsaNet

/// Who may speak to whom by a spec, and what is wrong with it.
public struct FirewallReport: Sendable {
    /// What decides between two zones.
    public struct Cell: Sendable, Hashable {
        /// The zone that connections come from.
        public var from: String
        /// The zone that they go to.
        public var to: String
        /// `accept`, `drop` or `reject`, where no rule decides.
        public var action: String
        /// The policy's place in the file, from 1; nil: inside of a zone everything passes.
        public var policy: Int?
        /// Places of the rules that come before it, from 1.
        public var rules: [Int]
    }
    /// Names of the zones, `host` last; empty when none are said.
    public var zones: [String]
    /// All pairs.
    public var cells: [Cell]
    /// What can't be meant, in words.
    public var findings: [String]
    /// What could not be checked, and why.
    public var remark: String?

    /// A pair in a word or two.
    public func words(_ from: String, _ to: String) -> String {
        guard let cell = cells.first(where: { $0.from == from && $0.to == to }) else { return "-" }
        return cell.action + (cell.rules.isEmpty ? "" : " (+\(cell.rules.count))")
    }

    /// The report as JSON.
    public var json: JSON {
        .record([
            "zones": .array(zones.map { .string($0) }),
            "pairs": .array(
                cells.map { cell in
                    .record([
                        "from": .string(cell.from), "to": .string(cell.to), "action": .string(cell.action),
                        "policy": cell.policy.map { .integer(Int64($0)) },
                        "rules": .array(cell.rules.map { .integer(Int64($0)) }),
                    ])
                }),
            "findings": .array(findings.map { .string($0) }), "remark": remark.map { .string($0) },
        ])
    }
}

extension Ursa {
    /// Checks the firewall of a spec: its zones and, as root, whether the kernel would take its rules. Changes nothing.
    public func checkFirewall(_ spec: Spec, project: String) throws(UrsaError) -> FirewallReport {
        let topology = Topology(
            networks: spec.networks.map { network in
                let reach: Topology.Network.Reach =
                    switch network.model {
                    case .nat, .user: .translated
                    case .isolated: .closed
                    case .routed, .lan: .open
                    case .bridged: .segment(interface: network.interface ?? network.bridge)
                    }
                return Topology.Network(name: network.name, reach: reach)
            },
            uplinks: spec.uplinks.map { Topology.Uplink(name: $0.name, interface: $0.interface) },
            machines: spec.machines.flatMap { machine in
                machine.networks.map { Topology.Machine(name: machine.name, network: $0.network) }
            })
        var report = FirewallReport(zones: [], cells: [], findings: [], remark: nil)
        if !spec.firewall.isPlain {
            let matrix = Matrix(spec.firewall, topology)
            report.zones = matrix.zones
            report.cells = matrix.cells.map { cell in
                var policy: Int?
                if case .policy(let index) = cell.otherwise { policy = index + 1 }
                return FirewallReport.Cell(
                    from: cell.from, to: cell.to, action: matrix.effect(of: cell.otherwise).action.rawValue,
                    policy: policy, rules: cell.rules.map { $0 + 1 })
            }
            report.findings = matrix.findings.map(\.description)
        }
        guard home.isRoot else {
            report.remark = "without root, nft could not be asked whether the kernel takes the rules"
            return report
        }
        guard report.findings.isEmpty else { return report }
        let store = try Store(home: home)
        guard let host = try hostNetworks(store) else { return report }
        let (networks, record) = try store.rehearse { db in
            let allocator = Allocator(db: db, home: home, host: host)
            for network in spec.networks where network.model != .user {
                var record = try allocator.network(network, project: project)
                record.wanted = true
                try db.save(record)
            }
            try db.saveHost(spec, project: project)
            return (try db.networks(), try db.host())
        }
        try host.checkTable(of: try wishes(store, networks: networks, machines: [], live: [], record: record))
        return report
    }
}
