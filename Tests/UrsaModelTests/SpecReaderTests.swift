import Testing
import UrsaBase

@testable import UrsaModel

private func read(_ text: String) throws(UrsaError) -> Spec { try SpecReader.read(text, file: "f.yaml") }

@Suite("Reading ursa.yaml")
struct SpecReaderTests {
    @Test("every valid fixture is read", arguments: fixtureTexts("valid").map(\.name))
    func validFixture(_ name: String) throws {
        let text = try File.readText("\(fixtures)/valid/\(name)")
        #expect(try SpecReader.read(text, file: name).validate().isEmpty)
    }

    @Test("the design's example means what it says")
    func design() throws {
        let spec = try read(File.readText("\(fixtures)/valid/design.yaml"))
        let lab = NetworkSpec(name: "lab", subnet: IPv4Network("10.77.0.0/24"))
        let web = MachineSpec(
            name: "web", image: "debian:12", cpus: 2, memory: .mebibytes(512), networks: [NICSpec(network: "lab")],
            publish: [PublishSpec(hostPort: 8080, guestPort: 80)])
        let db = MachineSpec(
            name: "db", image: "debian:12", networks: [NICSpec(network: "lab", address: IPv4Address("10.77.0.20"))])
        #expect(spec == Spec(networks: [lab], machines: [web, db]))
    }

    @Test("every key is read")
    func everything() throws {
        let spec = try read(File.readText("\(fixtures)/valid/everything.yaml"))
        #expect(spec.networks.map(\.name) == ["lab", "mine", "short", "default"])
        #expect(spec.networks.map(\.model) == [.nat, .user, .nat, .user])
        #expect(spec.networks[0].subnet6 == IPv6Network("fd00:77::/64"))
        #expect(spec.networks[0].start == .always)
        #expect(spec.networks[0].mtu == 9000)
        #expect(!spec.networks[1].ipv6)
        let web = spec.machines[0]
        #expect(web.memory == .gibibytes(2))
        #expect(web.disk == .gibibytes(20))
        #expect(web.networks.map(\.network) == ["lab", "mine", "default", "short"])
        #expect(web.networks[0].mac == MACAddress("52:54:00:aa:bb:01"))
        #expect(web.publish.map(\.description) == ["8080:80", "127.0.0.1:2222:22", "[::3]:5353:53/udp", "8080:80/udp"])
        #expect(web.restart == .onFailure(limit: 5))
        #expect(web.engine == .qemu)
        #expect(web.accelerator == .tcg)
        #expect(web.vsock)
        #expect(web.stopTimeout == 120)
        #expect(web.readyPort == 80)
        #expect(web.kernelArguments == "console=ttyS0 quiet loglevel=3 # not a comment")
        #expect(web.sshKeys.count == 3)
        #expect(spec.machines[1].restart == .never)
        #expect(spec.machines[1].networks.isEmpty)
        #expect(spec.machines[1].image == "./images/db.qcow2")
    }

    @Test("what YAML would take for a truth value, a number or base 60 keeps its text")
    func textsOfScalars() throws {
        let spec = try read("machines: { no: { image: tiny, restart: no, publish: [1:1, 22:22], stop-timeout: 45 } }")
        #expect(spec.machines.first?.name == "no")
        #expect(spec.machines.first?.restart == .never)
        #expect(spec.machines.first?.publish.map(\.hostPort) == [1, 22])
    }

    @Test("a machine without `networks` is on `default`, which is then part of the spec")
    func impliedNetwork() throws {
        let spec = try read("networks: { lab: nat }\nmachines: { a: { image: tiny } }")
        #expect(spec.machines.first?.networks == [NICSpec(network: "default")])
        #expect(spec.networks == [NetworkSpec(name: "lab"), NetworkSpec(name: "default", model: .nat)])
    }

    @Test("a network `default` that the file defines is used as it stands")
    func ownDefault() throws {
        let spec = try read("networks: { default: user }\nmachines: { a: { image: tiny } }")
        #expect(spec.networks == [NetworkSpec(name: "default", model: .user)])
    }

    @Test("no `default` appears when no machine uses it")
    func noDefault() throws {
        #expect(try read("machines: { a: { image: tiny, networks: [] } }").networks.isEmpty)
        #expect(try read("networks:\nmachines:\n") == Spec())
    }

