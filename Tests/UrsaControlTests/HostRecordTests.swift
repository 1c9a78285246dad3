import GRDB
import Testing
import UrsaBase
import UrsaModel
import UrsaNetWatch

@testable import UrsaControl

@Suite("what is said of the host")
struct HostRecordTests {
    private func spec(_ uplinks: String...) -> Spec {
        Spec(uplinks: uplinks.map { UplinkSpec(name: $0, interface: $0) })
    }

    @Test("one project says it, another is refused by the first one's name, and may after `down`")
    func owner() throws {
        let test = try TestHome()
        let store = try test.store()
        try store.write { try $0.saveHost(spec("eth0"), project: "/one.yaml") }
        let found = error { try store.write { try $0.saveHost(spec("eth1"), project: "/two.yaml") } }
        #expect(found?.code == .conflict && found?.place?.contains("/one.yaml") == true)
        // Saying nothing is no conflict, and gives up nothing of others.
        try store.write { try $0.saveHost(Spec(), project: "/two.yaml") }
        #expect(try store.read { try $0.host()?.project } == "/one.yaml")
        try store.write { try $0.releaseHost(project: "/one.yaml") }
        try store.write { try $0.saveHost(spec("eth1"), project: "/two.yaml") }
        #expect(try store.read { try $0.host()?.spec.uplinks.map(\.name) } == ["eth1"])
        try store.write { try $0.saveHost(Spec(), project: "/two.yaml") }
        #expect(try store.read { try $0.host()?.project == nil })
    }

    @Test("an uplink keeps its number for its life; one that is given up is free again")
    func numbers() throws {
        let store = try TestHome().store()
        try store.write { try $0.saveHost(spec("a", "b", "c"), project: "/p") }
        #expect(try store.read { try $0.host()?.numbers } == ["a": 1, "b": 2, "c": 3])
        try store.write { try $0.saveHost(spec("c", "a"), project: "/p") }
        try store.write { try $0.saveHost(spec("d", "c", "a"), project: "/p") }
        #expect(try store.read { try $0.host()?.numbers } == ["a": 1, "c": 3, "d": 2])
    }

    @Test("rows come back as they were, networks that were new go, others are left alone")
    func snapshot() throws {
        let test = try TestHome()
        let store = try test.store()
        try store.write { try $0.saveHost(spec("a", "b"), project: "/p") }
        try test.network(NetworkSpec(name: "lab"))
        let before = try store.read { try $0.networks().map(\.spec) }
        let saved = try store.write { try $0.snapshot(networks: ["lab", "new"]) }
        try store.write { try $0.saveHost(spec("b", "x"), project: "/p") }
        try test.network(NetworkSpec(name: "new"))
        try test.network(NetworkSpec(name: "other"))
        try store.write { db in
            var lab = try #require(try db.networks().first { $0.spec.name == "lab" })
            lab.wanted = true
            lab.spec.mtu = 1400
            try db.save(lab)
        }
        for _ in 0..<2 {
            try store.write { try $0.restore(JSON.parse(saved.text)) }
            #expect(try store.read { try $0.networks().map(\.spec.name) } == ["lab", "other"])
            #expect(try store.read { try $0.networks().first?.spec } == before.first)
            #expect(try store.read { try $0.networks().first?.wanted } == false)
            #expect(try store.read { try $0.host()?.numbers } == ["a": 1, "b": 2])
        }
    }

    @Test("a change that waits is taken back when its time is over or the host was started anew")
    func pending() throws {
        let test = try TestHome()
        let ursa = try Ursa(home: test.home)
        let store = try test.store()
        for (deadline, isOver) in [
            (WatchOrders.Deadline.after(seconds: 60), false), (.after(seconds: 0), true),
            (.init(boot: "another", seconds: 1e9), true),
        ] {
            try store.write { db in
                try db.saveHost(spec("old"), project: "/p")
                let former = try db.snapshot(networks: [])
                try db.saveHost(spec("new"), project: "/p")
                try db.save(PendingChange(deadline: deadline, what: "a try", former: former))
            }
            #expect(try ursa.takeBackOverdue(store) == isOver)
            #expect(try store.read { try $0.host()?.spec.uplinks.first?.name } == (isOver ? "old" : "new"))
            #expect(try store.read { try $0.pending() != nil } == !isOver)
            if !isOver { #expect(error { try ursa.requireNothingPending(store) }?.code == .conflict) }
        }
    }

    @Test("a store of the first version is brought up to date with what it holds")
    func migration() throws {
        let test = try TestHome()
        try test.network(NetworkSpec(name: "lab"))
        try test.store().write {
            try $0.execute(
                sql: """
                    DROP TABLE host_specs; DROP TABLE uplink_numbers; DROP TABLE pending; DROP TABLE vsock; PRAGMA user_version = 1
                    """)
        }
        #expect(try test.store().read { try $0.networks().map(\.spec.name) } == ["lab"])
        #expect(try test.store().read { try $0.host()?.project == nil && $0.pending()?.what == nil })
    }
}
