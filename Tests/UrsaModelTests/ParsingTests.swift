import Testing
import UrsaBase

@testable import UrsaModel

@Suite("Forms of the command line")
struct ParsingTests {
    @Test(
        "published ports",
        arguments: [
            ("8080:80", PublishSpec(hostPort: 8080, guestPort: 80)),
            ("8080:80/tcp", PublishSpec(hostPort: 8080, guestPort: 80)),
            ("53:53/udp", PublishSpec(hostPort: 53, guestPort: 53, transport: .udp)),
            ("127.0.0.1:1:65535", PublishSpec(hostAddress: IPAddress("127.0.0.1"), hostPort: 1, guestPort: 65535)),
            (
                "[::1]:80:80/udp",
                PublishSpec(hostAddress: IPAddress("::1"), hostPort: 80, guestPort: 80, transport: .udp)
            ),
        ])
    func publish(_ text: String, _ expected: PublishSpec) throws {
        #expect(try PublishSpec(parsing: text) == expected)
        #expect(try PublishSpec(parsing: expected.description) == expected)
    }

    @Test(
        "what is no published port",
        arguments: [
            "", ":", "::", "80", "80:", ":80", "80:80:", "80:80/", "80:80/TCP", "/udp", "80/udp", "1:2:3:4", "[]:1:1",
            "[::1]1:1", "[::1]:1", "[::1]", "[::1", "]:1:1", "80:80 ", "٨٠:80", "80:8\u{301}0", "1e3:80", "0x50:80",
            String(repeating: "1", count: 1000),
        ])
    func notPublished(_ text: String) {
        #expect {
            try PublishSpec(parsing: text)
        } throws: { error in
            (error as? UrsaError)?.code == .usage && (error as? UrsaError)?.remedy != nil
        }
    }

    @Test(
        "network cards",
        arguments: [
            ("lab", NICSpec(network: "lab")),
            ("lab:10.77.0.20", NICSpec(network: "lab", address: IPv4Address("10.77.0.20"))),
            ("lab,mac=52:54:00:12:34:56", NICSpec(network: "lab", mac: MACAddress("52:54:00:12:34:56"))),
            (
                "lab:10.77.0.20,mac=52:54:00:12:34:56",
                NICSpec(network: "lab", address: IPv4Address("10.77.0.20"), mac: MACAddress("52:54:00:12:34:56"))
            ),
        ])
    func card(_ text: String, _ expected: NICSpec) throws { #expect(try NICSpec(parsing: text) == expected) }

    @Test("a network card takes every option of a file")
    func cardOptions() throws {
        let text = "lab:10.0.0.5,isolated,anti-spoof=true,rate=10M,address6=fd00::5,mtu=1400,mac=52:54:00:12:34:56"
        let rate = BitRate(bitsPerSecond: 10_000_000)
        #expect(
            try NICSpec(parsing: text)
                == NICSpec(
                    network: "lab", address: IPv4Address("10.0.0.5"), address6: IPv6Address("fd00::5"),
                    mac: MACAddress("52:54:00:12:34:56"), isIsolated: true, isGuarded: true, sendRate: rate,
                    receiveRate: rate, mtu: 1400))
    }

    @Test(
        "what is no network card",
        arguments: [
            "", ":", ",", "lab:", "lab:x", "Lab", "lab,", "lab,mac", "lab,mac=", "lab,mac=x", "lab,ip=1.2.3.4",
            "lab:1.2.3.4:5", "lab,mac=52:54:00:12:34:56,mac=52:54:00:12:34:57", "lab:1.2.3.4,address=1.2.3.5",
            "lab,isolated=yes", "lab,isolated,isolated", "lab,rate", "lab,rate=fast", "lab,mtu=x",
            "lab,address6=1.2.3.4",
            "lab\0", "lab:10.0.0.1/24", String(repeating: "a,", count: 500),
        ])
    func notCard(_ text: String) {
        #expect {
            try NICSpec(parsing: text)
        } throws: { error in
            (error as? UrsaError)?.code == .usage && (error as? UrsaError)?.remedy != nil
        }
    }

    @Test(
        "restart policies read what they print",
        arguments: [
            RestartPolicy.never, .always, .onFailure(limit: nil), .onFailure(limit: 1), .onFailure(limit: 999_999),
        ])
    func restart(_ policy: RestartPolicy) throws { #expect(try RestartPolicy(parsing: policy.description) == policy) }

    @Test(
        "what is no restart policy",
        arguments: [
            "", "No", "never", "on-failure:", "on-failure:0", "on-failure:-1", "on-failure:01", "on-failure:1:2",
            "always:3", "on-failure:9999999",
        ])
    func notRestart(_ text: String) {
        #expect(throws: UrsaError.self) { try RestartPolicy(parsing: text) }
    }

    @Test("spans of time", arguments: [("0", 0), ("30", 30), ("30s", 30), ("2m", 120), ("1h", 3600)])
    func seconds(_ text: String, _ expected: Int) throws { #expect(try Seconds(parsing: text).count == expected) }

    @Test(
        "what is no span of time",
        arguments: ["", "s", "-1", "1.5", "1d", "1m30s", " 1", "1 s", "01", "9999999999", "٣", "1ms"])
    func notSeconds(_ text: String) { #expect(throws: UrsaError.self) { try Seconds(parsing: text) } }
}

@Suite("Checking specs that no file said")
struct ValidationTests {
    private let lab = NetworkSpec(name: "lab", subnet: IPv4Network("10.77.0.0/24"))

    @Test("a machine of `ursa run` is held to the file's rules, placed at its options")
    func options() {
        let machine = MachineSpec(
            name: "Web", image: "", cpus: 0, memory: .mebibytes(1), disk: ByteCount(1),
            networks: [
                NICSpec(network: "lba"), NICSpec(network: "lab", address: IPv4Address("10.77.0.1")),
                NICSpec(network: "lab", mac: MACAddress(1 << 40)),
            ],
            publish: [PublishSpec(hostPort: 1, guestPort: 1), PublishSpec(hostPort: 1, guestPort: 2)],
            restart: .onFailure(limit: 0), stopTimeout: 0, readyPort: 0, kernelArguments: "a\nb", sshKeys: ["x"])
        let found = machine.validate(networks: [lab])
        let places = [
            "--name", "IMAGE", "--cpus", "--memory", "--disk", "--stop-timeout", "--restart", "--ready-port",
            "--kernel-arguments", "--ssh-key", "--network", "--network", "--network", "--publish",
        ]
        #expect(found.compactMap(\.place).sorted() == places.sorted(), "\(found)")
        #expect(found.allSatisfy { $0.code == .usage })
        #expect(found.contains { $0.remedy == "did you mean `lab`?" })
    }

    @Test("a fine machine has no errors, on the implied network too")
    func fine() {
        let machine = MachineSpec(name: "web", image: "tiny", networks: [NICSpec(network: "default")])
        #expect(machine.validate(networks: []).isEmpty)
        #expect(machine.validate(networks: [lab]).isEmpty)
    }

    @Test("a spec made by a program tells its errors by names")
    func places() {
        let machine = MachineSpec(
            name: "web", image: "tiny", cpus: 0, networks: [NICSpec(network: "lab", address: IPv4Address(1))])
        let found = Spec(networks: [lab, lab], machines: [machine, machine]).validate()
        let places = Set(found.compactMap(\.place))
        #expect(
            places.isSuperset(of: [
                "machines.web.cpus", "machines.web.networks[0].address", "machines.web", "networks.lab",
                "networks.lab.subnet",
            ]))
        #expect(found.allSatisfy { $0.code == .invalidSpec })
    }

    @Test("too many of anything is an error, not a long wait", .timeLimit(.minutes(120)))
    func many() {
        let networks = (0..<600).map {
            NetworkSpec(name: "n\($0)", subnet: IPv4Network(IPv4Address(10 << 24 + UInt32($0) << 8), prefix: 24))
        }
        let machines = (0..<5000).map { MachineSpec(name: "m\($0)", image: "tiny", networks: [NICSpec(network: "n0")]) }
        let found = Spec(networks: networks, machines: machines).validate()
        #expect(found.map(\.message).sorted() == ["5000 machines are too many", "600 networks are too many"])
    }
}
