import Glibc
import Testing
import UrsaBase
import UrsaQMP

@testable import UrsaVMM

@Suite struct MonitorTests {
    private static let ready = #"{"execute":"qmp_capabilities"}"#

    @Test func `the client that drives QEMU drives this engine`() throws {
        let bench = try MonitorBench()
        defer { bench.end() }
        let client = try QMPClient(bench.path)
        #expect(client.version?.package == "ursa-vmm")
        #expect(try client.execute("query-status")["status"]?.string == "running")
        try client.execute("stop")
        #expect(try client.nextEvent(seconds: 5)?.name == "STOP")
        #expect(try client.execute("query-status")["running"]?.bool == false)
        try client.execute("cont")
        #expect(try client.nextEvent(seconds: 5)?.name == "RESUME")
        try client.execute("system_powerdown")
        #expect(try client.nextEvent(seconds: 5)?.name == "POWERDOWN")
        try client.execute("system_reset")
        let reset = try #require(try client.nextEvent(seconds: 5))
        #expect(reset.name == "RESET" && reset.data["reason"]?.string == "host-qmp-system-reset")
        #expect(abs(reset.time - wallClock()) < 60)
        #expect(try client.execute("query-name")["name"]?.string == "web")
        #expect(try client.execute("query-cpus-fast").array?.compactMap { $0["thread-id"]?.integer } == [41, 42])
        #expect(try client.execute("query-block").array?.first?["inserted"]?["drv"]?.string == "qcow2")
        try client.execute("balloon", ["value": .integer(256 << 20)])
        #expect(try client.execute("query-balloon")["actual"]?.integer == 256 << 20)
        let names = try client.execute("query-commands").array?.compactMap { $0["name"]?.string } ?? []
        #expect(names.contains("quit") && names.contains("qmp_capabilities"))
    }

    @Test func `quit answers, tells why, and the process can end`() throws {
        let bench = try MonitorBench()
        defer { bench.end() }
        let client = try QMPClient(bench.path)
        let other = try QMPClient(bench.second)
        try client.execute("quit")
        for each in [client, other] {
            let event = try #require(try each.nextEvent(seconds: 5))
            #expect(event.name == "SHUTDOWN" && event.data["reason"]?.string == "host-qmp-quit")
            #expect(event.data["guest"]?.bool == false)
        }
    }

    @Test func `faults are answered in the words of the protocol, with the id, and the connection goes on`() throws {
        let bench = try MonitorBench()
        defer { bench.end() }
        let lines = try bench.say(
            #"{"execute":"query-status","id":{"a":[1]}}"# + MonitorTests.ready + "\r\n"
                + #"{"execute":"nonsense","id":2} {"execute":"stop","arguments":{"x":1},"id":"3"}"#
                + #"{"exec-oob":"stop"}{"execute":7}{"id":6}{"execute":"balloon","id":null}"# + "\n]]]\n"
                + #"{"execute":"qmp_capabilities"}{"a" 1}{"execute":"query-name","id":9}"#,
            lines: 12)
        func fault(_ index: Int) -> String? { lines.count > index ? lines[index]["error"]?["class"]?.string : nil }
        func words(_ index: Int) -> String { lines[index]["error"]?["desc"]?.string ?? "" }
        try #require(lines.count == 12)
        #expect(fault(0) == "CommandNotFound" && words(0).contains("capabilities"))
        #expect(lines[0]["id"] == ["a": [1]])
        #expect(lines[1]["return"] == [:])
        #expect(fault(2) == "CommandNotFound" && lines[2]["id"] == 2)
        #expect(words(3) == "Parameter 'x' is unexpected" && lines[3]["id"] == "3")
        #expect(words(4) == "QMP input member 'exec-oob' is unexpected")
        #expect(words(5) == "QMP input member 'execute' must be a string")
        #expect(words(6) == "QMP input lacks member 'execute'")
        #expect(fault(7) == "GenericError" && words(7).contains("Parameter 'value' is missing"))
        #expect(lines[7]["id"] == JSON.null)
        #expect(words(8) == "Invalid JSON syntax")
        #expect(fault(9) == "CommandNotFound" && words(9).contains("already complete"))
        #expect(words(10) == "Invalid JSON syntax")
        #expect(lines[11]["id"] == 9 && lines[11]["return"]?["name"]?.string == "web")
    }

    @Test func `requests that are too long or too deep end the connection with a word`() throws {
        let bench = try MonitorBench()
        defer { bench.end() }
        for bomb in [
            #"{"execute":""# + String(repeating: "x", count: 100_000), String(repeating: #"{"a":["#, count: 5000),
        ] {
            let lines = try bench.say(MonitorTests.ready + bomb, lines: 3, seconds: 10)
            #expect(lines.count == 2 && lines.last?["error"]?["desc"]?.string?.contains("a request is") == true)
        }
        // Nothing of it is left: others are served.
        #expect(try QMPClient(bench.path).execute("query-status")["running"]?.bool == true)
    }

    @Test func `a client that does not read is held back, then dropped, and the others are served`() throws {
        let bench = try MonitorBench()
        defer { bench.end() }
        let deaf = try UnixSocket.connect(bench.path)
        try deaf.setNonBlocking()
        let words = Array((MonitorTests.ready + String(repeating: #"{"execute":"query-commands"}"#, count: 2000)).utf8)
        var sent = 0
        for _ in 0..<200 {
            if case .bytes(let count) = sendSome(deaf.raw, words[(sent % words.count)...]) { sent += count }
            pause(milliseconds: 1)
        }
        // Its requests wait in its own socket, not here.
        #expect(sent < 4 << 20)
        let client = try QMPClient(bench.second)
        for _ in 0..<20_000 { bench.events.send(.powerdown()) }
        #expect(try client.execute("query-status", seconds: 20)["running"]?.bool == true)
    }

    @Test func `more clients than places wait for their turn, and the other monitor stays free`() throws {
        let bench = try MonitorBench()
        defer { bench.end() }
        var clients: [QMPClient] = []
        for _ in 0..<MonitorServer.clientLimit { clients.append(try QMPClient(bench.path)) }
        let waiting = try UnixSocket.connect(bench.path)
        var poller = pollfd(fd: waiting.raw, events: Int16(POLLIN), revents: 0)
        #expect(poll(&poller, 1, 100) == 0)
        #expect(try QMPClient(bench.second).execute("query-status")["running"]?.bool == true)
        clients.removeLast()
        #expect(poll(&poller, 1, 5000) == 1)
    }

    @Test func `what a guest can make at will is told once a second, the latest of each`() throws {
        let bench = try MonitorBench()
        defer { bench.end() }
        let client = try QMPClient(bench.path)
        try client.execute("query-status")
        for count in 1...10_000 {
            bench.events.send(.balloon(actual: UInt64(count)))
            bench.events.send(.blockError(disk: 0, .write, noSpace: true, reason: "No space left on device"))
        }
        var told: [QMPEvent] = []
        while told.count < 100, let event = try client.nextEvent(seconds: 1.5) { told.append(event) }
        #expect(told.count <= 6)
        #expect(told.last { $0.name == "BALLOON_CHANGE" }?.data["actual"]?.integer == 10_000)
        let error = told.first { $0.name == "BLOCK_IO_ERROR" }
        #expect(error?.data["operation"]?.string == "write" && error?.data["nospace"]?.bool == true)
    }
}
