import GRDB
import UrsaBase
import UrsaNetWatch

/// A change of the host's networks that is taken back unless it is confirmed in time: the deadline, and the rows as they
/// were before.
struct PendingChange: Sendable {
    /// When it is taken back.
    var deadline: WatchOrders.Deadline
    /// What was changed, for messages: `ursa net apply -f lab.yaml`.
    var what: String
    /// The rows as they were, see `Database.snapshot`.
    var former: JSON
}

extension Database {
    /// The change that waits to be confirmed, if there is one.
    func pending() throws -> PendingChange? {
        guard let row = try Row.fetchOne(self, sql: "SELECT * FROM pending") else { return nil }
        let milliseconds: Int64 = row["deadline"]
        return PendingChange(
            deadline: .init(boot: row["boot"], seconds: Double(milliseconds) / 1000), what: row["what"],
            former: try JSON.parse(row["former"] as String))
    }

    func save(_ pending: PendingChange) throws {
        try execute(
            sql: "INSERT OR REPLACE INTO pending VALUES (1, ?, ?, ?, ?)",
            arguments: [
                pending.deadline.boot, Int64(pending.deadline.seconds * 1000), pending.what, pending.former.text,
            ])
    }

    /// The change stays.
    func forgetPending() throws { try execute(sql: "DELETE FROM pending") }

    // MARK: Rows as they are

    /// What is said of the host, and the rows of networks by these names, as they are now.
    func snapshot(networks names: Set<String>) throws -> JSON {
        let host = try Row.fetchOne(self, sql: "SELECT project, spec FROM host_specs")
        let numbers = try Row.fetchAll(self, sql: "SELECT name, number FROM uplink_numbers")
        return .record([
            "host": host.map { .record(["project": .string($0["project"]), "spec": .string($0["spec"])]) },
            "numbers": .array(
                numbers.map { .record(["name": .string($0["name"]), "number": .integer($0["number"])]) }),
            "networks": .array(try names.sorted().map { try network($0) }),
        ])
    }

    /// A network's row, or its name alone when there is none.
    private func network(_ name: String) throws -> JSON {
        guard let row = try Row.fetchOne(self, sql: "SELECT * FROM networks WHERE name = ?", arguments: [name]) else {
            return .record(["name": .string(name)])
        }
        func text(_ column: String) -> JSON? { (row[column] as String?).map { .string($0) } }
        return .record([
            "name": .string(name), "project": text("project"), "spec": text("spec"), "subnet": text("subnet"),
            "subnet6": text("subnet6"), "wanted": .integer(row["wanted"]),
        ])
    }

    /// Puts rows back as `snapshot` found them.
    func restore(_ snapshot: JSON) throws {
        try execute(sql: "DELETE FROM host_specs; DELETE FROM uplink_numbers")
        if let host = snapshot["host"], let project = host["project"]?.string, let spec = host["spec"]?.string {
            try execute(sql: "INSERT INTO host_specs VALUES (1, ?, ?)", arguments: [project, spec])
        }
        for entry in snapshot["numbers"]?.array ?? [] {
            guard let name = entry["name"]?.string, let number = entry["number"]?.integer else { continue }
            try execute(sql: "INSERT INTO uplink_numbers VALUES (?, ?)", arguments: [name, number])
        }
        let networks = snapshot["networks"]?.array ?? []
        // All of them first: two may have changed subnets with each other.
        for entry in networks { if let name = entry["name"]?.string { try deleteNetwork(name) } }
        for entry in networks {
            guard let name = entry["name"]?.string, let spec = entry["spec"]?.string else { continue }
            try execute(
                sql: "INSERT INTO networks VALUES (?, ?, ?, ?, ?, ?)",
                arguments: [
                    name, entry["project"]?.string, spec, entry["subnet"]?.string, entry["subnet6"]?.string,
                    entry["wanted"]?.integer ?? 0,
                ])
        }
    }
}
