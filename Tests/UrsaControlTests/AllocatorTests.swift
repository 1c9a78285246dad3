import GRDB
import Testing
import UrsaBase
import UrsaModel

@testable import UrsaControl

@Suite("what is given out")
struct AllocatorTests {
    @Test("addresses are unique, in order, and never those of gateway and host")
    func addresses() throws {
        let test = try TestHome()
        let network = try test.network(lab("198.18.77.0/29"))
        let given = try (0..<4).map { try test.machine(web("m\($0)")).cards.first?.address?.description }
        #expect(given == ["198.18.77.2", "198.18.77.3", "198.18.77.4", "198.18.77.5"])
        // .1 is the gateway, .6 the host's end: a /29 has four.
        let found = error { try test.machine(web("m4")) }
        #expect(found?.code == .conflict && found?.message.contains("no free address") == true)
        #expect(try test.store().read { try $0.machines() }.count == 4, "the fifth left nothing")
        try test.store().write { try $0.deleteMachine("m1") }
        #expect(try test.machine(web("m5")).cards.first?.address?.description == "198.18.77.3")
        #expect(network.subnet == IPv4Network("198.18.77.0/29"))
    }

    @Test("a network that nobody keeps up belongs to whom asks for it; one that is kept up stays with its project")
    func takeover() throws {
        let test = try TestHome()
        let store = try test.store()
        let always = NetworkSpec(name: "lab", subnet: IPv4Network("198.18.77.0/24"), start: .always)
        func asked(by project: String) throws -> NetworkRecord {
            try store.write {
                try Allocator(db: $0, home: test.home, host: nil).network(always, project: project)
            }
        }
        #expect(try asked(by: "/a").project == "/a")
        #expect(try asked(by: "/b").project == "/a", "a keeps it up")
        try store.write { db in
            var record = try #require(try db.networks().first)
            record.wanted = false
            try db.save(record)
        }
        let taken = try asked(by: "/b")
        #expect(taken.project == "/b" && taken.wanted)
    }

