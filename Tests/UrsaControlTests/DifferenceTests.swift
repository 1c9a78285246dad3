import Testing
import UrsaBase
import UrsaModel
import UrsaNet

@testable import UrsaControl

@Suite("the difference between a spec and what there is")
struct DifferenceTests {
    private let project = "/p/ursa.yaml"

    private func difference(
        _ spec: Spec, _ machines: [MachineRecord] = [], networks: [NetworkRecord] = [], running: Set<String> = [],
        stored: Set<String> = ["tiny"]
    ) throws -> Difference {
        try Difference(spec, project: project, machines: machines, networks: networks, running: running, stored: stored)
    }

    private func network(_ spec: NetworkSpec, project: String? = "/p/ursa.yaml", wanted: Bool = false) -> NetworkRecord
    {
        NetworkRecord(spec: spec, project: project, subnet: spec.subnet, subnet6: nil, wanted: wanted)
    }

    private func card() -> CardView {
        CardView(network: "lab", mac: MACAddress(0x5254_0000_0001), address: IPv4Address("198.18.77.10"), address6: nil)
    }

    @Test("from nothing: image once, network, machines")
    func fresh() throws {
        let found = try difference(Spec(networks: [lab()], machines: [web("a"), web("b")]), stored: [])
        #expect(found.images == ["tiny"] && found.networks == [lab()] && found.create.map(\.name) == ["a", "b"])
        #expect(found.start.isEmpty && found.changed.isEmpty && found.gone.isEmpty && !found.isEmpty)
    }

    @Test("all as wanted: nothing")
    func nothing() throws {
        let machine = record(web(), project: project)
        let found = try difference(
            Spec(networks: [lab()], machines: [web()]), [machine], networks: [network(lab())], running: ["web"],
            stored: [])
        #expect(found.isEmpty, "an image that is gone since does not matter to a machine that is there")
    }

    @Test("a machine that is there and does not run is started, with its new settings")
    func start() throws {
        var changed = web()
        changed.cpus = 4
        let found = try difference(
            Spec(networks: [lab()], machines: [changed]), [record(web(), project: project)], networks: [network(lab())])
        #expect(found.start == [changed] && found.create.isEmpty && found.changed.isEmpty)
    }

    @Test("what a running machine can have at once is told from what needs a restart")
    func changed() throws {
        let machine = record(web(), project: project, cards: [card()])
        var live = web(publish: [PublishSpec(hostPort: 8080, guestPort: 80)])
        (live.readyPort, live.stopTimeout) = (81, 5)
        var found = try difference(
            Spec(networks: [lab()], machines: [live]), [machine], networks: [network(lab())], running: ["web"])
        #expect(found.changed.map(\.needsRestart) == [false] && found.changed.first?.live == live)
        #expect(
            found.changed.first?.words.contains("publish none → 8080:80") == true, "\(found.changed.first?.words ?? [])"
        )
        var both = live
        both.memory = .mebibytes(1024)
        found = try difference(
            Spec(networks: [lab()], machines: [both]), [machine], networks: [network(lab())], running: ["web"])
        #expect(found.changed.map(\.needsRestart) == [true])
        #expect(found.changed.first?.live == live, "what needs no restart is had at once")
        #expect(found.changed.first?.words.contains("memory 512M → 1G") == true, "\(found.changed.first?.words ?? [])")
    }

    @Test("ports of a machine with user networking need a restart")
    func userPorts() throws {
        let found = try difference(
            Spec(networks: [lab()], machines: [web(publish: [PublishSpec(hostPort: 8080, guestPort: 80)])]),
            [record(web(), project: project)], networks: [network(lab())], running: ["web"])
        #expect(found.changed.map(\.needsRestart) == [true] && found.changed.first?.live == web())
    }

    @Test("what the file no longer has is stopped when it runs; its networks go")
    func gone() throws {
        let machines = ["a", "b", "c"].map { record(web($0), project: $0 == "c" ? "/other" : project) }
        let found = try difference(
            Spec(), machines, networks: [network(lab()), network(NetworkSpec(name: "theirs"), project: "/other")],
            running: ["a", "c"])
        #expect(found.gone == ["a"] && found.networksToRemove == ["lab"])
    }

    @Test("machines of others and other images are conflicts, all told at once")
    func conflicts() throws {
        var image = web("b")
        image.image = "debian:12"
        let found = error {
            _ = try difference(
                Spec(networks: [lab()], machines: [web("a"), image, web("c")]),
                [
                    record(web("a"), project: "/other/ursa.yaml"), record(web("b"), project: project),
                    record(web("c"), project: nil),
                ],
                stored: ["tiny", "debian:12"])
        }
        let all = try #require(found.map { [$0] + $0.others })
        #expect(all.map(\.code) == [.conflict, .conflict, .conflict])
        #expect(all[0].place?.contains("/other/ursa.yaml") == true)
        #expect(all[1].message.contains("tiny") && all[1].message.contains("debian:12"))
        #expect(all[2].place?.contains("ursa run") == true)
    }

    @Test("images that are files are not built", arguments: ["/a/disk.qcow2", "./disk.qcow2", "../disk.qcow2"])
    func paths(_ path: String) throws {
        #expect(try difference(Spec(machines: [MachineSpec(name: "a", image: path)]), stored: []).images.isEmpty)
    }

    @Test("a network with other settings, or wanted again, is part of it; a half-made machine is made")
    func networks() throws {
        var wider = lab()
        wider.mtu = 9000
        #expect(try difference(Spec(networks: [wider]), networks: [network(lab())]).networks == [wider])
        var always = lab()
        always.start = .always
        #expect(try difference(Spec(networks: [always]), networks: [network(always)]).networks == [always])
        #expect(try difference(Spec(networks: [always]), networks: [network(always, wanted: true)]).isEmpty)
        var half = record(web(), project: project)
        half.phase = .creating
        #expect(
            try difference(Spec(networks: [lab()], machines: [web()]), [half], networks: [network(lab())]).create == [
                web()
            ])
    }
}

