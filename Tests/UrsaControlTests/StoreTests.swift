import GRDB
import Glibc
import Testing
import UrsaBase
import UrsaModel

@testable import UrsaControl

@Suite("the store")
struct StoreTests {
    @Test("is made from nothing, private to its owner, and keeps its identity")
    func fresh() throws {
        let test = try TestHome()
        let identity = try test.store().read { try $0.fact("home") }
        #expect(identity.utf8.count == 8)
        #expect(try test.store().read { try $0.fact("home") } == identity)
        #expect(try #require(File.status(test.home.storePath)).st_mode & 0o777 == 0o600)
        #expect(try test.store().read { try Int.fetchOne($0, sql: "PRAGMA user_version") } == Migrations.current)
    }

    @Test("two that open a new home at the same moment agree")
    func together() throws {
        let home = try TestHome()
        let folder = home.home
        let identities = try OSThread.concurrently(Array(0..<8)) { (_: Int) throws(UrsaError) -> String in
            try Store(home: folder).read { try $0.fact("home") }
        }
        #expect(Set(identities).count == 1)
    }

    @Test("of a newer version is refused, with what to do")
    func newer() throws {
        let test = try TestHome()
        try test.store().write { try $0.execute(sql: "PRAGMA user_version = 99") }
        let found = error { _ = try test.store() }
        #expect(found?.code == .unsupported)
        #expect(found?.message.contains("newer") == true && found?.remedy?.contains("URSA_HOME") == true)
    }

    @Test("that is no database is said to be none, and left as it is")
    func corrupt() throws {
        let test = try TestHome()
        try test.home.prepare()
        let noise = String(repeating: "this is no database ", count: 400)
        try File.replace(test.home.storePath, text: noise)
        let found = error { _ = try test.store() }
        #expect(found?.code == .io && found?.message.contains("no intact database") == true)
        #expect(try File.readText(test.home.storePath) == noise)
    }

    @Test("with a damaged page fails in words when that page is read")
    func damagedPage() throws {
        let test = try TestHome()
        try test.network(lab())
        let size = try #require(File.status(test.home.storePath)).st_size
        let fd = open(test.home.storePath, O_WRONLY | O_CLOEXEC)
        let noise = [UInt8](repeating: 0xff, count: 4096)
        for page in stride(from: 4096, to: size, by: 4096) { pwrite(fd, noise, noise.count, page) }
        close(fd)
        let found = error { _ = try test.store().read { try $0.networks() } }
        #expect(found?.code == .io && found?.place == test.home.storePath, "\(String(describing: found))")
    }

    @Test(
        "on a folder without write permission it can be read, and says what to do when written",
        .enabled(if: geteuid() != 0, "root may write everywhere; HostTests mount it read-only"))
    func readOnly() throws {
        let test = try TestHome()
        try test.network(lab())
        chmod(test.home.folder, 0o500)
        defer { chmod(test.home.folder, 0o700) }
        let store = try test.store()
        #expect(store.isReadOnly)
        #expect(try store.read { try $0.networks() }.count == 1)
        #expect(error { try store.write { try $0.deleteNetwork("lab") } }?.remedy?.contains("URSA_HOME") == true)
    }

    @Test("a transaction that fails leaves nothing, a rehearsal neither")
    func allOrNothing() throws {
        let test = try TestHome()
        try test.network(lab())
        try test.machine(web(publish: [PublishSpec(hostPort: 8080, guestPort: 80)]))
        // The port is found taken after the machine itself is in.
        #expect(
            error { try test.machine(web("db", publish: [PublishSpec(hostPort: 8080, guestPort: 80)])) }?.code
                == .conflict)
        #expect(try test.store().read { try $0.machines().map(\.name) } == ["web"])
        _ = try test.store().rehearse { db in try db.deleteMachine("web") }
        #expect(try test.store().read { try $0.machines().map(\.name) } == ["web"])
    }

    @Test("machines and networks come back as they were")
    func roundTrip() throws {
        let test = try TestHome()
        let network = try test.network(lab())
        var spec = web(publish: [
            PublishSpec(hostAddress: .v4(IPv4Address(127 << 24 | 1)), hostPort: 53, guestPort: 53, transport: .udp)
        ])
        spec.restart = .onFailure(limit: 3)
        spec.kernelArguments = "quiet '\"'"
        let machine = try test.machine(spec, project: nil)
        let read = try #require(try test.store().read { try $0.machines(named: "web").first })
        #expect(read.spec == spec && read.cards == machine.cards && read.project == nil && read.id == machine.id)
        #expect(read.image == machine.image && read.uid == Allocator.firstUser && read.phase == .ready)
        let stored = try #require(try test.store().read { try $0.networks().first })
        #expect(stored.spec == network.spec && stored.subnet == network.subnet && stored.subnet6 == network.subnet6)
        #expect(try test.store().read { try $0.machines(project: "/other") }.isEmpty)
    }

    @Test("a network that machines are on outlives its project, an empty one does not")
    func release() throws {
        let test = try TestHome()
        try test.network(lab())
        try test.network(NetworkSpec(name: "empty", subnet: IPv4Network("198.18.78.0/24")))
        try test.machine(web())
        try test.store().write { db in
            try db.release(network: "lab")
            try db.release(network: "empty")
        }
        let left = try test.store().read { try $0.networks() }
        #expect(left.map(\.spec.name) == ["lab"] && left.first?.project == nil)
    }
}