    @Test("in larger subnets machines start at .10, and the lower ones come last")
    func room() throws {
        let test = try TestHome()
        try test.network(lab("198.18.77.0/26"))
        let all = try (0..<60).map { try #require(test.machine(web("m\($0)")).cards.first?.address).description }
        #expect(all.first == "198.18.77.10" && all[51] == "198.18.77.61" && all[52] == "198.18.77.2")
        #expect(Set(all).count == 60)
        #expect(error { try test.machine(web("m60")) }?.code == .conflict)
    }

    @Test("asked-for addresses are checked, given, and refused to the next")
    func asked() throws {
        let test = try TestHome()
        try test.network(lab())
        func asking(_ name: String, _ address: String) -> MachineSpec {
            MachineSpec(name: name, image: "tiny", networks: [NICSpec(network: "lab", address: IPv4Address(address))])
        }
        for wrong in ["198.18.77.0", "198.18.77.1", "198.18.77.254", "198.18.77.255", "198.18.78.9"] {
            #expect(error { try test.machine(asking("x", wrong)) }?.code == .invalidSpec, "\(wrong)")
        }
        #expect(try test.machine(asking("a", "198.18.77.10")).cards.first?.address?.description == "198.18.77.10")
        let found = error { try test.machine(asking("b", "198.18.77.10")) }
        #expect(found?.code == .conflict && found?.message.contains("belongs to machine a") == true)
        #expect(try test.machine(web("c")).cards.first?.address?.description == "198.18.77.11", "goes round it")
    }

    @Test("two cards on one network have two addresses")
    func twoCards() throws {
        let test = try TestHome()
        try test.network(lab())
        var spec = web()
        spec.networks.append(NICSpec(network: "lab"))
        let cards = try test.machine(spec).cards
        #expect(Set(cards.map(\.address)).count == 2 && Set(cards.map(\.mac)).count == 2)
        #expect(Set(cards.map(\.address6)).count == 2)
    }

    @Test("Ethernet addresses derive from home, machine and position; the IPv6 address from them")
    func ethernet() throws {
        let test = try TestHome()
        let network = try test.network(lab())
        let first = try test.cards(web())
        #expect(try test.cards(web()) == first, "the same twice")
        let card = try #require(try test.machine(web()).cards.first)
        #expect(first == [card])
        #expect(card.mac.description.hasPrefix("52:54:00:"))
        #expect(card.address6 == network.subnet6?.slaacAddress(of: card.mac))
        try test.store().write { try $0.deleteMachine("web") }
        #expect(try test.machine(web()).cards.first?.mac == card.mac, "made anew, it is the same")
        let other = try TestHome()
        try other.network(lab())
        #expect(try other.cards(web()).first?.mac != card.mac, "another home, another address")
        var asking = web("thief")
        asking.networks = [NICSpec(network: "lab", mac: card.mac)]
        #expect(error { try test.machine(asking) }?.code == .conflict)
    }

    @Test("cards are kept for life, also when others come and go; a moved card gets a new address")
    func kept() throws {
        let test = try TestHome()
        try test.network(lab())
        try test.network(NetworkSpec(name: "other", subnet: IPv4Network("198.18.79.0/24")))
        try test.machine(web("first"))
        let cards = try test.machine(web()).cards
        try test.store().write { try $0.deleteMachine("first") }
        #expect(try test.cards(web(), having: cards) == cards)
        var more = web()
        more.networks.append(NICSpec(network: "other"))
        #expect(try test.cards(more, having: cards).first == cards.first)
        var moved = web()
        moved.networks = [NICSpec(network: "other")]
        #expect(try test.cards(moved, having: cards).first?.address?.description == "198.18.79.10")
        var fixed = web()
        fixed.networks = [NICSpec(network: "lab", address: IPv4Address("198.18.77.99"))]
        let changed = try test.cards(fixed, having: cards).first
        #expect(changed?.address?.description == "198.18.77.99" && changed?.mac == cards.first?.mac)
    }

    @Test("user networks give out a card and nothing of the host")
    func userNetwork() throws {
        let test = try TestHome()
        let network = try test.network(NetworkSpec(name: "lab", model: .user))
        #expect(network.subnet == nil && network.subnet6 == nil)
        let card = try #require(try test.machine(web()).cards.first)
        #expect(card.address == nil && card.address6 == nil)
    }

    @Test("user ids are unique and given again")
    func users() throws {
        let test = try TestHome()
        try test.network(lab())
        let ids = try (0..<3).map { try test.machine(web("m\($0)")).uid }
        #expect(ids == [Allocator.firstUser, Allocator.firstUser + 1, Allocator.firstUser + 2])
        try test.store().write { try $0.deleteMachine("m1") }
        #expect(try test.machine(web("m3")).uid == Allocator.firstUser + 1)
    }

    @Test("a machine on a network that is not there is refused")
    func unknownNetwork() throws {
        let test = try TestHome()
        #expect(error { try test.machine(web()) }?.message == "there is no network lab")
    }
}

@Suite("ports that are given out")
struct PortTests {
    private static func port(_ address: String?, udp: Bool = false) -> PublishSpec {
        PublishSpec(
            hostAddress: address.flatMap { IPAddress($0) }, hostPort: 8080, guestPort: 80, transport: udp ? .udp : .tcp)
    }

    @Test(
        "every address collides with any, one address with itself",
        arguments: [
            (nil, nil, true), (nil, "127.0.0.1", true), ("127.0.0.1", nil, true), ("::1", nil, true),
            ("127.0.0.1", "127.0.0.1", true), ("127.0.0.1", "127.0.0.2", false), ("127.0.0.1", "::1", false),
        ] as [(String?, String?, Bool)])
    func collisions(_ first: String?, _ second: String?, _ collides: Bool) throws {
        let test = try TestHome()
        try test.network(lab())
        try test.machine(web("a", publish: [Self.port(first)]))
        let found = error { try test.machine(web("b", publish: [Self.port(second)])) }
        #expect((found?.code == .conflict) == collides)
        if collides { #expect(found?.message.contains("by machine a") == true) }
    }

    @Test("UDP and TCP have ports of their own, and a machine may take its own again")
    func transports() throws {
        let test = try TestHome()
        try test.network(lab())
        var machine = try test.machine(web("a", publish: [Self.port(nil)]))
        try test.machine(web("b", publish: [Self.port(nil, udp: true)]))
        machine.spec.cpus = 2
        let changed = machine
        try test.store().write { try $0.update(changed) }
        try test.store().write { try $0.deleteMachine("a") }
        try test.machine(web("c", publish: [Self.port(nil)]))
    }

    @Test("two ports of one machine may not be the same")
    func twice() throws {
        let test = try TestHome()
        try test.network(lab())
        #expect(
            error { try test.machine(web("a", publish: [Self.port(nil), Self.port("127.0.0.1")])) }?.code == .conflict)
    }

