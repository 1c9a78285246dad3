import Foundation
import GRDB
import UrsaBase
import UrsaImages
import UrsaModel

/// A machine as the store has it.
struct MachineRecord: Sendable {
    enum Phase: String, Sendable { case creating, ready, deleting }

    var name: String
    var id: String
    var project: String?
    var spec: MachineSpec
    var image: Image
    var machineType: String
    var uid: UInt32
    var made: Double
    var phase: Phase
    var cards: [CardView]
    /// Its vsock address, 3 to 4294967294; nil when it has never asked for one.
    var cid: UInt32?
}

/// A network as the store has it.
struct NetworkRecord: Sendable {
    var spec: NetworkSpec
    var project: String?
    var subnet: IPv4Network?
    var subnet6: IPv6Network?
    /// Up without machines, until `down`.
    var wanted: Bool
}

extension Database {
    func fact(_ name: String) throws -> String {
        guard let value = try String.fetchOne(self, sql: "SELECT value FROM facts WHERE name = ?", arguments: [name])
        else {
            throw UrsaError(.bug, "the store lacks the fact \(name)")
        }
        return value
    }

    // MARK: Machines

    func machines(project: String? = nil, named name: String? = nil) throws -> [MachineRecord] {
        var cards: [String: [CardView]] = [:]
        for row in try Row.fetchAll(self, sql: "SELECT * FROM cards ORDER BY machine, position") {
            guard let mac = MACAddress(row["mac"]) else { continue }
            cards[row["machine"], default: []].append(
                CardView(
                    network: row["network"], mac: mac, address: (row["address"] as String?).flatMap { IPv4Address($0) },
                    address6: (row["address6"] as String?).flatMap { IPv6Address($0) }))
        }
        var condition = "1"
        var arguments: StatementArguments = []
        if let project { condition += " AND project = ?"; arguments += [project] }
        if let name { condition += " AND name = ?"; arguments += [name] }
        var cids: [String: UInt32] = [:]
        for row in try Row.fetchAll(self, sql: "SELECT * FROM vsock") {
            cids[row["machine"]] = UInt32(exactly: row["cid"] as Int64)
        }
        // Machines share a few images: each text is read once.
        var images: [String: Image] = [:]
        return try Row.fetchAll(
            self, sql: "SELECT * FROM machines WHERE \(condition) ORDER BY made, name", arguments: arguments
        ).map { row in
            let name: String = row["name"]
            let uid: Int64 = row["uid"]
            let imageText: String = row["image"]
            let image = try images[imageText] ?? Image(json: JSON.parse(imageText))
            images[imageText] = image
            return MachineRecord(
                name: name, id: row["id"], project: row["project"],
                spec: try MachineSpec(json: try JSON.parse(row["spec"] as String)),
                image: image,
                machineType: row["machine_type"], uid: UInt32(clamping: uid), made: row["made"],
                phase: MachineRecord.Phase(rawValue: row["phase"]) ?? .ready, cards: cards[name] ?? [],
                cid: cids[name])
        }
    }

    func insert(_ machine: MachineRecord) throws {
        try execute(
            sql: """
                INSERT INTO machines (name, id, project, spec, image, image_identifier, machine_type, uid, made, phase)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """,
            arguments: [
                machine.name, machine.id, machine.project, machine.spec.json.text, machine.image.json.text,
                machine.image.identifier, machine.machineType, Int64(machine.uid), machine.made, machine.phase.rawValue,
            ])
        try replaceCards(machine.name, machine.cards)
        try replacePorts(of: machine.name, machine.spec.publish)
    }

    func update(_ machine: MachineRecord) throws {
        try execute(
            sql: "UPDATE machines SET spec = ?, project = ? WHERE name = ?",
            arguments: [machine.spec.json.text, machine.project, machine.name])
        try replacePorts(of: machine.name, machine.spec.publish)
    }

    func setPhase(_ name: String, _ phase: MachineRecord.Phase) throws {
        try execute(sql: "UPDATE machines SET phase = ? WHERE name = ?", arguments: [phase.rawValue, name])
    }

    func deleteMachine(_ name: String) throws {
        try execute(sql: "DELETE FROM machines WHERE name = ?", arguments: [name])
        try execute(sql: "DELETE FROM claims WHERE machine = ?", arguments: [name])
    }

