import Glibc
import Testing
import UrsaBase

@testable import UrsaControl

/// The environment belongs to the whole process, so these come one after the other.
@Suite("which home", .serialized)
struct HomeTests {
    private func home(_ variables: [String: String]) -> Result<Home, UrsaError> {
        let names = ["URSA_HOME", "XDG_DATA_HOME", "HOME"]
        let before = names.map { name in (name, getenv(name).map { String(cString: $0) }) }
        defer { for (name, value) in before { if let value { setenv(name, value, 1) } else { unsetenv(name) } } }
        for name in names { if let value = variables[name] { setenv(name, value, 1) } else { unsetenv(name) } }
        do throws(UrsaError) { return .success(try Home.fromEnvironment()) } catch { return .failure(error) }
    }

    @Test("URSA_HOME wins and must be absolute")
    func named() throws {
        let named = try home(["URSA_HOME": "/srv/ursa/", "HOME": "/root"]).get()
        #expect(named.folder == "/srv/ursa" && !named.isDefault)
        #expect(throws: UrsaError.self) { try home(["URSA_HOME": "here"]).get() }
    }

    @Test("without it: root's folder, or the user's by XDG or HOME")
    func usual() throws {
        if geteuid() == 0 {
            #expect(
                try home(["HOME": "/root", "URSA_HOME": ""]).get() == Home(folder: "/var/lib/ursa", isDefault: true))
        } else {
            #expect(try home(["XDG_DATA_HOME": "/data", "HOME": "/me"]).get().folder == "/data/ursa")
            #expect(try home(["XDG_DATA_HOME": "data", "HOME": "/me"]).get().folder == "/me/.local/share/ursa")
            #expect(throws: UrsaError.self) { try home([:]).get() }
        }
    }

    @Test("folders are made passable, not listable, for others")
    func folders() throws {
        let test = try TestHome()
        try test.home.prepare()
        try test.home.prepare()
        #expect(try #require(File.status(test.home.machinesFolder)).st_mode & 0o777 == 0o711)
    }
}

@Suite("the event log")
struct EventTests {
    @Test("events come back as they were noted, from a moment on")
    func roundTrip() throws {
        let test = try TestHome()
        let ursa = try Ursa(home: test.home)
        #expect(try ursa.events(since: nil).isEmpty, "no log yet")
        test.home.note("started", machine: "web", "engine \"runs\"\nwell")
        test.home.note("network", "+ namespace ursa-lab")
        let events = try ursa.events(since: nil)
        #expect(events.map(\.kind) == ["started", "network"] && events.map(\.machine) == ["web", nil])
        #expect(events.first?.detail == "engine \"runs\"\nwell")
        #expect(abs((events.first?.time ?? 0) - wallClock()) < 60)
        let again = try #require(events.first.flatMap { EventView(line: $0.json.text) })
        #expect(again.time == events.first?.time)
        #expect(try ursa.events(since: (events.last?.time ?? 0) + 1).isEmpty)
    }

    @Test("torn and foreign lines are passed over")
    func torn() throws {
        let test = try TestHome()
        let ursa = try Ursa(home: test.home)
        test.home.note("started", machine: "web", "one")
        try File.append(test.home.eventsPath, Array("{\"time\":\"2026-01-01T00:0\n".utf8))
        try File.append(
            test.home.eventsPath, Array("[]\n\n{\"event\":\"x\"}\n{\"event\":\"x\",\"time\":\"yesterday\"}\n".utf8))
        test.home.note("removed", machine: "web", "two")
        #expect(try ursa.events(since: nil).map(\.detail) == ["one", "two"])
        #expect(ursa.parseEvent("\u{0}") == nil)
    }

    @Test("a log that grew too long is put aside, and still read")
    func rotation() throws {
        let test = try TestHome()
        test.home.note("started", machine: "web", "before")
        #expect(truncate(test.home.eventsPath, Home.eventLimit + 1) == 0)
        test.home.note("removed", machine: "web", "after")
        #expect(File.exists(test.home.eventsPath + ".1"))
        #expect(try Ursa(home: test.home).events(since: nil).last?.detail == "after")
    }
}