    @Test("a port that a program of the host listens on is not free")
    func listening() throws {
        let socket = try ListeningPort()
        func asking(_ port: UInt16, udp: Bool = false) -> UrsaError? {
            error {
                try HostPorts.requireFree(
                    PublishSpec(
                        hostAddress: IPAddress("127.0.0.1"), hostPort: port, guestPort: 80, transport: udp ? .udp : .tcp
                    ),
                    machine: "web")
            }
        }
        #expect(asking(socket.port)?.code == .conflict)
        #expect(asking(socket.port, udp: true) == nil)
        let missing = error {
            try HostPorts.requireFree(
                PublishSpec(hostAddress: IPAddress("192.0.2.1"), hostPort: 8080, guestPort: 80), machine: "web")
        }
        #expect(missing?.code == .invalidSpec && missing?.message.contains("192.0.2.1") == true)
    }
}

@Suite("networks that are given out")
struct NetworkAllocationTests {
    @Test("left-out subnets are free ones, kept, and different")
    func free() throws {
        let test = try TestHome()
        let first = try test.network(NetworkSpec(name: "one"))
        let second = try test.network(NetworkSpec(name: "two"))
        let (one, two) = (try #require(first.subnet), try #require(second.subnet))
        #expect(!one.overlaps(two) && one.prefix == 24)
        #expect(first.subnet6 != second.subnet6 && first.subnet6?.prefix == 64)
        #expect(try test.network(NetworkSpec(name: "one")).subnet == one)
        #expect(try test.network(NetworkSpec(name: "none", ipv6: false)).subnet6 == nil)
    }

    @Test("a subnet that overlaps another network's is refused")
    func overlap() throws {
        let test = try TestHome()
        try test.network(lab())
        let found = error { try test.network(NetworkSpec(name: "two", subnet: IPv4Network("198.18.0.0/16"))) }
        #expect(found?.code == .conflict && found?.message.contains("overlaps network lab") == true)
    }

    @Test("a subnet that the host uses is refused")
    func hostUses() throws {
        let test = try TestHome()
        let found = error { try test.network(NetworkSpec(name: "two", subnet: IPv4Network("127.0.0.0/8"))) }
        #expect(found?.code == .conflict && found?.message.contains("of this host") == true)
    }

    @Test("settings change while no machine is on it; the subnet never moves under a machine")
    func changes() throws {
        let test = try TestHome()
        try test.network(lab())
        #expect(try test.network(lab("198.18.99.0/24")).subnet?.description == "198.18.99.0/24")
        try test.machine(web())
        let found = error { try test.network(lab("198.18.98.0/24")) }
        #expect(found?.code == .conflict && found?.message.contains("machine web") == true)
        var wider = lab("198.18.99.0/24")
        wider.mtu = 9000
        let record = try test.network(wider)
        #expect(record.spec.mtu == 9000 && record.subnet?.description == "198.18.99.0/24")
        // Another project must not change what this one's machines stand on.
        wider.mtu = 1400
        #expect(error { try test.network(wider, project: "/other") }?.code == .conflict)
        #expect(try test.network(record.spec, project: "/other").project == "/p", "the same settings are shared")
    }

    @Test("`start: always` is wanted until it is given up")
    func always() throws {
        let test = try TestHome()
        var spec = lab()
        spec.start = .always
        #expect(try test.network(spec).wanted)
        var given = try test.network(spec)
        given.wanted = false
        let down = given
        try test.store().write { try $0.save(down) }
        #expect(try test.network(spec).wanted, "the next up wants it again")
    }
}