    private func replacePorts(of name: String, _ ports: [PublishSpec]) throws {
        try execute(sql: "DELETE FROM ports WHERE machine = ?", arguments: [name])
        for port in ports {
            let address = port.hostAddress?.description ?? "*"
            // An address collides with itself, "every address" with all; the table's own rule sees only the first.
            let holder = try String.fetchOne(
                self,
                sql: """
                    SELECT machine FROM ports WHERE host_port = ? AND transport = ?
                    AND (host_address = ? OR host_address = '*' OR ? = '*')
                    """,
                arguments: [Int(port.hostPort), port.transport.rawValue, address, address])
            if let holder {
                throw UrsaError(
                    .conflict,
                    "port \(port.hostPort)/\(port.transport.rawValue) of the host is published by machine \(holder) already",
                    place: "machine \(name)", remedy: "publish another port, or `ursa rm \(holder)`")
            }
            try execute(
                sql: "INSERT INTO ports VALUES (?, ?, ?, ?, ?)",
                arguments: [name, address, Int(port.hostPort), port.transport.rawValue, Int(port.guestPort)])
        }
    }

    // MARK: Networks

    func networks() throws -> [NetworkRecord] {
        try Row.fetchAll(self, sql: "SELECT * FROM networks ORDER BY name").map { row in
            NetworkRecord(
                spec: try NetworkSpec(json: try JSON.parse(row["spec"] as String)), project: row["project"],
                subnet: (row["subnet"] as String?).flatMap { IPv4Network($0) },
                subnet6: (row["subnet6"] as String?).flatMap { IPv6Network($0) }, wanted: row["wanted"] as Int != 0)
        }
    }

    func save(_ network: NetworkRecord) throws {
        try execute(
            sql: """
                INSERT INTO networks VALUES (?, ?, ?, ?, ?, ?)
                ON CONFLICT (name) DO UPDATE SET project = excluded.project, spec = excluded.spec,
                    subnet = excluded.subnet, subnet6 = excluded.subnet6, wanted = excluded.wanted
                """,
            arguments: [
                network.spec.name, network.project, network.spec.json.text, network.subnet?.description,
                network.subnet6?.description, network.wanted ? 1 : 0,
            ])
    }

    func deleteNetwork(_ name: String) throws {
        try execute(sql: "DELETE FROM networks WHERE name = ?", arguments: [name])
    }

    // MARK: Claims

    func claim(_ machine: String, _ owner: ProcessIdentity) throws {
        try execute(
            sql: "INSERT OR REPLACE INTO claims VALUES (?, ?, ?, ?)",
            arguments: [machine, owner.pid, Int64(bitPattern: owner.startTime), bootIdentifier()])
    }

    func unclaim(_ machine: String) throws {
        try execute(sql: "DELETE FROM claims WHERE machine = ?", arguments: [machine])
    }

    /// Machines that a living process is at work on.
    func liveClaims() throws -> Set<String> {
        let boot = bootIdentifier()
        var result: Set<String> = []
        for row in try Row.fetchAll(self, sql: "SELECT * FROM claims") where row["boot"] == boot {
            let start: Int64 = row["start_time"]
            if ProcessIdentity(pid: row["pid"], startTime: UInt64(bitPattern: start)).isAlive {
                result.insert(row["machine"])
            }
        }
        return result
    }
}

extension Database {
    func replaceCards(_ machine: String, _ cards: [CardView]) throws {
        try execute(sql: "DELETE FROM cards WHERE machine = ?", arguments: [machine])
        for (position, card) in cards.enumerated() {
            try execute(
                sql: "INSERT INTO cards VALUES (?, ?, ?, ?, ?, ?)",
                arguments: [
                    machine, position, card.network, card.mac.description, card.address?.description,
                    card.address6?.description,
                ])
        }
    }

    /// Gives a network up: deleted when no machine is on it, else left without a project.
    func release(network name: String) throws {
        let isUsed =
            try Bool.fetchOne(self, sql: "SELECT EXISTS (SELECT 1 FROM cards WHERE network = ?)", arguments: [name])
            ?? false
        if isUsed {
            try execute(sql: "UPDATE networks SET project = NULL, wanted = 0 WHERE name = ?", arguments: [name])
        } else {
            try deleteNetwork(name)
        }
    }
}
