import GRDB
import UrsaBase

/// The database's form, by versions that only ever grow. `PRAGMA user_version` tells the version, so that opening an
/// up-to-date store costs one read.
enum Migrations {
    static let current = 3

    static func run(on queue: DatabaseQueue) throws {
        let version = try queue.read { try Int.fetchOne($0, sql: "PRAGMA user_version") ?? 0 }
        if version == current { return }
        guard version < current else {
            throw UrsaError(
                .unsupported, "the store was written by a newer Ursa (version \(version))", place: queue.path,
                remedy: "install that version again, or name another home with URSA_HOME")
        }
        try queue.writeWithoutTransaction { db in
            try db.inTransaction(.immediate) {
                // Another process may have been quicker.
                let version = try Int.fetchOne(db, sql: "PRAGMA user_version") ?? 0
                if version < 1 { try first(db) }
                if version < 2 { try second(db) }
                if version < 3 { try third(db) }
                try db.execute(sql: "PRAGMA user_version = \(current)")
                return .commit
            }
        }
    }

    private static func first(_ db: Database) throws {
        try db.execute(
            sql: """
                CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
                INSERT INTO facts VALUES ('home', lower(hex(randomblob(4))));

                -- Networks that were asked for. Subnets stay for the network's life.
                CREATE TABLE networks (
                    name TEXT PRIMARY KEY,
                    project TEXT,
                    spec TEXT NOT NULL,
                    subnet TEXT UNIQUE,
                    subnet6 TEXT UNIQUE,
                    wanted INTEGER NOT NULL DEFAULT 0   -- 1: up without machines (start: always)
                ) STRICT;

                -- Machines. `phase` is 'creating' until its folder is whole and 'deleting' once it goes.
                CREATE TABLE machines (
                    name TEXT PRIMARY KEY,
                    id TEXT NOT NULL UNIQUE,
                    project TEXT,
                    spec TEXT NOT NULL,
                    image TEXT NOT NULL,                -- the image as it was when the machine was made, JSON
                    image_identifier TEXT NOT NULL,
                    machine_type TEXT NOT NULL,
                    uid INTEGER NOT NULL UNIQUE,
                    made REAL NOT NULL,
                    phase TEXT NOT NULL
                ) STRICT;

                CREATE TABLE cards (
                    machine TEXT NOT NULL REFERENCES machines(name) ON DELETE CASCADE,
                    position INTEGER NOT NULL,
                    network TEXT NOT NULL,
                    mac TEXT NOT NULL UNIQUE,
                    address TEXT,
                    address6 TEXT,
                    PRIMARY KEY (machine, position),
                    UNIQUE (network, address),
                    UNIQUE (network, address6)
                ) STRICT;

                CREATE TABLE ports (
                    machine TEXT NOT NULL REFERENCES machines(name) ON DELETE CASCADE,
                    host_address TEXT NOT NULL,         -- '*' is every address
                    host_port INTEGER NOT NULL,
                    transport TEXT NOT NULL,
                    guest_port INTEGER NOT NULL,
                    UNIQUE (host_address, host_port, transport)
                ) STRICT;

                -- Who is at work on a machine right now; a claim whose process is gone counts for nothing.
                CREATE TABLE claims (
                    machine TEXT PRIMARY KEY,
                    pid INTEGER NOT NULL,
                    start_time INTEGER NOT NULL,
                    boot TEXT NOT NULL
                ) STRICT;
                """)
    }

    private static func second(_ db: Database) throws {
        try db.execute(
            sql: """
                -- What is said of the host as a whole (uplinks, zones, policies, rules, forwards): one project says it.
                CREATE TABLE host_specs (
                    one INTEGER PRIMARY KEY CHECK (one = 1),
                    project TEXT NOT NULL,
                    spec TEXT NOT NULL                  -- the project's whole spec, so that it can be checked again
                ) STRICT;

                -- Numbers of uplinks: they make marks, tables and rules, so they stay for the uplink's life.
                CREATE TABLE uplink_numbers (
                    name TEXT PRIMARY KEY,
                    number INTEGER NOT NULL UNIQUE CHECK (number BETWEEN 1 AND 255)
                ) STRICT;

                -- A change that is taken back unless it is confirmed in time.
                CREATE TABLE pending (
                    one INTEGER PRIMARY KEY CHECK (one = 1),
                    boot TEXT NOT NULL,
                    deadline INTEGER NOT NULL,          -- milliseconds of CLOCK_BOOTTIME
                    what TEXT NOT NULL,
                    former TEXT NOT NULL                -- the rows as they were, JSON
                ) STRICT;
                """)
    }

    private static func third(_ db: Database) throws {
        try db.execute(
            sql: """
                -- Machines' vsock addresses: given out when a machine first asks for vsock, and kept for its life.
                CREATE TABLE vsock (
                    machine TEXT PRIMARY KEY REFERENCES machines(name) ON DELETE CASCADE,
                    cid INTEGER NOT NULL UNIQUE CHECK (cid BETWEEN 3 AND 4294967294)
                ) STRICT;
                """)
    }
}
