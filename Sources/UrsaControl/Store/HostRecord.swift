import GRDB
import UrsaBase
import UrsaModel

/// What one project says of the host as a whole.
struct HostRecord: Sendable {
    /// Who says it.
    var project: String
    /// The project's spec: its uplinks, firewall and forwards are what counts here.
    var spec: Spec
    /// Numbers of its uplinks.
    var numbers: [String: UInt8]
}

extension Database {
    /// What is said of the host; nil when nobody says anything.
    func host() throws -> HostRecord? {
        guard let row = try Row.fetchOne(self, sql: "SELECT project, spec FROM host_specs") else { return nil }
        return HostRecord(
            project: row["project"], spec: try Spec(json: try JSON.parse(row["spec"] as String)),
            numbers: try uplinkNumbers())
    }

    private func uplinkNumbers() throws -> [String: UInt8] {
        var numbers: [String: UInt8] = [:]
        for row in try Row.fetchAll(self, sql: "SELECT name, number FROM uplink_numbers") {
            numbers[row["name"]] = UInt8(clamping: row["number"] as Int)
        }
        return numbers
    }

    /// Takes over what a spec says of the host; one that says nothing gives up what its project said before.
    ///
    /// - Throws: `.conflict` when another project says something.
    func saveHost(_ spec: Spec, project: String) throws {
        let owner = try String.fetchOne(self, sql: "SELECT project FROM host_specs")
        guard spec.saysHost else {
            if owner == project { try releaseHost(project: project) }
            return
        }
        if let owner, owner != project {
            throw UrsaError(
                .conflict, "uplinks, zones, rules and forwards of this host are said by another project already",
                place: "made by \(owner)", remedy: "say them in one file only, or `ursa down -f \(owner)` first")
        }
        try execute(
            sql: """
                INSERT INTO host_specs VALUES (1, ?, ?)
                ON CONFLICT (one) DO UPDATE SET project = excluded.project, spec = excluded.spec
                """,
            arguments: [project, spec.json.text])
        try giveNumbers(spec.uplinks.map(\.name))
    }

    private func giveNumbers(_ names: [String]) throws {
        var numbers = try uplinkNumbers()
        for gone in numbers.keys where !names.contains(gone) {
            try execute(sql: "DELETE FROM uplink_numbers WHERE name = ?", arguments: [gone])
            numbers[gone] = nil
        }
        for name in names where numbers[name] == nil {
            guard let free = (UInt8(1)...255).first(where: { !numbers.values.contains($0) }) else {
                throw UrsaError(.invalidSpec, "a host can have at most 255 uplinks", place: "uplinks")
            }
            numbers[name] = free
            try execute(sql: "INSERT INTO uplink_numbers VALUES (?, ?)", arguments: [name, Int(free)])
        }
    }

    /// Gives up what a project says of the host.
    func releaseHost(project: String) throws {
        try execute(sql: "DELETE FROM host_specs WHERE project = ?", arguments: [project])
        if try String.fetchOne(self, sql: "SELECT project FROM host_specs") == nil {
            try execute(sql: "DELETE FROM uplink_numbers")
        }
    }
}