    @Test("aliases repeat values")
    func aliases() throws {
        let spec = try read(File.readText("\(fixtures)/valid/aliases.yaml"))
        #expect(spec.machines[0].sshKeys == spec.machines[1].sshKeys)
        #expect(spec.machines[1].memory == .mebibytes(256))
        #expect(spec.machines[3].image == "/srv/a b.img")
    }

    @Test("subnets and addresses of user networks may repeat: each machine has its own")
    func userNetworks() throws {
        let text = """
            networks:
              a: { user: {}, subnet: 10.0.2.0/24 }
              b: { user: {}, subnet: 10.0.2.0/24 }
            machines:
              one: { image: tiny, networks: [{ a: { address: 10.0.2.15 } }] }
              two: { image: tiny, networks: [{ a: { address: 10.0.2.15 } }] }
            """
        #expect(try read(text).machines.count == 2)
    }

    @Test("the same port at other addresses, or of the other transport, is no collision")
    func publishedPorts() throws {
        let ports = "[\"1.2.3.4:80:80\", \"1.2.3.5:80:80\", \"80:80/udp\", \"[::3]:80:80\", \"[::2]:80:80\"]"
        #expect(try read("machines: { a: { image: tiny, publish: \(ports) } }").machines.first?.publish.count == 5)
    }

    @Test("the smallest subnet holds four machines")
    func smallestSubnet() throws {
        for (last, fits) in [(0, false), (1, false), (2, true), (5, true), (6, false), (7, false), (8, false)] {
            let text = """
                networks: { lab: { nat: , subnet: 10.0.0.0/29 } }
                machines: { a: { image: tiny, networks: [{ lab: { address: 10.0.0.\(last) } }] } }
                """
            #expect(errors(text).isEmpty == fits, "10.0.0.\(last)")
        }
    }

    @Test("the bounds of every number are inside")
    func bounds() throws {
        let fine = [
            "cpus: 1", "cpus: 256", "memory: 64M", "memory: 16T", "memory: 67108864", "disk: 1M", "disk: 64T",
            "stop-timeout: 1", "stop-timeout: 1h", "ready-port: 1", "ready-port: 65535", "restart: on-failure:1",
            "restart: on-failure:1000000", "memory: 1 GiB", "publish: [\"65535:1\"]",
        ]
        for line in fine { #expect(errors("machines: { a: { image: tiny, \(line) } }").isEmpty, "\(line)") }
        for line in ["mtu: 1280", "mtu: 65535", "subnet: 10.0.0.0/8", "subnet: 10.0.0.8/29"] {
            #expect(errors("networks: { a: { nat: , \(line) } }").isEmpty, "\(line)")
        }
        let names = [String(repeating: "m", count: 63), "a", "a-b", "a1"]
        for name in names { #expect(errors("machines: { \(name): { image: tiny } }").isEmpty, "\(name)") }
        #expect(errors("networks: { \(String(repeating: "n", count: 32)): nat }").isEmpty)
    }

    @Test("errors come in the order of the file")
    func order() {
        let found = errors("machines:\n  A: { image: 1 }\n  b: { image: tiny, cpus: 0 }\nnetworks:\n  C: nat\n  d: x\n")
        #expect(found.map(\.place) == ["f.yaml:2:3", "f.yaml:2:15", "f.yaml:3:27", "f.yaml:5:3", "f.yaml:6:6"])
    }

    @Test("a part that can't be read causes no further errors about itself")
    func noFollowUps() {
        #expect(errors("machines: { a: { image: tiny, networks: [[]], publish: [\"1:1\"] } }").count == 1)
        #expect(errors("machines: { a: { image: tiny, publish: [x, \"1:1\"] } }").count == 1)
        #expect(
            errors("networks: { l: { nat: , subnet: x } }\nmachines: { a: { image: tiny, networks: [l] } }").count == 1)
        #expect(errors("networks: { l: bridged }\nmachines: { a: { image: tiny, networks: [l] } }").count == 1)
    }

    @Test("more errors than anyone reads are counted")
    func manyErrors() {
        let found = errors("machines:\n" + (0..<500).map { "  m\($0): { cpus: 0, image: tiny }\n" }.joined())
        #expect(found.count == ErrorList.limit + 1)
        #expect(found.last?.message == "and \(500 - ErrorList.limit) more errors")
    }
}
