import Glibc
import TestSupport
import Testing
import UrsaBase

/// The promise of the README, on a private host: two machines from one file, found by name, published, taken away.
@Suite(.enabled(if: Can.guests, "needs root, QEMU, dnsmasq and nft"), .timeLimit(.minutes(120)))
struct QuickstartTests {
    static let spec = """
        networks:
          lab: { nat: {}, subnet: 10.77.0.0/24 }
        machines:
          web: { image: tiny, memory: 128M, networks: [lab], publish: ["8080:80"] }
          db:  { image: tiny, memory: 128M, networks: [{ lab: { address: 10.77.0.20 } }] }
        """

    private let examples = Path.parent(Path.parent(Path.parent(#filePath))) + "/examples"

    @Test func everyExampleIsAGoodSpec() throws {
        let folders = File.list(examples).filter { File.isDirectory(examples + "/" + $0) }
        let files = folders.flatMap { folder in
            File.list(examples + "/" + folder).filter { $0.hasSuffix(".yaml") }.map { "\(examples)/\(folder)/\($0)" }
        }
        #expect(files.count >= 2)
        for file in files {
            let result = try Program(Products.ursa, ["config", "-f", file]).run(seconds: 60)
            #expect(result.end.isSuccess, "\(file): \(result.errors)")
        }
    }

    private func host() throws -> PrivateHost {
        let host = try PrivateHost()
        try SharedImages.lend(to: host.home)
        try File.replace(host.folder + "/ursa.yaml", text: QuickstartTests.spec)
        return host
    }

    @Test func twoMachinesFindEachOtherByNameAndAnswerOnAPublishedPort() throws {
        let host = try host()
        let file = host.folder + "/ursa.yaml"
        let sysctls = ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"]
        let before = try host.run("sysctl", sysctls)

        let plan = try host.ursaOK("plan", "-f", file)
        #expect(plan.contains("machine web") && plan.contains("10.77.0.20"))
        #expect(try host.leftovers().isEmpty, "a plan changes nothing")

        try host.ursaOK("up", "-f", file, "--wait", "--timeout", "90")
        #expect(try host.ursaOK("plan", "-f", file).contains("nothing to change"))

        // On the host: the published port, and both names.
        #expect(try host.run("curl", ["-sS", "--max-time", "10", "http://127.0.0.1:8080/"]).contains("web"))
        #expect(try host.run("getent", ["ahostsv4", "db"]).contains("10.77.0.20"))
        #expect(try host.run("curl", ["-sS", "--max-time", "10", "http://db.lab.ursa.internal/"]).contains("db"))

        // In the guests: each finds the other.
        let seen = try host.ursaOK(
            "console", "web", "--no-replay", "--send", "wget -qO- http://db/ && echo the-name-''works\\n",
            "--until", "the-name-works", "--timeout", "30")
        #expect(seen.contains("db"))
        let back = try host.ursaOK(
            "console", "db", "--no-replay", "--send", "ping -c1 -W3 web.lab.ursa.internal && echo it-''answers\\n",
            "--until", "it-answers", "--timeout", "30")
        #expect(back.contains(" 0% packet loss"))

        let table = try host.ursaOK("ps")
        #expect(table.contains("web") && table.contains("running") && table.contains("8080:80"))

        try host.ursaOK("down", "-f", file)
        #expect(try host.leftovers() == [])
        #expect(try host.run("sysctl", sysctls) == before)
        // The power button was enough.
        #expect(try host.ursaOK("ps", "-a").contains("power"))
    }

    @Test func addressesStayForAMachinesLife() throws {
        let host = try host()
        // The README's own example.
        let file = examples + "/quickstart/ursa.yaml"
        func cards() throws -> [String: String] {
            let list = try JSON.parse(try host.ursaOK("ps", "-a", "--json"))
            let machines = list.array ?? list["machines"]?.array ?? []
            return Dictionary(
                uniqueKeysWithValues: machines.map { ($0["name"]?.string ?? "", $0["cards"]?.text ?? "") })
        }
        try host.ursaOK("up", "-f", file)
        let first = try cards()
        try host.ursaOK("down", "-f", file, "--kill")
        // The other one first.
        try host.ursaOK("start", "db")
        try host.ursaOK("start", "web")
        #expect(try cards() == first)
        #expect(first.count == 2)
        try host.ursaOK("down", "-f", file, "--kill", "--rm")
        #expect(try host.leftovers() == [])
    }

    @Test func networkGoesWithItsLastMachineEvenWhenTheGuestPowersItselfOff() throws {
        let host = try host()
        try host.ursaOK("up", "-f", host.folder + "/ursa.yaml", "--wait", "--timeout", "90")
        try host.ursaOK("stop", "db")
        #expect(try host.present().contains { $0.contains("namespace") }, "web still needs the network")
        _ = try host.ursa(
            "console", "web", "--no-replay", "--send", "poweroff\\n", "--until", "never", "--timeout", "15")
        #expect(try host.leftovers(patience: 20) == [])
        #expect(try host.ursaOK("ps", "-a").contains("the guest powered off"))
    }

    @Test func waitingNamesTheStepAtWhichAMachineStopped() throws {
        let host = try host()
        // A kernel that finds no init never asks for an address.
        let result = try host.ursa(
            "run", "tiny", "--name", "broken", "-d", "--wait", "--timeout", "8", "--memory", "128M",
            "--kernel-arguments", "rdinit=/nonexistent panic=0")
        #expect(result.end == .exited(1))
        #expect(result.errors.contains("broken"))
        #expect(
            result.errors.contains("network card") || result.errors.contains("DHCP") || result.errors.contains("panic"))
        try host.ursaOK("rm", "--force", "broken")
        #expect(try host.leftovers() == [])
    }
}