@Suite("which networks should be there")
struct WishTests {
    private func network(_ name: String, model: NetworkSpec.Model = .nat, wanted: Bool = false, subnet: String)
        -> NetworkRecord
    {
        NetworkRecord(
            spec: NetworkSpec(name: name, model: model), project: nil, subnet: IPv4Network(subnet), subnet6: nil,
            wanted: wanted)
    }

    private func machine(_ name: String, on networks: [(String, String?)], publish: [PublishSpec] = []) -> MachineRecord
    {
        record(
            MachineSpec(name: name, image: "tiny", publish: publish),
            cards: networks.enumerated().map { position, card in
                CardView(
                    network: card.0, mac: MACAddress(0x5254_0000_0000 + UInt64(position)),
                    address: card.1.flatMap { IPv4Address($0) },
                    address6: nil)
            })
    }

    @Test("those of living machines and those wanted always; machines that don't live are on none")
    func living() {
        let networks = [
            network("lab", subnet: "198.18.77.0/24"), network("idle", subnet: "198.18.78.0/24"),
            network("always", wanted: true, subnet: "198.18.79.0/24"),
            network("slirp", model: .user, subnet: "198.18.80.0/24"),
        ]
        let machines = [
            machine("web", on: [("lab", "198.18.77.10"), ("slirp", nil)]), machine("db", on: [("lab", "198.18.77.11")]),
            machine("old", on: [("idle", "198.18.78.10")]),
        ]
        let wishes = Wishes.networks(networks, machines, live: ["web"])
        #expect(wishes.map(\.name) == ["lab", "always"])
        #expect(wishes.first?.members.map(\.machine) == ["web"] && wishes.last?.members.isEmpty == true)
        #expect(Wishes.networks(networks, machines, live: []).map(\.name) == ["always"])
    }

    @Test("a machine's ports lead to its first card with an address, once")
    func ports() {
        let networks = [network("lab", subnet: "198.18.77.0/24"), network("back", subnet: "198.18.78.0/24")]
        let web = machine(
            "web", on: [("slirp", nil), ("back", "198.18.78.10"), ("lab", "198.18.77.10")],
            publish: [PublishSpec(hostPort: 53, guestPort: 5353, transport: .udp)])
        let wishes = Wishes.networks(networks, [web], live: ["web"])
        #expect(wishes.first { $0.name == "lab" }?.ports.isEmpty == true)
        let port = wishes.first { $0.name == "back" }?.ports.first
        #expect(port?.guestAddress == IPv4Address("198.18.78.10") && port?.isUDP == true && port?.guestPort == 5353)
    }
}

@Suite("plans")
struct PlanTests {
    private struct Fake: Step {
        let line: String
        func apply() throws(UrsaError) {}
        func undo() throws(UrsaError) {}
    }

    @Test("a step's first character is the sign, its line belongs to the host")
    func lines() {
        #expect(PlanLine(step: Fake(line: "+ namespace ursa-lab")) == PlanLine("+", "namespace ursa-lab", indent: 1))
        #expect(PlanLine(step: Fake(line: "! refused")).sign == "!")
        #expect(PlanLine(step: Fake(line: "")).text.isEmpty)
        let plan = Plan(lines: [PlanLine("+", "machine web"), PlanLine("-", "stem", indent: 1)])
        #expect(plan.json["changes"]?.array?.map { $0["level"]?.string } == ["wish", "host"])
        #expect(Plan(lines: []).isEmpty && !plan.isEmpty)
    }

    @Test("a plan gives nothing out and keeps nothing")
    func rehearsal() throws {
        let test = try TestHome()
        let spec = Spec(networks: [lab()], machines: [web(), web("db")])
        let plan = try Ursa(home: test.home).plan(spec, project: "/p/ursa.yaml")
        let machine = plan.lines.first { $0.text.hasPrefix("machine web:") }
        #expect(machine?.sign == "+" && machine?.indent == 0)
        if test.home.isRoot { #expect(machine?.text.contains("198.18.77.10") == true) }
        #expect(try test.store().read { try $0.machines().isEmpty && $0.networks().isEmpty })
    }
}