@Suite("claims")
struct ClaimTests {
    @Test("count while exactly that process lives, in this boot")
    func claims() throws {
        let test = try TestHome()
        let store = try test.store()
        let child = try Program("sleep", ["60"]).start()
        let other = try #require(ProcessIdentity(running: child.pid))
        try store.write { db in
            try db.claim("mine", .current)
            try db.claim("theirs", other)
            // The same number in other hands, and one of another boot.
            try db.claim("reused", ProcessIdentity(pid: getpid(), startTime: ProcessIdentity.current.startTime &+ 1))
            try db.execute(
                sql:
                    "INSERT INTO claims SELECT 'rebooted', pid, start_time, 'another' FROM claims WHERE machine = 'mine'"
            )
        }
        #expect(try store.read { try $0.liveClaims() } == ["mine", "theirs"])
        other.signal(SIGKILL)
        _ = try child.wait()
        #expect(try store.read { try $0.liveClaims() } == ["mine"])
        try store.write { try $0.unclaim("mine") }
        #expect(try store.read { try $0.liveClaims() }.isEmpty)
    }

    @Test("a machine left half made by a dead command is removed, one that a living command makes is not")
    func halfMade() throws {
        let test = try TestHome()
        let store = try test.store()
        try test.network(lab())
        for name in ["dead", "living", "deleting"] {
            try test.machine(web(name))
            try File.makeDirectory(test.home.machineFolder(name))
            try store.write { try $0.setPhase(name, name == "deleting" ? .deleting : .creating) }
        }
        try store.write { db in
            try db.claim("living", .current)
            try db.claim("dead", ProcessIdentity(pid: 1, startTime: 1))
        }
        let ursa = try Ursa(home: test.home)
        #expect(try ursa.listing().troubles.filter { $0.contains("half made") }.count == 2)
        try ursa.finishLeftovers(store)
        #expect(try store.read { try $0.machines().map(\.name) } == ["living"])
        #expect(File.list(test.home.machinesFolder) == ["living"])
        #expect(try ursa.events(since: nil).filter { $0.kind == "removed" }.count == 2)
        #expect(try store.read { try $0.liveClaims() } == ["living"])
    }

    @Test("gives vsock addresses out once for a machine's life, and to one machine each")
    func vsockAddresses() throws {
        let test = try TestHome()
        try test.network(lab())
        for name in ["one", "two", "three"] { try test.machine(web(name)) }
        let store = try test.store()
        func address(_ name: String) throws -> UInt32 {
            try store.write { try Allocator(db: $0, home: test.home, host: nil).vsockAddress(of: name) }
        }
        let first = try ["one", "two", "three"].map(address)
        #expect(try Set(first).count == 3 && ["one", "two", "three"].map(address) == first)
        #expect(first.allSatisfy { (0x4000_0000...0x7fff_ffff).contains($0) })
        #expect(try store.read { try $0.machines().compactMap(\.cid) }.count == 3)
        // One that is made again gets what is free, also where another has its first choice.
        try store.write { db in
            try db.deleteMachine("one")
            try db.execute(sql: "UPDATE vsock SET cid = ? WHERE machine = 'two'", arguments: [Int64(first[0])])
        }
        try test.machine(web("one"))
        let again = try address("one")
        #expect(again != first[0] && again != first[2])
    }

    @Test("of the version before is brought to this one, with what is in it")
    func migration() throws {
        let test = try TestHome()
        try test.network(lab())
        try test.machine(web())
        try test.store().write { try $0.execute(sql: "DROP TABLE vsock; PRAGMA user_version = 2") }
        let machine = try #require(try test.store().read { try $0.machines() }.first)
        #expect(machine.name == "web" && machine.cid == nil)
        #expect(try test.store().read { try Int.fetchOne($0, sql: "PRAGMA user_version") } == Migrations.current)
    }
}
